"""One and more processes give the same features, the same assignment and the same loss, within float32 rounding."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from support.cohorts import SHAPE, make_cohort, settings
from support.processes import REPOSITORY, torchrun

from dcam_dist.runs import latest_checkpoint

pytestmark = pytest.mark.distributed
SUPPORT = REPOSITORY / "tests" / "support"


def train(run, cohort, processes, **overrides):
    arguments = ["-m", "dcam_dist", "train", *settings(cohort, output=run, **overrides)]
    ended = torchrun(processes, arguments)
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return lines, latest_checkpoint(run)


@pytest.fixture(scope="module", params=["dcam", "baseline"])
def runs(request, tmp_path_factory, small_cohort):
    folder, cohort, shape = tmp_path_factory.mktemp(request.param), small_cohort, SHAPE
    overrides = {"method": request.param}
    if request.param == "baseline":
        # its deepest normalization sees 16 values on the smaller grid; at the default rate, rounding differences of
        # 1e-6 in the weights alone (one process, perturbed) grow to 5e-4 in the loss within two epochs
        shape = (32, 32, 32)
        cohort = make_cohort(folder / "cohort.zarr", 13, shape=shape)
        overrides["training__optimizer__lr"] = 0.01
    overrides["grid__shape"] = list(shape)
    return {n: (folder / str(n), *train(folder / str(n), cohort, n, **overrides)) for n in (1, 2, 3)}


@pytest.mark.parametrize("processes", [2, 3])
def test_the_loss_is_the_same(runs, processes):
    # 9 training cases on 2 ranks, and batches of 4 on 3 ranks: neither divides evenly
    for one, other in zip(runs[1][1], runs[processes][1], strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-4)
        assert other["steps"] == one["steps"]


@pytest.mark.parametrize("processes", [2, 3])
def test_the_assignment_is_the_same(runs, processes):
    one, other = runs[1][2].assignment, runs[processes][2].assignment
    assert one.case_id_N == other.case_id_N
    np.testing.assert_array_equal(one.label_N, other.label_N)


@pytest.mark.parametrize("processes", [2, 3])
def test_weights_and_running_statistics_are_the_same(runs, processes):
    one, other = runs[1][2].engine, runs[processes][2].engine
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name].numpy(), other[name].numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_features_are_the_same_and_in_case_order_on_every_rank(runs, tmp_path):
    tables = []
    for processes in (1, 2, 3):
        file = tmp_path / f"{processes}.npy"
        ended = torchrun(processes, [str(SUPPORT / "extract_features.py"), str(runs[1][0]), str(file)])
        assert ended.returncode == 0, ended.stderr
        tables.append(np.load(file))
    for table in tables[1:]:
        np.testing.assert_allclose(table, tables[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["none", "block"])
def test_normalization_spans_the_batch_of_all_ranks(tmp_path, policy):
    results = []
    for processes in (1, 2, 3):
        file = tmp_path / f"{processes}.safetensors"
        ended = torchrun(processes, [str(SUPPORT / "global_norm.py"), str(file), policy])
        assert ended.returncode == 0, ended.stderr
        results.append(load_file(file))
    for result in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_allclose(result[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_checkpointing_under_two_ranks_changes_no_weight_and_no_buffer(tmp_path, small_cohort):
    engines = []
    for policy in ("none", "block"):
        _, checkpoint = train(tmp_path / policy, small_cohort, 2, network__checkpointing=policy)
        engines.append(checkpoint.engine)
    for name in engines[0]:
        np.testing.assert_array_equal(engines[0][name].numpy(), engines[1][name].numpy(), err_msg=name)


def test_an_error_on_all_ranks_is_told_once(small_cohort, tmp_path):
    ended = torchrun(
        2, ["-m", "dcam_dist", "train", *settings(small_cohort, output=tmp_path / "r"), "clustering.clusters=50"]
    )
    assert ended.returncode != 0
    assert ended.stderr.count("cannot form clustering.clusters=50") == 1


def test_a_batch_smaller_than_the_ranks_is_refused(small_cohort, tmp_path):
    arguments = ["-m", "dcam_dist", "train", *settings(small_cohort, output=tmp_path / "r"), "training.batch_size=1"]
    ended = torchrun(2, arguments)
    assert "less than the 2 ranks" in ended.stderr
    assert not (tmp_path / "r").exists()
