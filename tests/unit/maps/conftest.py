"""A small cohort of ellipsoid lungs, half of them with dark upper parts, and a run trained on it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.planted_lesion import write_scans
from support.planted_maps import Planted

from dcam_dist.cohort import CohortDescription, VolumeLevels, close_cohort, create_cohort, write_case
from dcam_dist.cohort.spatial import canonical, crop_geometry, resample, to_sitk
from dcam_dist.config import load_config
from dcam_dist.config.schema import FLEISCHNER_GRADES, GridConfig
from dcam_dist.types import CaseRecord, Geometry

GRID = (16, 32, 32)
SCAN_SHAPE = (30, 44, 52)


def scan_geometry(orientation: str) -> Geometry:
    """A scan of ``SCAN_SHAPE`` whose axes lie as named; canonical is 4 × 3 × 3 mm."""
    tilt, turn = np.radians(9.0), np.radians(-7.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    cosines = {
        "canonical": np.eye(3),
        "flipped": np.diag([-1.0, 1.0, -1.0]),
        "mirrored": np.diag([1.0, 1.0, -1.0]),  # left-handed: slices stored from the head down
        "oblique": about_x @ about_z,
        "oblique flipped": about_x @ about_z @ np.diag([1.0, -1.0, -1.0]),
    }[orientation]
    matrix = np.eye(4)
    matrix[:3, :3] = cosines * [3.0, 3.0, 4.0]
    matrix[:3, 3] = [-71.5, 33.25, -412.125]
    return Geometry.from_matrix(SCAN_SHAPE, matrix)


def draw_scan(space: Geometry, *, emphysema: bool, seed: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """HU and lungs: two ellipsoids around the middle of the scan, with emphysema in their upper thirds."""
    z, y, x = np.meshgrid(*(np.arange(size) for size in space.shape), indexing="ij")
    index = np.stack([x, y, z, np.ones_like(x)]).reshape(4, -1)
    middle = space.matrix @ np.array([(size - 1) / 2 for size in space.shape[::-1]] + [1.0])
    right_left, front_back, height = ((space.matrix @ index) - middle[:, None])[:3].reshape(3, *space.shape)
    side = (np.abs(right_left) - 34) / 24
    lungs = side**2 + (front_back / 46) ** 2 + (height / 45) ** 2 < 1
    hu = np.where(lungs, -850.0, 40.0) + np.random.default_rng(seed).normal(0, 15, space.shape)
    hu[lungs & (height > 8)] -= 130 * emphysema
    return np.rint(hu).astype(np.int16), lungs.astype(np.uint8)


def add_case(cohort: Path, case_id: str, space: Geometry, *, emphysema: bool, seed: int, split: str) -> CaseRecord:
    """Crop and resample one scan as ingest does, and store it."""
    hu, lungs = draw_scan(space, emphysema=emphysema, seed=seed)
    turned_hu, turned = canonical(hu, space)
    turned_lungs, _ = canonical(lungs, space)
    inside = np.argwhere(turned_lungs)
    start, stop = inside.min(axis=0) - 1, inside.max(axis=0) + 2
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    native = crop_geometry(turned, tuple(start.tolist()), tuple((stop - start).tolist()))
    grid = stretched(native)
    native_hu, native_lungs = turned_hu[box], turned_lungs[box]
    grid_hu = resample(to_sitk(native_hu, native), grid, interpolation="linear", outside=-1024)
    grid_lungs = resample(to_sitk(native_lungs, native), grid, interpolation="nearest", outside=0)
    label = 5 if emphysema else 0
    record = CaseRecord(case_id, f"patient-{case_id}", split, label, space, native, grid)
    write_case(cohort, record, VolumeLevels(native_hu, native_lungs, grid_hu, grid_lungs))
    return record


def stretched(native: Geometry) -> Geometry:
    """The training grid that fills the box of the native crop."""
    factor_xyz = (np.array(native.shape) / GRID)[::-1]
    matrix = native.matrix
    matrix[:3, 3] += matrix[:3, :3] @ ((factor_xyz - 1) / 2)
    matrix[:3, :3] = matrix[:3, :3] * factor_xyz
    return Geometry.from_matrix(GRID, matrix)


@pytest.fixture(scope="session")
def cohort_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("maps") / "cohort.zarr"
    create_cohort(path, CohortDescription(GridConfig(shape=GRID), FLEISCHNER_GRADES))
    orientations = ["canonical", "flipped", "mirrored", "oblique", "oblique flipped", "canonical", "canonical"]
    records = [
        add_case(
            path,
            f"case-{number}",
            scan_geometry(orientation),
            emphysema=number % 2 == 1,
            seed=number,
            split="test" if number == 6 else "train",
        )
        for number, orientation in enumerate(orientations)
    ]
    close_cohort(path, records, [])
    return path


@pytest.fixture(scope="session")
def true_lungs():
    """The lungs that were drawn into a scan's space, bool."""
    return lambda space: draw_scan(space, emphysema=False, seed=0)[1].astype(bool)


@pytest.fixture(scope="session")
def settings(cohort_path):
    """Builds a configuration of this cohort from further settings."""

    def build(*overrides):
        small = [
            "network.filters=4",
            "training.epochs=1",
            "training.batch_size=3",
            "clustering.clusters=2",
            "maps.typical_cases=1",
        ]
        return load_config(None, [f"data.cohort={cohort_path}", f"grid.shape={list(GRID)}", *small, *overrides])

    return build


@pytest.fixture(scope="session")
def trained_run(settings, tmp_path_factory):
    from dcam_dist.training import train

    return train(settings(f"output={tmp_path_factory.mktemp('runs') / 'dcam'}")).run


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Three DICOM series with a lesion, each turned in its own way, and their cohort. Copy it to change a case."""
    from dcam_dist.cohort import open_cohort
    from dcam_dist.ingest import ingest

    root = tmp_path_factory.mktemp("planted")
    config = load_config(None, ["grid.shape=[32,32,48]", "ingest.workers=1"])
    ingest([write_scans(root)], root / "cohort.zarr", config=config, strict=True)
    return Planted(root, open_cohort(root / "cohort.zarr"))
