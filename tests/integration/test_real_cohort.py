"""The whole method on real scans: one ingest, both methods trained for a moment, their maps on the original scans.

The originals are read by SimpleITK alone, so that an error which ingest and maps share cannot hide.
"""

import subprocess
import sys
import tarfile

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import MRImageStorage
from scipy import ndimage
from support.ct_files import series, write_series

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config

GRID = "grid.shape=[32,48,64]"
VOLUME_ML = {
    "lidc": (3700, 0.1),
    "kernel-b": (5400, 0.1),
    "kernel-l": (5400, 0.1),
    "ct64-nrrd": (4600, 0.05),
    "ct64-dicom": (4600, 0.05),
}


def on_real_scans(test):
    """Marks a test that needs the ingested scans."""
    return pytest.mark.realdata(pytest.mark.slow(test))


def dcam_dist(*arguments):
    command = [sys.executable, "-m", "dcam_dist", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="session")
def scans(real_data, tmp_path_factory):
    """Where each case's files lie."""
    unpacked = tmp_path_factory.mktemp("dicom")
    for archive in ("LIDC-IDRI-0001_dicom.tar.xz", "Lung_Dx-A0001_two_kernels_dicom.tar.xz"):
        with tarfile.open(real_data / archive) as packed:
            packed.extractall(unpacked, filter="data")
    return {
        "lidc": unpacked / "dicom_0001",
        "kernel-b": unpacked / "A0001_5mm_kernelB",
        "kernel-l": unpacked / "A0001_5mm_kernelL",
        "ct64-nrrd": real_data / "cip" / "ct-64.nrrd",
        "ct64-dicom": real_data / "cip" / "ct-64Dicom",
        "patchy": real_data / "cip" / "TestInput.nrrd",
    }


@pytest.fixture(scope="session")
def ingested(scans, tmp_path_factory):
    """The finished command and the cohort that it made."""
    folder = tmp_path_factory.mktemp("real")
    patients = {"kernel-b": "lung-dx", "kernel-l": "lung-dx", "ct64-nrrd": "ct64", "ct64-dicom": "ct64"}
    rows = [
        f"{case_id},{path},{patients.get(case_id, case_id)},{'test' if case_id.startswith('ct64') else 'train'}"
        for case_id, path in scans.items()
    ]
    (folder / "cases.csv").write_text("\n".join(["case_id,image,patient_id,split", *rows]) + "\n")
    return dcam_dist("ingest", folder / "cases.csv", "--out", folder / "cohort.zarr", GRID), folder / "cohort.zarr"


@pytest.fixture(scope="session")
def cohort(ingested):
    return open_cohort(ingested[1])


@pytest.fixture(scope="session")
def original(scans):
    """Reads a case's scan without any code of the project, each once."""
    read = {}

    def image(case_id):
        if case_id not in read:
            path = scans[case_id]
            files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)) if path.is_dir() else str(path)
            read[case_id] = sitk.ReadImage(files)
        return read[case_id]

    return image


@pytest.fixture(scope="session")
def runs(ingested, tmp_path_factory):
    """Both methods, trained for two epochs."""
    from dcam_dist.training import train

    folder = tmp_path_factory.mktemp("real-runs")
    settings = [
        f"data.cohort={ingested[1]}",
        GRID,
        "network.filters=4",
        "clustering.clusters=2",
        "training.epochs=2",
        "training.batch_size=2",
    ]
    methods = ("dcam", "baseline")
    return {
        name: train(load_config(None, [*settings, f"method={name}", f"output={folder / name}"])).run for name in methods
    }


@pytest.fixture(scope="session")
def maps(runs):
    from dcam_dist.maps import write_maps

    write_maps(runs["dcam"], case_ids=["lidc", "kernel-l"])
    write_maps(runs["baseline"], case_ids=["kernel-l"])
    return {name: run / "maps" for name, run in runs.items()}


def box_in_scan(cohort, case_id, image):
    """Where the stored crop lies in the scan; all six scans are stored on canonical axes."""
    native = cohort.case(case_id).native
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3))
    assert np.allclose(native.spacing_mm[::-1], image.GetSpacing(), atol=1e-3)
    exact_xyz = (native.matrix[:3, 3] - image.GetOrigin()) / image.GetSpacing()
    start = np.rint(exact_xyz).astype(int)[::-1]
    assert np.allclose(exact_xyz[::-1], start, atol=0.01)
    return tuple(slice(first, first + size) for first, size in zip(start, native.shape, strict=True))


def mask_in_scan(cohort, case_id, image):
    mask = np.zeros(image.GetSize()[::-1], bool)
    mask[box_in_scan(cohort, case_id, image)] = np.asarray(cohort.lung_mask(case_id, "0")) > 0
    return mask


