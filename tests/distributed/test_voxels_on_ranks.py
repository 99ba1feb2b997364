"""Texture patterns, their histograms and the subtypes are the same on one and more ranks."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
from support.cohorts import damage_case, make_cohort
from support.processes import python, torchrun

from dcam_dist.training.voxel_store import open_rows

pytestmark = pytest.mark.distributed
JOBS = "tests/support/voxel_jobs.py"
BACKENDS = ("torch", "sklearn")


def start(ranks, arguments):
    arguments = [JOBS, *map(str, arguments)]
    return torchrun(ranks, arguments) if ranks > 1 else python(arguments)


@pytest.fixture(scope="module")
def results(tmp_path_factory, dcam_run, small_cohort):
    """Folders by ranks and backend. 9 training cases: no multiple of 2 ranks, and blocks of 3 on 3."""
    folders = {(ranks, backend): tmp_path_factory.mktemp("out") for ranks in (1, 2, 3) for backend in BACKENDS}
    for (ranks, backend), folder in folders.items():
        changes = [f"clustering.backend={backend}", "patterns.keep_features=true"]
        ended = start(ranks, [folder, dcam_run, small_cohort, *changes])
        assert ended.returncode == 0, ended.stderr
    return folders


def table(folder, name):
    with (folder / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_rows_of_all_ranks_in_their_order_are_those_of_one(results, ranks):
    def rows(folder):
        stores = sorted((folder / "voxels").iterdir())
        return len(stores), np.concatenate([chunk for store in stores for chunk in open_rows(store).chunks()])

    (one, expected), (several, found) = rows(results[1, "torch"]), rows(results[ranks, "torch"])
    assert (one, several) == (1, ranks)
    assert len(expected) == 9 * 700
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_patterns_and_subtypes_are_the_same(results, ranks, backend):
    one, other = results[1, backend], results[ranks, backend]
    assert table(other, "patterns") == table(one, "patterns")
    assert len({row["pattern"] for row in table(one, "patterns")}) == 5
    for name in ("histograms", "subtypes"):
        assert [row["case_id"] for row in table(one, name)] == [row["case_id"] for row in table(other, name)]
        assert table(other, name) == table(one, name)


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_patterns_of_each_voxel_are_the_same(results, ranks):
    one, other = (sorted((results[n, "torch"] / "maps").rglob("*.nii.gz")) for n in (1, ranks))
    assert [file.parent.name for file in one] == [file.parent.name for file in other]
    assert len(one) == 6  # two of each subtype
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(*(sitk.GetArrayFromImage(sitk.ReadImage(str(f))) for f in (ours, theirs)))


def test_one_case_is_mapped_by_two_ranks(tmp_path, dcam_run, small_cohort):
    ended = start(2, [tmp_path, dcam_run, small_cohort, "case005"])
    assert ended.returncode == 0, ended.stderr
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["case005"]


def test_a_damaged_case_ends_all_ranks_with_one_line_and_leaves_no_features(tmp_path, dcam_run):
    cohort = make_cohort(tmp_path / "cohort.zarr", 13)
    damage_case(cohort, "case012", "flip")  # of the last rank's block
    ended = start(2, [tmp_path / "out", dcam_run, cohort])
    assert ended.returncode != 0
    lines = [line for line in ended.stderr.splitlines() if "case012" in line and line.startswith("dcam-dist:")]
    assert len(lines) == 1, ended.stderr
    assert "validate" in lines[0]
    assert not list((tmp_path / "out").glob("voxels/*"))


def test_a_chunk_that_one_rank_alone_cannot_read_is_told_once(tmp_path, dcam_run, small_cohort):
    ended = start(2, [tmp_path, dcam_run, small_cohort, "clustering.backend=torch", "cut"])
    assert ended.returncode != 0
    lines = [line for line in ended.stderr.splitlines() if line.startswith("dcam-dist:")]
    assert len(lines) == 1 and "rank-0001.zarr" in lines[0] and "has been cut" in lines[0], ended.stderr
