"""A cohort of generated scans, written without an ingest: where only its training grid is read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import CohortDescription, VolumeLevels, close_cohort, create_cohort, open_cohort, write_case
from dcam_dist.cohort.store import Cohort
from dcam_dist.config import Config
from dcam_dist.phantom import GRADES, Disease, make_case
from dcam_dist.types import UNASSIGNED, CaseRecord, Geometry

Volume = tuple[NDArray[np.int16], NDArray[np.uint8]]
CORNER = (16, 16, 16)


def generated(cases: int, seed: int, matrix: int) -> dict[str, Volume]:
    """HU and lung mask of each case, at the scan's resolution; the grades in turn."""
    diseases = [Disease(GRADES[number % len(GRADES)], "absent") for number in range(cases)]
    made = [make_case(number, disease, seed=seed, matrix=matrix) for number, disease in enumerate(diseases)]
    return {f"case-{number:04d}": (case.hu, case.lung_mask) for number, case in enumerate(made)}


def on_grid(volume: Volume, shape: tuple[int, int, int]) -> Volume:
    """The lungs' box, sampled at the nearest voxels of a grid of that shape."""
    hu, mask = volume
    inside = np.argwhere(mask)
    ends = zip(inside.min(axis=0), inside.max(axis=0), shape, strict=True)
    where = np.ix_(*(np.linspace(low, high, size).round().astype(int) for low, high, size in ends))
    return hu[where], mask[where]


def write_generated(volumes: Mapping[str, Volume], config: Config, path: Path) -> Cohort:
    """A cohort of training cases with these volumes as their training grids; of the scan, a corner stands in.

    Args:
        volumes: HU and lung mask by case id.
        config: Says what grid the cohort claims to have.
        path: Of the new cohort.
    """
    create_cohort(path, CohortDescription(config.grid, config.labels.names))
    records = []
    for case_id, (hu, mask) in volumes.items():
        corner = np.zeros(CORNER, np.int16), np.ones(CORNER, np.uint8)
        small, grid = (Geometry.from_matrix(array.shape, np.eye(4)) for array in (corner[0], hu))
        records.append(CaseRecord(case_id, case_id, "train", UNASSIGNED, small, small, grid))
        write_case(path, records[-1], VolumeLevels(*corner, hu, mask))
    close_cohort(path, records, [])
    return open_cohort(path)
