"""Flags of thick slices and of slices that lie apart, along whichever axis the scan has its slices."""

import numpy as np
import pytest
from support.ct_files import chest_hu, geometry, series, write_image, write_series
from support.dicom_faults import each

from dcam_dist.config.schema import IngestConfig
from dcam_dist.ingest.case import thickness_flags
from dcam_dist.ingest.dicom import read_series
from dcam_dist.ingest.images import read_image

CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def _flags(folder, spacing_mm, thickness, cosines=None):
    slices = series(where=geometry(spacing_mm=spacing_mm, cosines=cosines))
    each(slices, SliceThickness=thickness)
    files = tuple(sorted(write_series(folder, slices).iterdir()))
    return thickness_flags(read_series([files], IngestConfig(), assume_hu=False))


@pytest.mark.parametrize(
    ("distance", "thickness", "flags"),
    [
        (2.5, "2.5", ()),
        (2.5, "5", ()),
        (5.0, "5", ()),
        (6.0, "", ("thick_slices",)),
        (2.5, "7", ("thick_slices",)),
        (2.5, "9000", ()),
        (3.0, "2", ()),
        (2.5, "1.25", ("slices_apart",)),
        (10.0, "1", ("thick_slices", "slices_apart")),
    ],
)
def test_the_larger_of_thickness_and_distance_counts(tmp_path, distance, thickness, flags):
    assert _flags(tmp_path / "s", (distance, 2.0, 2.0), thickness) == flags


def test_coronal_slices_are_judged_along_their_own_axis(tmp_path):
    assert _flags(tmp_path / "s", (6.0, 2.0, 2.0), "6", CORONAL) == ("thick_slices",)


def test_every_second_slice_removed_is_flagged(tmp_path):
    files = sorted(write_series(tmp_path / "s", series(chest_hu((28, 24, 28)))[::2]).iterdir())
    scan = read_series([tuple(files)], IngestConfig(), assume_hu=False)
    assert thickness_flags(scan) == ("thick_slices", "slices_apart")


def test_an_image_is_judged_by_its_longest_voxel_edge(tmp_path):
    where = geometry((24, 24, 28), (2.0, 6.0, 2.0))
    path = write_image(tmp_path / "a.nrrd", chest_hu((24, 24, 28)), where)
    assert thickness_flags(read_image(path, max_voxels=10**6)) == ("thick_slices",)
