"""Labels laid into a sealed cohort: it stays as sealed, and an interrupted one leaves it readable as before."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import zarr
from support.cohorts import SHAPE, make_cohort

from dcam_dist.cohort import Fault, case_whole, open_cohort, validate
from dcam_dist.cohort.derived import DerivedLabel, put_label
from dcam_dist.cohort.stage import stage_cases, staged_cohort
from dcam_dist.errors import DataError

CASE = "case001"
LABELS = f"cases/{CASE}/labels"
CHANGES = {"os.rename", "os.rmdir", "shutil.rmtree"}


def label(seed=0, name="winner-dcam-00aa11bb"):
    values = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    colours = (("cluster 1", (230, 159, 0, 178)), ("cluster 2", (86, 180, 233, 178)))
    return DerivedLabel(name, values, values, colours, {"method": "dcam"})


def listed(store):
    return json.loads((store / LABELS / "zarr.json").read_text())["attributes"]["ome"]["labels"]


def put(store, what):
    return put_label(store, open_cohort(store).case(CASE), what)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("labelled") / "c.zarr", 2)


@pytest.fixture
def store(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "c.zarr")


@pytest.fixture
def labelled(store):
    put(store, label())
    return store


@pytest.mark.parametrize("deep", [True, False])
def test_the_cohort_stays_as_it_was_sealed(store, deep):
    seals = [(path, path.read_bytes()) for path in (*store.rglob("commit"), *store.rglob("manifest.json"))]
    hu, lungs = open_cohort(store).read(CASE)
    put(store, label())
    assert validate(store, deep=deep).findings == ()
    assert all(path.read_bytes() == content for path, content in seals)
    assert all((a == b).all() for a, b in zip(open_cohort(store).read(CASE), (hu, lungs), strict=True))
    assert case_whole(store, CASE)
    assert not (store / ".incoming").exists()


def test_zarr_reads_it_by_the_list_with_its_names_and_colours(labelled):
    group = zarr.open_group(labelled / "cases" / CASE / "labels", mode="r")
    assert group.attrs["ome"]["labels"] == ["lungs", "winner-dcam-00aa11bb"]
    found = group["winner-dcam-00aa11bb"]
    about = found.attrs["ome"]["image-label"]
    assert about["properties"] == [{"label-value": 1, "name": "cluster 1"}, {"label-value": 2, "name": "cluster 2"}]
    assert about["colors"][1] == {"label-value": 2, "rgba": [86, 180, 233, 178]}
    lungs = group["lungs"].attrs["ome"]["multiscales"][0]
    own = found.attrs["ome"]["multiscales"][0]
    assert (own["axes"], own["datasets"]) == (lungs["axes"], lungs["datasets"])
    for level in "01":
        np.testing.assert_array_equal(found[level][:], label().native_DHW)


def test_the_same_label_again_changes_nothing(labelled):
    before = {path: path.stat().st_ino for path in labelled.rglob("*")}
    put(labelled, label())
    assert {path: path.stat().st_ino for path in labelled.rglob("*")} == before


def test_another_label_of_that_name_takes_its_place_and_one_of_another_name_does_not(labelled):
    put(labelled, label(seed=1))
    put(labelled, label(seed=2, name="winner-dcam-ffffffff"))
    assert listed(labelled) == ["lungs", "winner-dcam-00aa11bb", "winner-dcam-ffffffff"]
    group = zarr.open_group(labelled / LABELS, mode="r")
    np.testing.assert_array_equal(group["winner-dcam-00aa11bb/0"][:], label(seed=1).native_DHW)
    np.testing.assert_array_equal(group["winner-dcam-ffffffff/0"][:], label(seed=2).native_DHW)
    assert validate(labelled).whole


def _put_until(store, changes):
    """In a process of its own: put a label, and be killed before the given change to the file system."""
    seen = 0

    def count(event, _):
        nonlocal seen
        seen += event in CHANGES
        if event in CHANGES and seen == changes:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    put(store, label(seed=1))


def test_killed_before_any_change_of_the_disk_the_list_names_only_whole_labels(labelled, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dcam_dist.cohort.derived", "dask.array", "support.cohorts"])
    kills = 0
    while True:
        store = shutil.copytree(labelled, tmp_path / f"killed{kills}.zarr")
        process = context.Process(target=_put_until, args=(store, kills + 1))
        process.start()
        process.join(60)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        found = validate(store).findings
        assert {one.fault for one in found} <= {Fault.FOREIGN}
        broken = {one.path.rsplit("/", 1)[-1] for one in found if "/labels/" in one.path}
        assert not broken & set(listed(store))
        for name in listed(store):
            assert zarr.open_group(store / LABELS, mode="r")[name]["0"][:].any()
        put(store, label(seed=1))
        assert validate(store).whole and listed(store) == ["lungs", "winner-dcam-00aa11bb"]
    assert kills >= 8


def test_a_damaged_label_is_named_and_a_new_one_mends_it(labelled):
    shard = labelled / LABELS / "winner-dcam-00aa11bb/1/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    (found,) = validate(labelled).findings
    assert (found.path, found.fault) == (f"{LABELS}/winner-dcam-00aa11bb", Fault.FOREIGN)
    assert found.detail == "a derived label that is damaged; write it anew"
    assert case_whole(labelled, CASE)  # ingest keeps the case
    put(labelled, label())
    assert validate(labelled).whole


def test_a_label_that_was_deleted_by_hand_is_missed(labelled):
    shutil.rmtree(labelled / LABELS / "winner-dcam-00aa11bb")
    (found,) = validate(labelled).findings
    assert found.detail.startswith("a derived label that is listed but not there")


@pytest.mark.parametrize("name", ["dcam-x", "lungs2"])
def test_other_names_in_the_list_are_damage(labelled, name):
    path = labelled / LABELS / "zarr.json"
    tree = json.loads(path.read_text())
    tree["attributes"]["ome"]["labels"].append(name)
    path.write_text(json.dumps(tree, indent=2))
    (found,) = validate(labelled).findings
    assert (found.path, found.fault) == (f"{LABELS}/zarr.json", Fault.DAMAGED)


def test_a_list_that_ingest_did_not_write_is_not_written_to(store):
    path = store / LABELS / "zarr.json"
    path.write_text(path.read_text().replace("lungs", "lungz"))
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"labels/zarr.json: not as ingest wrote it; mend it with"):
        put(store, label())
    assert path.read_bytes() == before


def test_a_label_of_another_shape_or_name_is_a_defect_of_the_caller(store):
    with pytest.raises(ValueError, match="does not fit"):
        put(store, replace(label(), grid_DHW=np.zeros((2, 2, 2), np.uint8)))
    with pytest.raises(ValueError, match="begins with"):
        put(store, label(name="lungs"))
    assert listed(store) == ["lungs"]


def test_staging_goes_on_as_before(labelled, tmp_path):
    cohort = open_cohort(labelled)
    staged = staged_cohort(cohort, tmp_path / "stage")
    assert [case.fault for case in stage_cases(cohort, [CASE], staged.path)] == [None]
    assert not list(staged.path.rglob("winner-*"))
    np.testing.assert_array_equal(staged.read(CASE)[0], cohort.read(CASE)[0])
