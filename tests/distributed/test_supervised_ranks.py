"""Supervised training is the same on one and more ranks: weights of the grades, validation, and when it ends."""

import json

import numpy as np
import pytest
from support.trainings import run_ranks

from dcam_dist.runs import latest_checkpoint
from dcam_dist.types import UNASSIGNED

pytestmark = pytest.mark.distributed
JOBS = "tests/support/supervised_jobs.py"


@pytest.fixture(scope="module")
def results(tmp_path_factory, small_cohort):
    """Folders of what 1 and 2 ranks make, see ``supervised_jobs``. 3 cases to validate on: odd for 2 ranks."""
    folders = {}
    for ranks in (1, 2):
        folders[ranks] = tmp_path_factory.mktemp(f"supervised-{ranks}")
        run_ranks(ranks, JOBS, folders[ranks], small_cohort, log=folders[ranks] / "log.txt")
    return folders


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["loss", "validation_loss", "validation_accuracy", "validation_kappa"])
def test_the_figures_of_every_epoch_are_the_same(results, name):
    one, two = ([line[name] for line in lines(results[ranks] / "validated")] for ranks in (1, 2))
    assert len(one) == 2
    assert two == pytest.approx(one, rel=0, abs=1e-4)


def test_the_cases_kept_out_and_the_epoch_of_the_best_weights_are_the_same(results):
    one, two = (latest_checkpoint(results[ranks] / "validated") for ranks in (1, 2))
    assert (one.assignment.label_N == UNASSIGNED).sum() == 3
    np.testing.assert_array_equal(one.assignment.label_N, two.assignment.label_N)
    assert one.best.epoch == two.best.epoch
    assert one.best.network.keys() == two.best.network.keys()


def test_a_weighted_step_is_the_same(results):
    one, two = (latest_checkpoint(results[ranks] / "weighted").engine for ranks in (1, 2))
    assert lines(results[1] / "weighted")[0]["steps"] == 1
    assert one.keys() == two.keys()
    for name in one:
        if not name.endswith("/momentum_buffer"):
            np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_ranks_with_different_networks_are_stopped_all(results):
    assert not (results[1] / "differ-0").exists()
    for rank in (0, 1):
        assert f"rank {rank}: the ranks hold different networks" in (results[2] / f"differ-{rank}").read_text()
