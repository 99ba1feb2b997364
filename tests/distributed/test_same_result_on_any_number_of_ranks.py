"""One and more processes give the same features, the same assignment and the same loss, within float32 rounding."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.cohorts import BASELINE_SHAPE, make_cohort, settings
from support.processes import torchrun
from support.trainings import run_ranks

from dcam_dist.runs import latest_checkpoint

pytestmark = pytest.mark.distributed
JOBS = "tests/support/rank_jobs.py"
METHODS = ("dcam", "baseline")


@pytest.fixture(scope="module")
def results(tmp_path_factory, small_cohort):
    """Folders of what 1, 2 and 3 ranks make, see ``rank_jobs``.

    9 training cases on 2 ranks, batches of 4 on 3 ranks, a batch of 9 on 2: none divides evenly.
    """
    root = tmp_path_factory.mktemp("ranks")
    baseline_cohort = make_cohort(root / "baseline.zarr", 13, shape=BASELINE_SHAPE)
    folders = {ranks: root / str(ranks) for ranks in (1, 2, 3)}
    for ranks, folder in folders.items():
        folder.mkdir()
        run_ranks(ranks, JOBS, folder, small_cohort, baseline_cohort, folders[1], log=root / "log.txt")
    return folders


def losses(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines], [line["steps"] for line in lines]


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_same(results, method, ranks):
    loss, steps = losses(results[ranks] / method)
    expected_loss, expected_steps = losses(results[1] / method)
    assert len(loss) == 2
    assert loss == pytest.approx(expected_loss, rel=0, abs=1e-4)
    assert steps == expected_steps


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_assignment_is_the_same(results, method, ranks):
    one, other = (latest_checkpoint(results[n] / method).assignment for n in (1, ranks))
    assert one.case_id_N == other.case_id_N
    np.testing.assert_array_equal(one.label_N, other.label_N)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("method", [*METHODS, "dcam-parts"])
def test_one_step_gives_the_same_weights_and_running_statistics(results, method, ranks):
    # one step, because over many the rounding differences grow: a network perturbed by 1e-6 drifts just as far
    one, other = (latest_checkpoint(results[n] / f"{method}-step").engine for n in (1, ranks))
    assert one.keys() == other.keys()
    assert losses(results[ranks] / f"{method}-step")[1] == [1]
    gradients = [name for name in one if name.endswith("/momentum_buffer")]  # what it holds after one step
    assert len(gradients) == sum(name.startswith("network.body") and "running" not in name for name in one)
    for name in one.keys() - gradients:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
    for name in gradients:
        # sums over 10⁵ voxels that nearly cancel before a normalization; at a ReLU's kink rounding decides a voxel
        assert float((other[name] - one[name]).norm()) <= 5e-3 * float(one[name].norm()), name


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_features_are_the_same_and_in_case_order_on_every_rank(results, method, ranks):
    one, other = (np.load(results[n] / f"features-{method}.npy") for n in (1, ranks))
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("policy", ["none", "block"])
def test_normalization_spans_the_batch_of_all_ranks(results, policy, ranks):
    one, other = (load_file(results[n] / f"norm-{policy}.safetensors") for n in (1, ranks))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("ranks", [2, 3])
def test_checkpointing_changes_no_weight_and_no_buffer(results, ranks):
    plain, block = (latest_checkpoint(results[ranks] / name).engine for name in ("dcam-step", "dcam-step-block"))
    for name in plain:
        np.testing.assert_array_equal(plain[name].numpy(), block[name].numpy(), err_msg=name)


def test_an_error_on_all_ranks_is_told_once_and_leaves_nothing(small_cohort, tmp_path):
    arguments = ["-m", "dcam_dist", "train", *settings(small_cohort, output=tmp_path / "r"), "training.batch_size=1"]
    ended = torchrun(2, arguments)
    assert ended.returncode != 0
    assert ended.stderr.count("less than the 2 ranks") == 1
    assert not (tmp_path / "r").exists()
