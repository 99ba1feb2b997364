"""A lesion at known patient coordinates, from DICOM slices through ingest into every export, found there again.

Each format is read by another library than the one that wrote it, and its places are worked out from its own metadata.
"""

import nibabel
import numpy as np
import pydicom
import pytest
import zarr
from support.planted_lesion import DARK, LAYOUTS, LESION_MM
from support.planted_maps import export

from dcam_dist.cohort import validate
from dcam_dist.maps import dicom
from dcam_dist.maps.cohort_labels import cohort_for_labels
from dcam_dist.types import Geometry

CASES = [f"scan{number}" for number in range(len(LAYOUTS))]


@pytest.fixture(scope="module")
def exported(planted):
    """Every case in every format."""
    with cohort_for_labels(planted.cohort):
        return {case_id: export(planted, case_id) for case_id in CASES}


def frames(dataset):
    """Each frame's segment (``None`` in a parametric map), and its affine from (column, row) to LPS millimetres."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    down, along = (float(step) for step in shared.PixelMeasuresSequence[0].PixelSpacing)
    axes = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        segment = getattr(frame, "SegmentIdentificationSequence", None)
        number = None if segment is None else segment[0].ReferencedSegmentNumber
        yield number, np.column_stack([axes[0] * along, axes[1] * down, position])


def pixels(dataset):
    if "FloatPixelData" in dataset:
        values = np.frombuffer(dataset.FloatPixelData, "<f4")
        return values.reshape(dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
    return dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)


def centre_of_frames(dataset, wanted, segment):
    places = []
    for (number, affine), values in zip(frames(dataset), pixels(dataset), strict=True):
        if number == segment:
            rows, columns = np.nonzero(wanted(values))
            places.append((affine @ np.stack([columns, rows, np.ones_like(rows)])).T)
    return np.concatenate(places).mean(axis=0)


def centre_in_nifti(case):
    image = nibabel.load(case.folder / "dcam-winner.nii.gz")
    index = np.argwhere(np.asarray(image.dataobj) == DARK).mean(axis=0)
    return nibabel.affines.apply_affine(image.affine, index) * (-1, -1, 1)


def centre_in_segmentation(case):
    dataset = pydicom.dcmread(case.folder / dicom.FOLDER / "winner.dcm")
    return centre_of_frames(dataset, lambda values: values > 0, DARK)


def centre_in_parametric_map(case):
    dataset = pydicom.dcmread(case.folder / dicom.FOLDER / "dcam-cluster-3.dcm")
    return centre_of_frames(dataset, lambda values: values > 0, None)


def centre_in_label(case, level):
    group = zarr.open_group(case.label, mode="r")
    (scales,) = group.attrs["ome"]["multiscales"]
    scale, translation = scales["datasets"][level]["coordinateTransformations"]
    index_zyx = np.argwhere(group[str(level)][:] == DARK).mean(axis=0)
    from_first = (index_zyx * scale["scale"])[::-1]
    # the format knows no rotation: the case's record says how its axes lie
    space = zarr.open_group(case.label.parents[1], mode="r").attrs["dcam_dist"]["grid" if level else "native"]
    cosines = Geometry(tuple(space["shape"]), tuple(map(tuple, space["affine"]))).matrix[:3, :3]
    return np.array(translation["translation"])[::-1] + cosines / np.linalg.norm(cosines, axis=0) @ from_first


READERS = {
    "NIfTI": centre_in_nifti,
    "DICOM Segmentation": centre_in_segmentation,
    "DICOM Parametric Map": centre_in_parametric_map,
    "OME-Zarr, scan's resolution": lambda case: centre_in_label(case, 0),
    "OME-Zarr, training grid": lambda case: centre_in_label(case, 1),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case_id", CASES)
def test_the_lesion_lies_where_it_was_planted(exported, case_id, reader):
    case = exported[case_id]
    assert np.linalg.norm(READERS[reader](case) - LESION_MM) < 0.5 * case.voxel_mm


def test_the_layouts_are_as_odd_as_they_claim(exported):
    scans = [case.record.scan for case in exported.values()]
    assert all(len({round(step, 2) for step in scan.spacing_mm}) == 3 for scan in scans)
    assert sum(size % 2 for scan in scans for size in scan.shape) >= 4
    assert all(np.prod(case.record.native.shape) < 0.8 * np.prod(case.record.scan.shape) for case in exported.values())
    assert not np.allclose(scans[1].matrix[:3, :3], np.diag(np.diag(scans[1].matrix[:3, :3])))


def test_the_label_agrees_with_the_nifti_winner(exported):
    """The scan whose axes are only flipped: the same voxels, the crop cut out and turned."""
    case = exported["scan0"]
    winner_DHW = np.asarray(nibabel.load(case.folder / "dcam-winner.nii.gz").dataobj).transpose(2, 1, 0)[::-1, ::-1]
    label_DHW = zarr.open_group(case.label, mode="r")["0"][:]
    inside = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(winner_DHW))
    boxed = tuple(slice(axis.min(), axis.max() + 1) for axis in np.nonzero(label_DHW))
    np.testing.assert_array_equal(winner_DHW[inside], label_DHW[boxed])


def test_the_cohort_with_labels_is_as_it_was_written(exported, planted):
    assert validate(planted.cohort.path).findings == ()
