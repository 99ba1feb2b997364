import gc
import json
import shutil
import sys

import numpy as np
import pytest
from support.cohorts import make_cohort, settings
from torch.nn.parallel import DistributedDataParallel

from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.runs import latest_checkpoint, open_cohort_of, restore_run
from dcam_dist.training import cycle, dry_run, train
from dcam_dist.types import Assignment, Phase, Position


def config(cohort, run, **overrides):
    return load_config(None, settings(cohort, output=run, **overrides))


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(dcam_run):
    return dcam_run


def test_a_run_holds_config_checkpoints_metrics_and_tensorboard(trained):
    assert {path.name for path in trained.iterdir()} == {"config.yaml", "checkpoints", "metrics.jsonl", "tensorboard"}
    assert list((trained / "tensorboard").glob("events*"))


def test_every_epoch_logs_what_its_users_watch(trained):
    lines = metrics(trained)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    for line in lines:
        assert line["loss"] > 0
        assert sum(line["cluster_sizes"]) == 9
        assert {"extract", "cluster", "reset", "train"} == line["seconds"].keys()
        assert line["volumes_per_second"] > 0
        assert line["peak_memory_bytes"] > 1e6
        assert 0 <= line["accuracy"] <= 1
        assert line["silhouette"] is None or -1 <= line["silhouette"] <= 1
    assert lines[0]["nmi_previous"] is None
    assert all(0 <= line["nmi_previous"] <= 1 for line in lines[1:])


def test_the_closing_clustering_speaks_of_the_finished_network(trained, small_cohort):
    from dcam_dist.distributed import open_processes
    from dcam_dist.training import extract_features

    run, cohort = restore_run(trained), open_cohort(small_cohort)
    ids = [case.case_id for case in cohort.split("train")]
    with open_processes() as context:
        features = extract_features(run.network, cohort, ids, run.config.data, context)
    np.testing.assert_array_equal(
        run.checkpoint.clustering.assign(features.features_NC), run.checkpoint.assignment.label_N
    )


def test_training_is_bit_for_bit_repeatable_and_resumes_bit_for_bit(tmp_path, small_cohort, trained):
    class Interrupted(Exception):
        pass

    calls, original = [], cycle.train_epoch

    def dies_in_the_second_epoch(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise Interrupted
        return original(*arguments)

    run = tmp_path / "resumed"
    settings_of_run = config(small_cohort, run, training__epochs=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cycle, "train_epoch", dies_in_the_second_epoch)
        with pytest.raises(Interrupted):
            train(settings_of_run)
    assert latest_checkpoint(run).epoch == 1
    train(settings_of_run)
    one, other = latest_checkpoint(trained), latest_checkpoint(run)
    for name in one.engine:
        np.testing.assert_array_equal(one.engine[name].numpy(), other.engine[name].numpy(), err_msg=name)
    np.testing.assert_array_equal(one.assignment.label_N, other.assignment.label_N)
    assert [line["loss"] for line in metrics(run)] == [line["loss"] for line in metrics(trained)]


def test_a_finished_run_is_left_as_it_is(trained, small_cohort):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    train(config(small_cohort, trained, training__epochs=3))
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}


def test_another_configuration_in_the_same_directory_is_refused_with_the_difference(tmp_path, trained, small_cohort):
    run = shutil.copytree(trained, tmp_path / "r")
    with pytest.raises(UsageError, match="seed: 0 → 5"):
        train(config(small_cohort, run, training__epochs=3, seed=5))
    train(config(small_cohort, run, training__epochs=3, data__threads=1, training__timeout_s=60))
    # how a run is judged may change, and the order of the reading threads cannot change a run
    train(config(small_cohort, run, training__epochs=3, evaluation__bootstrap=7))


def _moments(job, part):
    """Whether each tensor of the optimizer's state of a part of the network is more than zeros."""
    state = job.engine.state()
    return [bool(value.any()) for name, value in state.items() if name.startswith(f"optimizer.{part}")]


def test_the_head_is_drawn_anew_each_epoch_and_its_optimizer_state_is_cleared(small_cohort):
    import torch

    from dcam_dist.distributed import open_processes
    from dcam_dist.training.job import prepare_job

    settings_of_run = config(small_cohort, "unused", training__optimizer__name="adam")
    with open_processes() as context:
        job = prepare_job(settings_of_run, context)
        from dcam_dist.training.epoch import train_epoch
        from dcam_dist.training.state import Clustered, CycleState

        labels = Clustered(Assignment(np.arange(9) % 3, job.case_id_N, 0, 0.0), None, None)
        train_epoch(job, CycleState(Position(0, Phase.TRAIN), clustered=labels))
        head = job.engine.network.head
        parameters = [id(parameter) for parameter in head.parameters()]
        body = {name: value.clone() for name, value in job.engine.network.body.state_dict().items()}
        assert all(_moments(job, part) for part in ("head", "body"))
        job.engine.reset_head(torch.Generator().manual_seed(job.seed("head", 1)))
        assert not any(_moments(job, "head")) and any(_moments(job, "body"))
        assert [id(parameter) for parameter in head.parameters()] == parameters
        assert head.bias.abs().max() == 0
        assert 0.005 < float(head.weight.detach().std()) < 0.02
        assert all(torch.equal(body[name], value) for name, value in job.engine.network.body.state_dict().items())


