import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.spatial import from_sitk
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.maps import ActivationMaps, MappedCase, export_case, open_scene
from dcam_dist.maps.export import lungs_in_scan
from dcam_dist.maps.naming import ClassNames
from dcam_dist.maps.spaces import maps_in, winner_of

NAMES = ClassNames(
    "cluster", ("cluster 1", "cluster 2", "cluster 3"), ("dcam-cluster-1", "dcam-cluster-2", "dcam-cluster-3"), 1
)
CASES = [f"case-{number}" for number in range(5)]  # canonical, flipped, mirrored, oblique, oblique flipped
GRID = (16, 32, 32)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def make_scene(cohort_path):
    """Builds the scene of a case from maps (K, D, H, W) on its grid."""
    cohort = open_cohort(cohort_path)

    def make(case_id, dense_KDHW):
        lungs = cohort.lung_mask(case_id).compute().astype(bool)
        logit_K = dense_KDHW[:, lungs].mean(axis=1)
        maps = ActivationMaps(dense_KDHW, logit_K, np.zeros(8, np.float32))
        distance_K = np.array([3.0, 0.5, 2.0], np.float32)
        mapped = MappedCase(cohort.case(case_id), maps, lungs, 1, np.array([0.2, 0.3, 0.5], np.float32), distance_K)
        return open_scene(mapped, cohort)

    return make


@pytest.fixture(scope="module")
def grid_of(cohort_path):
    return lambda case_id: open_cohort(cohort_path).case(case_id).grid


def hot_spot(grid, hot_zyx):
    """Three maps, the last one round in millimetres and highest at one voxel."""
    from_hot = [
        np.subtract(axis, hot) * step
        for axis, hot, step in zip(np.indices(grid.shape), hot_zyx, grid.spacing_mm, strict=True)
    ]
    hot = 10 * np.exp(-sum(distance**2 for distance in from_hot) / 200)
    return np.stack([0 * hot, 0 * hot, hot]).astype(np.float32)


def random_maps():
    return np.random.default_rng(0).normal(size=(3, *GRID)).astype(np.float32)


@pytest.mark.parametrize("case_id", CASES)
def test_a_hot_voxel_of_the_grid_lands_at_its_world_coordinates(make_scene, grid_of, case_id, tmp_path):
    hot_zyx = (10, 13, 7)  # off centre, in one lung
    scene = make_scene(case_id, hot_spot(grid_of(case_id), hot_zyx))
    assert scene.mapped.lung_mask_DHW[hot_zyx]
    export_case(scene, tmp_path, NAMES)
    image = sitk.ReadImage(str(tmp_path / "dcam-cluster-3.nii.gz"))
    hottest_zyx = np.unravel_index(sitk.GetArrayFromImage(image).argmax(), image.GetSize()[::-1])
    found = np.array(image.TransformIndexToPhysicalPoint([int(index) for index in hottest_zyx[::-1]]))
    planted = (scene.mapped.record.grid.matrix @ [*hot_zyx[::-1], 1])[:3]
    assert np.linalg.norm(found - planted) < 0.5 * np.linalg.norm(scene.mapped.record.scan.spacing_mm)


@pytest.mark.parametrize("case_id", CASES)
def test_files_read_back_with_the_scans_affine_and_the_maps_values(make_scene, case_id, tmp_path):
    scene = make_scene(case_id, random_maps())
    space = scene.mapped.record.scan
    export_case(scene, tmp_path, NAMES)
    for stem, expected in zip(NAMES.stems, maps_in(scene.mapped, space, lungs_in_scan(scene)), strict=True):
        path = tmp_path / f"{stem}.nii.gz"
        values, geometry = from_sitk(sitk.ReadImage(str(path)))
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, expected)
        assert geometry.shape == space.shape
        np.testing.assert_allclose(geometry.matrix, space.matrix, atol=1e-4)
        image = nibabel.load(path)
        np.testing.assert_allclose(image.affine, LPS_TO_RAS @ space.matrix, atol=1e-4)
        np.testing.assert_array_equal(image.get_fdata(dtype=np.float32).transpose(2, 1, 0), expected)


@pytest.mark.parametrize("case_id", ["case-0", "case-4"])
def test_the_winner_is_the_largest_map_inside_the_lungs_and_zero_outside(make_scene, case_id, tmp_path):
    scene = make_scene(case_id, random_maps() - 5)  # all logits below the zero outside
    export_case(scene, tmp_path, NAMES)
    winner = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "dcam-winner.nii.gz")))
    maps = np.stack([sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{s}.nii.gz"))) for s in NAMES.stems])
    lungs = lungs_in_scan(scene)
    assert winner.dtype == np.uint8
    assert lungs.sum() == scene.lungs_DHW.sum()
    np.testing.assert_array_equal(winner[lungs], maps.argmax(axis=0)[lungs] + 1)
    assert not winner[~lungs].any() and not maps[:, ~lungs].any()
    assert set(np.unique(winner)) == {0, 1, 2, 3}


@pytest.mark.parametrize("case_id", CASES)
def test_the_lungs_lie_where_the_scan_has_them(make_scene, true_lungs, case_id):
    scene = make_scene(case_id, np.zeros((3, *GRID), np.float32))
    np.testing.assert_array_equal(lungs_in_scan(scene), true_lungs(scene.mapped.record.scan))


def test_the_sidecar_numbers_clusters_from_one_and_names_files_that_exist(make_scene, tmp_path):
    scene = make_scene("case-0", random_maps())
    files = export_case(scene, tmp_path, NAMES)
    tree = json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    assert (tree["case_id"], tree["cluster"], tree["cluster_of_the_head"]) == ("case-0", 2, 3)
    assert tree["distances_to_centroids"] == {"cluster 1": 3.0, "cluster 2": 0.5, "cluster 3": 2.0}
    assert {tmp_path / name for name in tree["files"].values()} < set(files)
    assert sorted(files) == sorted(tmp_path.iterdir())
    for number, title in enumerate(NAMES.titles):
        assert tree["logits"][title] == pytest.approx(scene.mapped.maps.logit_K[number])


def test_a_folder_that_cannot_be_written_is_one_clear_line(make_scene, tmp_path):
    scene = make_scene("case-0", random_maps())
    with pytest.raises(EnvironmentFault, match=r"dcam-cluster-1\.nii\.gz: cannot be written"):
        export_case(scene, tmp_path / "missing", NAMES)


def test_a_supervised_case_has_no_distances(make_scene, tmp_path):
    scene = make_scene("case-0", random_maps())
    without = replace(scene, mapped=replace(scene.mapped, distance_K=None))
    export_case(without, tmp_path, NAMES)
    assert json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))["distances_to_centroids"] is None


def test_more_classes_than_a_byte_counts_are_refused():
    """Instead of a winner that begins again at 0, which means outside."""
    lungs, logits = np.ones((1, 1, 1), bool), np.zeros((1, 1, 1), np.float32)
    assert winner_of((logits + number for number in range(255)), lungs).item() == 255
    with pytest.raises(UsageError, match="more than 255 classes"):
        winner_of((logits + number for number in range(256)), lungs)
