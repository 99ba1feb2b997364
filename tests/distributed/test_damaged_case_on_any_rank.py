"""A damaged case is left out by all ranks together, whichever rank meets it, and nobody waits for ever."""

import json
import shutil

import numpy as np
import pytest
from support.cohorts import damage_case, make_cohort, settings
from support.damage_jobs import PATCHED, SMALL
from support.processes import torchrun
from support.trainings import run_ranks

from dcam_dist.runs import latest_checkpoint, read_set_aside
from dcam_dist.types import UNASSIGNED

pytestmark = pytest.mark.distributed
JOBS = "tests/support/damage_jobs.py"
VICTIM = "case003"
KINDS = ("flip", "truncate", "zeros", "delete")
BETWEEN = ("between-case000", "between-case003")
RUNS = (*(f"before-{kind}" for kind in KINDS), *BETWEEN)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folders of what 1 and 2 ranks make of equal cohorts, see ``damage_jobs``; no start may take four minutes."""
    root = tmp_path_factory.mktemp("damage")
    whole = make_cohort(root / "whole.zarr", 13, shape=SMALL)
    larger = make_cohort(root / "larger.zarr", 13)
    folders = {}
    for ranks in (1, 2):
        cohorts, folders[ranks] = root / f"cohorts-{ranks}", root / str(ranks)
        folders[ranks].mkdir()
        for name in (*RUNS, PATCHED, "plain", "staged"):
            shutil.copytree(larger if name == PATCHED else whole, cohorts / f"{name}.zarr")
        for kind in KINDS:
            damage_case(cohorts / f"before-{kind}.zarr", VICTIM, kind)
        run_ranks(ranks, JOBS, folders[ranks], cohorts, log=root / "log.txt")
    return folders


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def cluster_of(run, case_id):
    return latest_checkpoint(run).assignment.by_case()[case_id]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_case_damaged_before_the_start_is_left_out_and_the_run_finishes(results, ranks, kind):
    run = results[ranks] / f"before-{kind}"
    (listed,) = read_set_aside(run)
    assert (listed.case_id, listed.epoch, listed.phase) == (VICTIM, 0, "extract")
    assert [line["set_aside"] for line in lines(run)] == [1]
    assert cluster_of(run, VICTIM) == UNASSIGNED
    assert latest_checkpoint(run).finished


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("name", BETWEEN)
def test_a_case_damaged_between_extraction_and_training_is_left_out_from_there(results, ranks, name):
    run, victim = results[ranks] / name, name.removeprefix("between-")
    (listed,) = read_set_aside(run)
    assert (listed.case_id, listed.epoch, listed.phase) == (victim, 1, "train")
    assert [line["set_aside"] for line in lines(run)] == [0, 1, 1]
    assert [sum(line["cluster_sizes"]) for line in lines(run)] == [9, 9, 8]
    assert cluster_of(run, victim) == UNASSIGNED


@pytest.mark.parametrize("name", [*RUNS, PATCHED])
def test_the_result_does_not_depend_on_the_number_of_ranks(results, name):
    one, two = (results[ranks] / name for ranks in (1, 2))
    assert [line["steps"] for line in lines(one)] == [line["steps"] for line in lines(two)]
    assert [line["loss"] for line in lines(two)] == pytest.approx(
        [line["loss"] for line in lines(one)], rel=0, abs=1e-4
    )
    np.testing.assert_array_equal(*(latest_checkpoint(run).assignment.label_N for run in (one, two)))
    assert read_set_aside(one) == read_set_aside(two)


@pytest.mark.parametrize("ranks", [1, 2])
def test_staged_or_not_a_run_is_the_same_to_the_last_bit(results, ranks):
    plain, staged = (latest_checkpoint(results[ranks] / name) for name in ("plain", "staged"))
    for name in plain.engine:
        np.testing.assert_array_equal(plain.engine[name].numpy(), staged.engine[name].numpy(), err_msg=name)
    np.testing.assert_array_equal(plain.assignment.label_N, staged.assignment.label_N)
    (copy,) = (results[ranks] / "fast").iterdir()
    assert len(list((copy / "cases").iterdir())) == 9


def test_notes_of_any_rank_are_known_to_all(results):
    first, second = (json.loads((results[2] / f"notes-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second == [{}, {"of the last": "ß" * 50}, {"8": "x", "9": "", "all": "rank 0"}]
    assert list(first[2]) == sorted(first[2])


def test_too_many_damaged_cases_stop_all_ranks_with_one_line_and_exit_code_3(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 13)
    for case_id in ("case000", "case001"):
        damage_case(cohort, case_id, "flip")
    ended = torchrun(2, ["-m", "dcam_dist", "train", *settings(cohort, output=tmp_path / "r")])
    assert ended.returncode != 0
    assert ended.stderr.count("2 of 9 training cases are damaged, more than 5%") == 1
    assert "exitcode  : 3" in ended.stderr
    assert ended.stderr.count(f"dcam-dist validate {cohort} --repair") >= 1
    assert "dcam_dist/training" not in ended.stderr  # no traceback of ours