def test_supervised_training_learns_the_labels_and_needs_no_clustering(tmp_path, small_cohort):
    run = tmp_path / "supervised"
    train(config(small_cohort, run, method="supervised", training__epochs=2))
    checkpoint = latest_checkpoint(run)
    assert checkpoint.clustering is None
    assert checkpoint.engine["network.head.weight"].shape[0] == 6
    assert "silhouette" not in metrics(run)[0]


def test_supervised_training_without_labels_is_refused(tmp_path, unlabelled_cohort):
    with pytest.raises(DataError, match="no training case has a label"):
        train(config(unlabelled_cohort, tmp_path / "r", method="supervised"))


def test_clustering_needs_no_labels(tmp_path, unlabelled_cohort):
    train(config(unlabelled_cohort, tmp_path / "r", training__epochs=1))
    assert "accuracy" not in metrics(tmp_path / "r")[0]


def test_a_dry_run_takes_one_step_and_writes_nothing(tmp_path, small_cohort):
    step = dry_run(config(small_cohort, tmp_path / "r"))
    assert step.volume_shape == (4, 1, 16, 32, 32)
    assert step.parameters == 255_572
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("overrides", "error", "part"),
    [
        ({"clustering__clusters": 10}, DataError, "9 training cases cannot form clustering.clusters=10"),
        ({"grid__shape": [32, 32, 32]}, UsageError, "its grid is"),
        ({"data__cohort": "nowhere.zarr"}, UsageError, "no cohort here"),
        ({"data__cohort": "null"}, UsageError, "data.cohort: not set"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(tmp_path, small_cohort, overrides, error, part):
    with pytest.raises(error, match=part):
        train(config(small_cohort, tmp_path / "r", **overrides))
    assert not (tmp_path / "r").exists()


def test_a_used_directory_is_not_overwritten(tmp_path, small_cohort):
    (tmp_path / "thesis.doc").write_text("precious")
    with pytest.raises(UsageError, match="holds no run"):
        train(config(small_cohort, tmp_path))
    with pytest.raises(UsageError, match="output: not set"):
        train(config(small_cohort, "null"))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, small_cohort):
    with pytest.raises(DataError, match="not finite"):
        train(config(small_cohort, tmp_path / "r", training__optimizer__lr=1e12, training__optimizer__head_lr=1e12))


def test_a_run_goes_on_with_a_moved_cohort_but_not_with_other_training_cases(tmp_path):
    run, moved = tmp_path / "r", tmp_path / "moved.zarr"
    train(config(make_cohort(tmp_path / "c.zarr", 9), run, training__epochs=1))
    (tmp_path / "c.zarr").rename(moved)
    train(config(moved, run, training__epochs=1))
    assert open_cohort_of(restore_run(run)).path == moved
    other = make_cohort(tmp_path / "other.zarr", 12)
    with pytest.raises(UsageError, match="differs in 2 cases"):
        train(config(other, run, training__epochs=1))
    with pytest.raises(UsageError, match="differs in 2 cases"):
        open_cohort_of(restore_run(run), other)
    assert open_cohort_of(restore_run(run)).path == moved


def test_no_epoch_is_missing_from_the_metrics_when_a_run_is_killed_before_its_checkpoint(tmp_path, small_cohort):
    module = sys.modules[train.__module__]
    settings_of_run, saved = config(small_cohort, tmp_path / "r"), module.write_checkpoint

    def killed(run, checkpoint, *others):
        if checkpoint.epoch == 2:
            raise KeyboardInterrupt
        return saved(run, checkpoint, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            train(settings_of_run)
    train(settings_of_run)
    assert [line["epoch"] for line in metrics(tmp_path / "r")] == [0, 1]


def test_no_engine_outlives_its_process_group(tmp_path, small_cohort):
    # its destructor would run in some later garbage collection, and hang there now and then
    gc.disable()
    try:
        dry_run(config(small_cohort, tmp_path / "r"))
        assert not [thing for thing in gc.get_objects() if type(thing) is DistributedDataParallel]
    finally:
        gc.enable()
