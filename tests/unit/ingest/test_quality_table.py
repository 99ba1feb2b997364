"""The quality table: every case once, in the order in which to look at them, harmless in a spreadsheet."""

import csv
import io

import numpy as np
import pytest
from support.quality_cohorts import table_case, table_cohort

from dcam_dist.ingest.quality.table import rows_of, table_of


def _read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_every_case_once_and_the_urgent_ones_first(tmp_path):
    cohort = table_cohort(tmp_path, 60, 10)
    rows = rows_of(cohort)
    assert sorted(row.case_id for row in rows) == sorted(case.case_id for case in (*cohort.cases, *cohort.quarantine))
    kinds = [
        "aside" if r.verdict == "set_aside" else "outlier" if r.is_outlier else "flag" if r.flags else "" for r in rows
    ]
    assert kinds == sorted(kinds, key=["aside", "outlier", "flag", ""].index)
    scores = [row.outlier.score for row in rows if row.is_outlier]
    assert scores == sorted(scores, reverse=True) and scores
    assert {row.case_id for row in rows if row.is_outlier} >= {"c0007", "c0057"}


def test_the_values_are_those_of_the_cohort(tmp_path):
    cohort = table_cohort(tmp_path, 8, 2)
    by_id = {row["case_id"]: row for row in _read(table_of(rows_of(cohort)))}
    case, row = cohort.cases[3], by_id["c0003"]
    assert row["verdict"] == "accepted" and row["reason"] == ""
    assert float(row["volume_ml"]) == pytest.approx(case.densitometry["volume_ml"], rel=1e-5)
    assert float(row["mean_hu"]) == pytest.approx(case.densitometry["mean_hu"], rel=1e-5)
    assert float(row["right_left_ratio"]) == pytest.approx(0.54 / 0.46, rel=1e-5)
    spacing = [float(row[f"spacing_{axis}_mm"]) for axis in "zyx"]
    assert spacing == pytest.approx(case.native.spacing_mm)
    assert [int(row[f"scan_{axis}"]) for axis in "zyx"] == list(case.scan.shape)
    assert (row["kernel"], row["kvp"], row["split"]) == (case.covariates["kernel"], "120", case.split)
    assert (by_id["q0000"]["verdict"], by_id["q0000"]["reason"]) == ("set_aside", "missing_slices")
    assert by_id["q0000"]["volume_ml"] == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "  '=1"),
        ("\t=1", " '=1"),
        ("a;=1", "a;'=1"),
        ("two\nlines", "two lines"),
        ("nul\0 and \ud800", "nul  and  "),
        ("＝1", "'＝1"),
        ("-850.5", "-850.5"),
        ("a-b; 50 %", "a-b; 50 %"),
        ('say "hi", Jörg', 'say "hi", Jörg'),
    ],
)
def test_no_text_is_a_formula(tmp_path, text, written):
    case = table_case("c", np.random.default_rng(0), covariates={"kernel": text, "note": text, text: "x"})
    cohort = table_cohort(tmp_path, 0, 0)
    (row,) = _read(table_of(rows_of(type(cohort)(cohort.path, cohort.description, (case,), ()))))
    assert row["kernel"] == row["covariate_note"] == written
    assert not any(cell.lstrip().startswith(("=", "+", "@")) for cell in [*row, *row.values()])


def test_an_empty_cohort_has_a_header_only(tmp_path):
    assert table_of(rows_of(table_cohort(tmp_path, 0, 0))).count("\n") == 1
