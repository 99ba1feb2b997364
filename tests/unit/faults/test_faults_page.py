"""The published fault matrix is what the committed results render to, and leaves no row and no guard out."""

import json

import pytest
from faults.training_faults import ROWS
from faults.training_guards import GUARDS, PROBES
from support.disturbances import BEFORE, MEANWHILE
from support.fault_matrix import PAGE, RESULTS, ROOT, outcome, render
from support.faulty_train import parse
from support.guards import REMOVE


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_what_the_results_render_to(results):
    assert PAGE.read_text(encoding="utf-8") == render(results), (
        "run PYTHONPATH=tests python -m support.fault_matrix render"
    )


@pytest.mark.parametrize("row", ROWS, ids=[row.key for row in ROWS])
def test_every_fault_has_results_and_all_its_tests_passed(results, row):
    passed, of = outcome(row, results["tests"])
    assert passed == of > 0


@pytest.mark.parametrize("guard", GUARDS, ids=[guard.name for guard in GUARDS])
def test_every_guard_was_taken_out_and_the_harm_was_seen(results, guard):
    passed, of = outcome(guard, results["tests"])
    assert passed == of > 0


def test_the_table_names_only_what_there_is():
    rows = (*ROWS, *PROBES)
    starts = [start for row in rows for start in row.starts]
    assert len({row.key for row in rows}) == len(rows)
    assert {start.before for start in starts} <= {"", *BEFORE}
    assert {start.meanwhile for start in starts} <= {"", *MEANWHILE}
    assert [fault for start in starts for fault in start.faults if not parse(fault)] == []
    assert {guard.name for guard in GUARDS if guard.row} == REMOVE.keys()
    assert {guard.row for guard in GUARDS if guard.row} <= {row.key for row in rows if row.starts}
    assert [name for row in rows for name in row.results if not (ROOT / name).exists()] == []
    for name in (*(test for row in rows for test in row.tests), *(guard.test for guard in GUARDS if guard.test)):
        file, _, function = name.partition("::")
        assert f"def {function}" in (ROOT / file).read_text(encoding="utf-8"), name
