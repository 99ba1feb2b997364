"""The supervised run on a small cohort: what it learns from, when it ends, what it leaves."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.cohorts import damage_case, make_cohort, settings
from torch.nn import functional as F

from dcam_dist.cohort import close_cohort, open_cohort, stream_batches
from dcam_dist.config import load_config
from dcam_dist.config.seeds import derived_seed
from dcam_dist.errors import UsageError
from dcam_dist.evaluation import evaluate
from dcam_dist.maps import write_maps
from dcam_dist.metrics import weighted_kappa
from dcam_dist.models import build_network
from dcam_dist.runs import BestWeights, latest_checkpoint, read_set_aside, restore_run
from dcam_dist.training import extract, supervised, train
from dcam_dist.training.supervised import better, is_over
from dcam_dist.training.validation import Validation
from dcam_dist.training.validation_split import validation_rows
from dcam_dist.types import UNASSIGNED, Phase, Position

EPOCHS, PATIENCE = 6, 2
SHARE = 0.3


def config(cohort, run, **overrides):
    values = {"method": "supervised", "supervised__validation_fraction": SHARE, "training__epochs": EPOCHS, **overrides}
    return load_config(None, settings(cohort, output=run, **values))


def early(cohort, run, **overrides):
    """A run whose validation loss gets worse after some epochs."""
    return config(cohort, run, **{"supervised__patience": PATIENCE, "training__epochs": 40, **overrides})


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def kept_out(cohort):
    cases = open_cohort(cohort).split("train")
    grade_N = np.array([case.label for case in cases])
    seed = derived_seed(0, "validation", 0)
    chosen = validation_rows([case.patient_key for case in cases], grade_N, fraction=SHARE, seed=seed)
    return [case for case, out in zip(cases, chosen, strict=True) if out]


@pytest.fixture(scope="module")
def run(small_cohort, tmp_path_factory):
    """A run that ends early."""
    output = tmp_path_factory.mktemp("supervised") / "run"
    train(early(small_cohort, output))
    return output


def validation(loss):
    return Validation(loss, 0.5, 0.5, 4)


def test_only_a_lower_loss_is_better_and_its_weights_are_copied():
    weights = {"w": torch.ones(2)}
    first = better(None, validation(1.0), weights, 0)
    weights["w"] += 1
    assert better(first, validation(1.0), weights, 1) is first
    assert better(first, validation(float("nan")), weights, 1) is first
    assert better(None, validation(float("nan")), weights, 0) is None
    second = better(first, validation(0.9), weights, 2)
    assert (second.epoch, second.loss) == (2, 0.9)
    assert first.network["w"].tolist() == [1, 1] and second.network["w"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("done", "best_epoch", "patience", "over"),
    [
        (3, 0, 2, True),
        (2, 0, 2, False),
        (9, 8, 1, False),
        (10, 9, 1, True),  # the last epoch
        (2, None, 2, True),  # never a finite loss
        (1, None, 2, False),
        (9, None, None, False),  # nothing is validated
        (10, None, None, True),
    ],
)
def test_training_is_over_after_the_last_epoch_or_so_many_without_a_better_loss(done, best_epoch, patience, over):
    best = None if best_epoch is None else BestWeights(best_epoch, 1.0, {})
    assert is_over(done, best, epochs=10, patience=patience) is over


def test_every_epoch_tells_the_validation_figures(run, small_cohort):
    for line in metrics(run):
        assert line["validation_cases"] == len(kept_out(small_cohort)) == 3
        assert line["validation_loss"] > 0
        assert 0 <= line["validation_accuracy"] <= 1 and -1 <= line["validation_kappa"] <= 1
        assert line["seconds"].keys() == {"train", "validate"}


def test_training_ends_early_with_the_weights_of_the_best_epoch(run, small_cohort):
    losses = [line["validation_loss"] for line in metrics(run)]
    best = int(np.argmin(losses))
    checkpoint = latest_checkpoint(run)
    assert checkpoint.finished and checkpoint.epoch == len(losses) == best + 1 + PATIENCE < 40
    assert (checkpoint.best.epoch, checkpoint.best.loss) == (best, losses[best])
    restored = restore_run(run)
    cases = kept_out(small_cohort)
    batch = next(stream_batches(open_cohort(small_cohort), [[case.case_id for case in cases]], restored.config.data))
    with torch.no_grad():
        logits = restored.network.eval()(*map(torch.from_numpy, (batch.volume_BCDHW, batch.lung_mask_BCDHW)))
    grade_N = torch.tensor([case.label for case in cases])
    left_K = torch.bincount(torch.tensor([g for g in checkpoint.assignment.label_N if g >= 0]), minlength=6)
    loss_N = F.cross_entropy(logits, grade_N, reduction="none")
    weight_N = 1 / left_K[grade_N]  # the draws are balanced, so the grades weigh the same
    assert float((loss_N * weight_N).sum() / weight_N.sum()) == pytest.approx(losses[best], abs=1e-4)
    line, answer_N = metrics(run)[best], logits.argmax(dim=1)
    assert float((answer_N == grade_N).double().mean()) == pytest.approx(line["validation_accuracy"])
    kappa = weighted_kappa(answer_N.numpy(), grade_N.numpy(), labels=6)
    assert line["validation_kappa"] == pytest.approx(kappa)


def test_cases_kept_out_are_not_among_those_that_were_trained_on(run, small_cohort):
    label_of = latest_checkpoint(run).assignment.by_case()
    out = {case.case_id for case in kept_out(small_cohort)}
    for case in open_cohort(small_cohort).split("train"):
        assert label_of[case.case_id] == (UNASSIGNED if case.case_id in out else case.label)


def test_a_damaged_case_is_met_where_it_is_used_and_the_test_split_nowhere(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 25)
    tested = open_cohort(cohort).split("test")[0].case_id
    victim = kept_out(cohort)[0].case_id
    damage_case(cohort, victim, "delete")
    damage_case(cohort, tested, "delete")
    train(config(cohort, tmp_path / "r", training__epochs=2))
    (listed,) = read_set_aside(tmp_path / "r")
    assert (listed.case_id, listed.epoch, listed.phase) == (victim, 0, "validate")
    first, second = metrics(tmp_path / "r")
    assert first["validation_cases"] == second["validation_cases"] == len(kept_out(cohort)) - 1


def dying(original, epoch, *, before):
    """One of the steps of an epoch, which ends the run before or after it in the given epoch."""

    def dies(job, state):
        if before and state.position.epoch == epoch:
            raise KeyboardInterrupt
        result = original(job, state)
        if state.position.epoch == epoch:
            raise KeyboardInterrupt
        return result

    return dies


@pytest.mark.parametrize(
    ("at", "before", "minutes"),
    [("train_epoch", True, 10), ("validate", True, 10), ("validate", False, 0)],
    ids=["training", "validation", "within the validation"],
)
def test_interrupted_anywhere_it_resumes_to_the_same_bits(
    tmp_path, small_cohort, run, monkeypatch, at, before, minutes
):
    monkeypatch.setattr(extract, "VOLUMES_BETWEEN_MEETINGS", 1)
    best = latest_checkpoint(run).best.epoch
    settings_of_run = early(small_cohort, tmp_path / "r", training__checkpoint_minutes=minutes)
    for epoch in sorted({1, best + 1}):
        with monkeypatch.context() as patch:
            patch.setattr(supervised, at, dying(getattr(supervised, at), epoch, before=before))
            with pytest.raises(KeyboardInterrupt):
                train(settings_of_run)
        steps = 0 if minutes else metrics(run)[epoch]["steps"]
        assert latest_checkpoint(tmp_path / "r").position == Position(epoch, Phase.TRAIN, steps)
    train(settings_of_run)
    one, other = latest_checkpoint(run), latest_checkpoint(tmp_path / "r")
    assert one.position == other.position and (one.best.epoch, one.best.loss) == (other.best.epoch, other.best.loss)
    assert one.engine.keys() == other.engine.keys()
    for name in one.engine:
        np.testing.assert_array_equal(one.engine[name].numpy(), other.engine[name].numpy(), err_msg=name)
    figures = ("epoch", "loss", "hit_rate", "steps", "validation_loss", "validation_accuracy", "validation_kappa")
    one, other = ([[line[name] for name in figures] for line in metrics(path)] for path in (run, tmp_path / "r"))
    assert one == other


def test_a_run_that_ended_early_is_left_as_it_is_until_more_patience_is_asked_for(run, small_cohort, tmp_path):
    copy = shutil.copytree(run, tmp_path / "r")
    before = {path: path.stat().st_mtime_ns for path in (copy / "checkpoints").rglob("*")}
    train(early(small_cohort, copy))
    assert before == {path: path.stat().st_mtime_ns for path in (copy / "checkpoints").rglob("*")}
    longer = early(small_cohort, copy, supervised__patience=PATIENCE + 1)
    train(longer, changes=["supervised.patience"])
    assert latest_checkpoint(copy).epoch > latest_checkpoint(run).epoch
    assert metrics(copy)[PATIENCE]["loss"] == metrics(run)[PATIENCE]["loss"]


def regrade(cohort, case_id, label):
    """As an ingest with a corrected table would."""
    cases = open_cohort(cohort).cases
    close_cohort(cohort, [replace(case, label=label) if case.case_id == case_id else case for case in cases], [])


@pytest.mark.parametrize("label", [5, UNASSIGNED])
def test_a_run_does_not_go_on_where_grades_that_it_was_trained_on_were_corrected(tmp_path, label):
    cohort, run = make_cohort(tmp_path / "c.zarr", 13), tmp_path / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "train_epoch", dying(supervised.train_epoch, 1, before=False))
        with pytest.raises(KeyboardInterrupt):
            train(config(cohort, run, supervised__validation_fraction=0))
    trained = next(case for case in open_cohort(cohort).split("train") if case.label == 0)
    regrade(cohort, trained.case_id, label)
    with pytest.raises(UsageError, match=r"c\.zarr: grades of 1 training case.*train anew into another output"):
        train(config(cohort, run, supervised__validation_fraction=0))
    regrade(cohort, trained.case_id, 0)
    train(config(cohort, run, supervised__validation_fraction=0))
    assert latest_checkpoint(run).finished


def test_a_grade_that_was_not_trained_on_may_be_missing_for_a_case_set_aside(tmp_path):
    cohort, run = make_cohort(tmp_path / "c.zarr", 13), tmp_path / "r"
    victim = open_cohort(cohort).split("train")[0].case_id
    shard = cohort / "cases" / victim / "1" / "c" / "0" / "0" / "0"
    whole = shard.read_bytes()
    damage_case(cohort, victim, "delete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervised, "train_epoch", dying(supervised.train_epoch, 2, before=False))
        with pytest.raises(KeyboardInterrupt):
            train(config(cohort, run, supervised__validation_fraction=0))
    assert latest_checkpoint(run).assignment.by_case()[victim] == UNASSIGNED
    shard.write_bytes(whole)
    train(config(cohort, run, supervised__validation_fraction=0))
    assert latest_checkpoint(run).assignment.by_case()[victim] != UNASSIGNED


def test_a_step_follows_the_loss_weighted_by_grade(small_cohort, tmp_path):
    one_step = {"training__batch_size": 9, "training__balance": "false", "supervised__validation_fraction": 0.0}
    settings_of_run = config(
        small_cohort, tmp_path / "r", training__epochs=1, supervised__class_weights="balanced", **one_step
    )
    train(settings_of_run)
    cases = open_cohort(small_cohort).split("train")
    names = [case.case_id for case in cases]
    batch = next(stream_batches(open_cohort(small_cohort), [names], settings_of_run.data))
    grade_N = torch.tensor([case.label for case in cases])
    network = build_network(settings_of_run).train()
    before = network.head.bias.detach().clone()
    loss_N = F.cross_entropy(
        network(torch.from_numpy(batch.volume_BCDHW), torch.from_numpy(batch.lung_mask_BCDHW)),
        grade_N,
        reduction="none",
    )
    weight_N = 9 / (6 * torch.bincount(grade_N))[grade_N]  # each grade the same in sum, the cases 1 in the mean
    loss = (loss_N * weight_N).mean()
    loss.backward()
    assert metrics(tmp_path / "r")[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    expected = before - settings_of_run.training.optimizer.head_lr * network.head.bias.grad
    bias = latest_checkpoint(tmp_path / "r").engine["network.head.bias"]
    np.testing.assert_allclose(bias, expected.detach(), rtol=1e-4, atol=1e-7)
    assert abs((loss - loss_N.mean()).item()) > 1e-4  # or the weights would not show


def test_balanced_draws_and_balanced_weights_together_are_refused(small_cohort, tmp_path):
    with pytest.raises(UsageError, match="favour rare grades twice"):
        config(small_cohort, tmp_path, supervised__class_weights="balanced")
    config(small_cohort, tmp_path, supervised__class_weights="balanced", training__balance="false")


def test_all_methods_are_compared_in_one_table_and_the_supervised_run_is_mapped(run, dcam_run, small_cohort, tmp_path):
    runs = [shutil.copytree(path, tmp_path / name) for path, name in ((run, "supervised"), (dcam_run, "dcam"))]
    table = evaluate(runs, out=tmp_path / "comparison")
    scores = table.methods["supervised"]
    assert scores.supervised and scores.mapping_K == tuple(range(6))
    assert not table.methods["dcam"].supervised
    for found in (scores.train, scores.test):
        beside = (found.null_p95, found.accuracy_interval, found.weighted_kappa, found.within_one_grade)
        assert None not in (found.clustering_accuracy, found.majority_share, *beside)
    best = latest_checkpoint(run).best.epoch
    assert json.loads((runs[0] / "evaluation.json").read_text())["weights_of_epoch"] == best + 1
    text = (tmp_path / "comparison" / "comparison.md").read_text(encoding="utf-8")
    train_table, test_table = text.split("Test split.")
    assert "learnt from the labels of this split" in train_table
    assert "learnt from the labels of this split" not in test_table
    assert write_maps(runs[0]).figure is not None
