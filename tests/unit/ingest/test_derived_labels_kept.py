"""Labels in a cohort and what writes into it next: ingest and repair."""

import json

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, series, write_image, write_series

from dcam_dist.cohort import open_cohort, validate
from dcam_dist.cohort.derived import DerivedLabel, put_label
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.ingest.repair import repair

NAME = "winner-dcam-00aa11bb"


@pytest.fixture
def scans(tmp_path):
    write_image(tmp_path / "mask.nrrd", lung_box())
    for number in range(2):
        write_series(tmp_path / f"ct{number}", series(chest_hu(seed=number), patient=f"P{number}"))
    rows = ["case_id,image,lung_mask", "c0,ct0,mask.nrrd", "c1,ct1,mask.nrrd"]
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def store(scans):
    """A cohort of two cases, both with a label."""
    bring_in(scans)
    cohort = open_cohort(scans / "c.zarr")
    for record in cohort.cases:
        values = [np.ones(space.shape, np.uint8) for space in (record.native, record.grid)]
        put_label(cohort.path, record, DerivedLabel(NAME, *values, (("cluster 1", (230, 159, 0, 178)),), {}))
    return cohort.path


def bring_in(scans):
    config = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"])
    return ingest([scans / "cases.csv"], scans / "c.zarr", config=config, strict=True)


def listed(store, case_id):
    tree = json.loads((store / "cases" / case_id / "labels" / "zarr.json").read_text())
    return tree["attributes"]["ome"]["labels"]


def test_ingest_again_keeps_the_labels_of_unchanged_cases_and_drops_those_of_changed_ones(scans, store):
    seal = (store / "commit").read_bytes()
    bring_in(scans)
    assert (store / "commit").read_bytes() == seal
    assert listed(store, "c0") == listed(store, "c1") == ["lungs", NAME]
    write_series(scans / "ct1", series(chest_hu(seed=9), patient="P1"))
    bring_in(scans)
    assert (listed(store, "c0"), listed(store, "c1")) == (["lungs", NAME], ["lungs"])
    assert validate(store).findings == ()


def test_repair_takes_out_a_damaged_label_and_its_name_and_touches_nothing_else(store):
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    shard = store / "cases" / "c0" / "labels" / NAME / "1" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-9])
    summary = repair(validate(store))
    assert (summary.ingested, summary.deleted) == ((), (f"cases/c0/labels/{NAME}",))
    assert (listed(store, "c0"), listed(store, "c1")) == (["lungs"], ["lungs", NAME])
    assert validate(store).findings == ()
    kept = {path: content for path, content in before.items() if "c0/labels" not in path.as_posix()}
    assert {path: path.read_bytes() for path in kept} == kept
