"""The quality report as ingest writes it: in the cohort, sealed with it, the same the second time."""

import base64
import csv

import numpy as np
from support.ct_files import chest_hu, lung_box, write_image

from dcam_dist.cohort import open_cohort, validate
from dcam_dist.cohort.layout import CASES
from dcam_dist.config import load_config
from dcam_dist.ingest import ingest
from dcam_dist.ingest.quality import MONTAGE, PAGE, TABLE

CONFIG = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"])


def _ingested(root):
    write_image(root / "whole.nrrd", chest_hu())
    write_image(root / "mask.nrrd", lung_box().astype(np.uint8))
    write_image(root / "other.nrrd", lung_box()[1:].astype(np.uint8))
    (root / "broken.nrrd").write_bytes(b"NRRD0004\n")
    (root / "cases.csv").write_text(
        "case_id,image,lung_mask,kernel\n"
        "whole,whole.nrrd,mask.nrrd,B30f\nmismatch,whole.nrrd,other.nrrd,\nbroken,broken.nrrd,,\n"
    )
    ingest([root / "cases.csv"], root / "c.zarr", config=CONFIG)
    return root / "c.zarr"


def test_ingest_reports_on_every_case(tmp_path):
    cohort = _ingested(tmp_path)
    with (cohort / TABLE).open(encoding="utf-8", newline="") as stream:
        rows = {row["case_id"]: row for row in csv.DictReader(stream)}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "whole": "accepted",
        "mismatch": "set_aside",
        "broken": "set_aside",
    }
    assert rows["mismatch"]["reason"] == "mask_mismatch" and rows["whole"]["kernel"] == "B30f"
    sides = [float(rows["whole"][f"volume_{side}_ml"]) for side in ("right", "left")]
    assert abs(sum(sides) - float(rows["whole"]["volume_ml"])) < 1 and min(sides) > 0
    page = (cohort / PAGE).read_text(encoding="utf-8")
    montage = (cohort / CASES / "whole" / MONTAGE).read_bytes()
    assert base64.b64encode(montage).decode() in page


def test_a_scan_that_was_read_before_it_was_set_aside_keeps_a_picture(tmp_path):
    cohort = _ingested(tmp_path)
    pictures = {entry.case_id: entry.picture for entry in open_cohort(cohort).quarantine}
    assert base64.b64decode(pictures["mismatch"])[8:12] == b"WEBP" and pictures["broken"] == ""
    assert pictures["mismatch"] in (cohort / PAGE).read_text(encoding="utf-8")


def test_the_report_is_sealed_and_the_same_the_second_time(tmp_path):
    cohort = _ingested(tmp_path)
    before = {path: path.read_bytes() for path in cohort.rglob("*") if path.is_file()}
    _ingested(tmp_path)
    assert {path: path.read_bytes() for path in cohort.rglob("*") if path.is_file()} == before
    assert validate(cohort).whole
    (cohort / PAGE).write_text("")
    assert not validate(cohort).whole