def thresholded_lungs(hu):
    """Plainly: air that does not reach the slice's edge, its two largest pieces, closed."""
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    labels, count = ndimage.label(hu < -400, structure=in_plane)
    reaches_edge = np.zeros(count + 1, bool)
    for side in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        reaches_edge[side.ravel()] = True
    reaches_edge[0] = True
    pieces, _ = ndimage.label(ndimage.binary_opening(~reaches_edge[labels]))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    lungs = [label for label in np.argsort(-sizes)[:2] if sizes[label] > 0.2 * sizes.max()]
    return ndimage.binary_closing(np.isin(pieces, lungs), np.ones((1, 5, 5)))


def trachea(hu, mask, spacing_xyz):
    """Above three quarters of the lungs' height: small round air in the tissue near the middle of the chest."""
    area_mm2 = spacing_xyz[0] * spacing_xyz[1]
    heights, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 1)))
    middle = (columns[0] + columns[-1]) / 2
    found = np.zeros_like(mask)
    for z in range(heights[0] + 3 * len(heights) // 4, heights[-1] + 1):
        pieces, count = ndimage.label(hu[z] < -600)
        for piece in range(1, count + 1):
            size = np.count_nonzero(pieces == piece) * area_mm2
            (_, x) = ndimage.center_of_mass(pieces == piece)
            if 80 < size < 700 and abs(x - middle) * spacing_xyz[0] < 25:
                found[z] |= pieces == piece
    return found


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@on_real_scans
def test_one_call_accepts_all_six(ingested, cohort):
    finished, path = ingested
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[0] == f"accepted: 6, set aside: 0, in {path}"
    assert {case.case_id for case in cohort.cases} == {*VOLUME_ML, "patchy"}
    assert {case.provenance["lung_mask"] for case in cohort.cases} == {"computed"}
    assert cohort.case("kernel-b").patient_key == cohort.case("kernel-l").patient_key
    assert len({case.patient_key for case in cohort.cases}) == 4
    assert {case.case_id: case.flags for case in cohort.cases if case.flags} == {"patchy": ("thick_slices",)}


@on_real_scans
@pytest.mark.parametrize("case_id", VOLUME_ML)
def test_lung_volumes(cohort, case_id):
    expected_ml, tolerance = VOLUME_ML[case_id]
    assert cohort.case(case_id).densitometry["volume_ml"] == pytest.approx(expected_ml, rel=tolerance)


@on_real_scans
@pytest.mark.parametrize("case_id", [*VOLUME_ML, "patchy"])
def test_stored_hu_are_those_of_the_scan(cohort, original, case_id):
    image = original(case_id)
    hu = sitk.GetArrayFromImage(image)[box_in_scan(cohort, case_id, image)]
    expected = np.where(hu <= -2000, -1000, np.clip(hu, -1024, 3071))
    assert np.array_equal(np.asarray(cohort.hu(case_id, "0")), expected)


@on_real_scans
@pytest.mark.parametrize("case_id", [*VOLUME_ML, "patchy"])
def test_training_grid_lies_where_the_scan_does(cohort, case_id, original):
    record, image = cohort.case(case_id), original(case_id)
    points_N3 = np.argwhere(np.asarray(cohort.lung_mask(case_id)))[::7]
    world_N3 = (record.grid.matrix[:3] @ np.c_[points_N3[:, ::-1], np.ones(len(points_N3))].T).T
    index_3N = np.rint((world_N3 - image.GetOrigin()) / image.GetSpacing()).astype(int).T
    hu, stored_N = sitk.GetArrayFromImage(image), np.asarray(cohort.hu(case_id))[tuple(points_N3.T)].astype(float)

    def error(values):
        return np.median(np.abs(stored_N - values[tuple(index_3N[::-1])]))

    assert error(hu) < 0.6 * min(error(np.flip(hu, axis)) for axis in range(3))


@on_real_scans
def test_mask_agrees_with_the_published_one(cohort, original, real_data):
    published = sitk.GetArrayFromImage(sitk.ReadImage(str(real_data / "cip" / "wholeLung-64.nrrd"))) > 0
    for case_id in ("ct64-nrrd", "ct64-dicom"):
        assert dice(mask_in_scan(cohort, case_id, original(case_id)), published) >= 0.97


@on_real_scans
def test_nrrd_and_dicom_of_one_scan_agree(cohort):
    nrrd, dicom = cohort.case("ct64-nrrd"), cohort.case("ct64-dicom")
    for level in ("0", "1"):
        assert np.array_equal(*(np.asarray(cohort.hu(case.case_id, level)) for case in (nrrd, dicom)))
        assert np.array_equal(*(np.asarray(cohort.lung_mask(case.case_id, level)) for case in (nrrd, dicom)))
    for one, other in ((nrrd.scan, dicom.scan), (nrrd.native, dicom.native), (nrrd.grid, dicom.grid)):
        assert one.shape == other.shape
        assert np.allclose(one.matrix, other.matrix, atol=1e-3)


@on_real_scans
def test_two_kernels_show_the_same_lungs_at_different_densities(cohort, original):
    smooth, sharp = (mask_in_scan(cohort, case_id, original(case_id)) for case_id in ("kernel-b", "kernel-l"))
    assert dice(smooth, sharp) > 0.985
    smooth, sharp = (cohort.case(case_id).densitometry["laa950"] for case_id in ("kernel-b", "kernel-l"))
    assert smooth < 1 and sharp > 10


@on_real_scans
@pytest.mark.parametrize("case_id", ["lidc", "kernel-l", "ct64-nrrd", "patchy"])
def test_both_lungs_with_their_vessels_and_nothing_else(cohort, original, case_id):
    image = original(case_id)
    hu, mask = sitk.GetArrayFromImage(image), mask_in_scan(cohort, case_id, image)
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    left = mask[:, :, (columns[0] + columns[-1]) // 2 :]
    assert 0.4 < np.count_nonzero(left) / np.count_nonzero(mask) < 0.6
    assert dice(mask, thresholded_lungs(hu)) > 0.975
    holes = ndimage.binary_fill_holes(mask) & ~mask
    assert np.count_nonzero(holes) < 1e-3 * np.count_nonzero(mask)
    assert 0.0005 < np.mean(hu[mask] > -100) < 0.02  # vessels, but no chest wall
    seen = trachea(hu, mask, image.GetSpacing())
    assert np.count_nonzero(seen.any(axis=(1, 2))) * image.GetSpacing()[2] > 25
    assert np.mean(mask[seen]) < 0.01


@on_real_scans
def test_without_labels_the_internal_metrics_alone(runs):
    from dcam_dist.evaluation import evaluate

    result = evaluate(list(runs.values()))
    for name in runs:
        train = result.methods[name].to_dict()["train"]
        assert (train["n"], train["labelled"], sum(train["cluster_sizes"])) == (4, 0, 4)
        assert -1 <= train["silhouette"] <= 1 and train["davies_bouldin"] >= 0
        assert train["clustering_accuracy"] is None
    assert {"evaluation.json", "evaluation.md", "clusters.csv"} == {file.name for file in result.files}


@on_real_scans
@pytest.mark.parametrize(("method", "case_id"), [("dcam", "lidc"), ("dcam", "kernel-l"), ("baseline", "kernel-l")])
def test_maps_lie_on_the_lungs_of_the_original_scan(maps, original, method, case_id):
    image = original(case_id)
    hu = sitk.GetArrayFromImage(image)
    lungs = thresholded_lungs(hu[:, ::2, ::2])
    files = sorted((maps[method] / case_id).glob("*.nii.gz"))
    assert [file.name for file in files] == [
        "dcam-cluster-1.nii.gz",
        "dcam-cluster-2.nii.gz",
        "dcam-winner.nii.gz",
    ]
    for file in files:
        written = sitk.ReadImage(str(file))
        assert written.GetSize() == image.GetSize()
        for about in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert np.allclose(getattr(written, about)(), getattr(image, about)(), atol=1e-4), about
        shown = sitk.GetArrayFromImage(written) != 0
        assert np.mean(hu[shown] < -400) > 0.95
        thinned = shown[:, ::2, ::2]
        assert dice(thinned, lungs) > 0.97
        # lungs are no mirror images of each other, so the agreement would have shown a wrong orientation
        assert max(dice(np.flip(thinned, axis), lungs) for axis in range(3)) < 0.85


def none_accepted(cohort):
    return f"dcam-dist: {cohort}: no case was accepted; the reasons are above"


def test_an_mr_series_is_set_aside(tmp_path):
    slices = series()
    for dataset in slices:
        dataset.Modality = "MR"
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    write_series(tmp_path / "mr", slices)
    finished = dcam_dist("ingest", tmp_path / "mr", "--out", tmp_path / "c.zarr", GRID)
    assert (finished.returncode, finished.stderr.splitlines()[-1]) == (3, none_accepted(tmp_path / "c.zarr"))
    aside, count, _ = finished.stdout.splitlines()
    assert aside.startswith("set aside ") and aside.endswith(": wrong_modality: not CT")
    assert count == f"accepted: 0, set aside: 1, in {tmp_path / 'c.zarr'}"


@pytest.mark.realdata
def test_a_real_mr_series_is_set_aside(real_data, tmp_path):
    with tarfile.open(real_data / "odd" / "dicom2nifti.tar.xz") as packed:
        packed.extractall(tmp_path / "odd", filter="data")
    finished = dcam_dist("ingest", tmp_path / "odd/dicom2nifti/ge/anatomical", "--out", tmp_path / "c.zarr", GRID)
    assert (finished.returncode, finished.stderr.splitlines()[-1]) == (3, none_accepted(tmp_path / "c.zarr"))
    assert ": wrong_modality: not CT (also: " in finished.stdout.splitlines()[0]


def test_an_empty_folder_is_one_line(tmp_path):
    (tmp_path / "nothing").mkdir()
    finished = dcam_dist("ingest", tmp_path / "nothing", "--out", tmp_path / "c.zarr", GRID)
    assert (finished.returncode, finished.stdout) == (3, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"dcam-dist: {tmp_path / 'nothing'}: no DICOM")
    assert not (tmp_path / "c.zarr").exists()
