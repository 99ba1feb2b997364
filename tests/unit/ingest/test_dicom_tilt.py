"""A tilted gantry: set aside, or resampled so that every structure stays where it lies in the patient."""

import numpy as np
import pytest
from scipy.ndimage import center_of_mass
from support.ct_files import geometry, series, write_series
from support.dicom_faults import tilt

from dcam_dist.config.schema import Config, IngestConfig
from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.ingest.case import CaseJob, source_fingerprint
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.dicom_tilt import TILT_RESAMPLED
from dcam_dist.ingest.scan import AIR_HU

SHAPE, SPACING_MM = (32, 40, 44), (3.0, 2.0, 2.0)
RADIUS_MM = 22.0
RESAMPLE = IngestConfig(resample_tilt=True)


def centre_mm(degrees):
    """In the middle of the slices at its height, wherever the tilt has carried them."""
    return np.array([24.0, 75.0 + 45.0 * np.tan(np.radians(degrees)), -255.0])


def ball_slices(degrees, cosines=None):
    """A soft-edged ball of soft tissue in air, sampled where the tilted slices lie."""
    where = geometry(SHAPE, SPACING_MM, cosines)
    slices = series(np.full(SHAPE, AIR_HU, np.int16), where)
    tilt(slices, degrees)
    for dataset in slices:
        axes = np.asarray(dataset.ImageOrientationPatient, float).reshape(2, 3)
        y, x = np.mgrid[: SHAPE[1], : SHAPE[2]] * 2.0
        points = np.asarray(dataset.ImagePositionPatient, float) + x[..., None] * axes[0] + y[..., None] * axes[1]
        inside = np.clip(RADIUS_MM - np.linalg.norm(points - centre_mm(degrees), axis=-1), -1, 1) / 2 + 0.5
        dataset.PixelData = np.rint(inside * 1040 + 24).astype("<u2").tobytes()
    return slices


def read(folder, config=RESAMPLE):
    return read_series([tuple(sorted(folder.iterdir()))], config, assume_hu=False)


@pytest.mark.parametrize("degrees", [-22.0, 7.0, 15.0, 30.0])
def test_a_ball_stays_where_it_is_and_round(tmp_path, degrees):
    scan = read(write_series(tmp_path / "s", ball_slices(degrees)))
    density = (scan.hu_DHW.astype(float) - AIR_HU) / 1040
    centre_xyz = scan.geometry.matrix @ (*center_of_mass(density)[::-1], 1)
    assert np.abs(centre_xyz[:3] - centre_mm(degrees)).max() < 0.2  # a tenth of a pixel
    assert density.sum() * scan.geometry.voxel_ml == pytest.approx(4 / 3 * np.pi * 2.2**3, rel=0.01)
    index = np.argwhere(density > -1)[:, ::-1]
    world = index @ scan.geometry.matrix[:3, :3].T + scan.geometry.matrix[:3, 3]
    distance_mm = np.linalg.norm(world - centre_mm(degrees), axis=1)
    edge_mm = max(SPACING_MM)
    assert (density.ravel()[distance_mm < RADIUS_MM - edge_mm] > 0.99).all()
    assert (density.ravel()[distance_mm > RADIUS_MM + edge_mm] < 0.01).all()


def test_the_grid_is_right_angled_and_holds_every_slice(tmp_path):
    slices = ball_slices(15.0)
    scan = read(write_series(tmp_path / "s", slices))
    axes = scan.scan_geometry.matrix[:3, :3]
    assert np.allclose(axes.T @ axes, np.diag([4.0, 4.0, 9.0]), atol=1e-3)
    lean_mm = np.tan(np.radians(15.0)) * 31 * 3.0
    assert scan.scan_geometry.shape == (SHAPE[0], SHAPE[1] + int(np.ceil(lean_mm / 2.0)), SHAPE[2])
    first = scan.scan_geometry.matrix @ (0, 0, 0, 1)
    assert np.allclose(first[:3], np.asarray(slices[0].ImagePositionPatient, float), atol=1e-3)


def test_the_tilt_is_told(tmp_path):
    scan = read(write_series(tmp_path / "s", ball_slices(15.0)))
    assert scan.flags == (TILT_RESAMPLED,) and scan.covariates["gantry_tilt_deg"] == "15.0"


def test_outside_of_the_slices_is_air(tmp_path):
    slices = ball_slices(15.0)
    for dataset in slices:  # no air anywhere within the slices
        words = np.frombuffer(dataset.PixelData, "<u2")
        dataset.PixelData = np.maximum(words, 1024).astype("<u2").tobytes()
    hu = read(write_series(tmp_path / "s", slices)).hu_DHW
    assert (hu[0, SHAPE[1] :] == AIR_HU).all() and (hu[-1, : hu.shape[1] - SHAPE[1] - 1] == AIR_HU).all()
    assert (hu[0, : SHAPE[1]] >= 0).all()


def test_upright_scans_are_left_alone(tmp_path):
    folder = write_series(tmp_path / "s", ball_slices(0.0))
    scan, plain = read(folder), read(folder, IngestConfig())
    assert np.array_equal(scan.hu_DHW, plain.hu_DHW) and scan.geometry == plain.geometry and scan.flags == ()


@pytest.mark.parametrize(
    ("degrees", "config"), [(15.0, IngestConfig()), (50.0, RESAMPLE)], ids=["default", "too steep"]
)
def test_tilt_is_set_aside_by_default_and_where_no_gantry_tilts_so_far(tmp_path, degrees, config):
    with pytest.raises(CaseRejected) as caught:
        read(write_series(tmp_path / "s", ball_slices(degrees)), config)
    assert caught.value.reason is Reason.TILTED and "ingest.resample_tilt" in caught.value.detail


def test_the_larger_grid_must_not_exceed_the_largest_volume(tmp_path):
    config = IngestConfig(resample_tilt=True, max_voxels=int(np.prod(SHAPE)))
    with pytest.raises(CaseRejected) as caught:
        read(write_series(tmp_path / "s", ball_slices(15.0)), config)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_stored_case_is_made_anew_when_tilt_is_treated_otherwise():
    job = CaseJob("a", "p", "train", 0, (), "dicom")
    settings = [Config(ingest=ingest) for ingest in (RESAMPLE, IngestConfig())]
    fingerprints = {source_fingerprint(job, config, assume_hu=False) for config in settings}
    assert len(fingerprints) == 2
