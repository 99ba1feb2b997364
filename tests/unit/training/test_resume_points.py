"""A run goes on from any of its boundaries to the same bits, metrics and checkpoints."""

import json
import shutil

import numpy as np
import pytest
from support.cohorts import make_cohort, settings

from dcam_dist.config import load_config
from dcam_dist.runs import latest_checkpoint
from dcam_dist.training import train
from dcam_dist.types import Phase

MEASURED = ("second", "stall", "memory")


def config(cohort, run, **overrides):
    every_boundary = {"training.checkpoint_minutes": 0, "training.keep_checkpoints": 1000, "training.epochs": 2}
    return load_config(None, settings(cohort, output=run, **every_boundary, **overrides))


def folders(run):
    return sorted((run / "checkpoints").iterdir())


def cut_after(run, name):
    """As if the run had been interrupted right after this checkpoint."""
    for folder in folders(run):
        if folder.name > name:
            shutil.rmtree(folder)


def metrics(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not any(word in k for word in MEASURED)} for line in lines]


def assert_same(one, other):
    assert one.engine.keys() == other.engine.keys()
    for name in one.engine:
        np.testing.assert_array_equal(one.engine[name].numpy(), other.engine[name].numpy(), err_msg=name)
    np.testing.assert_array_equal(one.assignment.label_N, other.assignment.label_N)
    np.testing.assert_equal(one.assignment.inertia, other.assignment.inertia)


VARIANTS = {
    "adam": {"training__optimizer__schedule": "cosine", "training__optimizer__warmup_epochs": 0.5},
    "sgd in two parts": {
        "training__optimizer__name": "sgd",
        "training__accumulation": 2,
        "training__clip_norm": 1.0,
        "data__patch": [16, 16, 16],
    },
    "supervised": {"method": "supervised", "supervised__validation_fraction": 0.3, "supervised__patience": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_goes_on_from_every_boundary_to_the_same_bits(tmp_path, variant):
    cohort = make_cohort(tmp_path / "cohort.zarr", 13)
    whole, overrides = tmp_path / "whole", VARIANTS[variant]
    train(config(cohort, whole, **overrides))
    names = [folder.name for folder in folders(whole)]
    final = latest_checkpoint(whole)
    assert final.position.phase is Phase.DONE
    assert len(names) >= (14 if variant != "supervised" else 5)
    for name in names[:-1] if variant == "adam" else names[:-1:3]:
        run = tmp_path / name
        shutil.copytree(whole, run)
        cut_after(run, name)
        train(config(cohort, run, **overrides))
        assert_same(latest_checkpoint(run), final)
        assert metrics(run) == metrics(whole)
        assert [folder.name for folder in folders(run)] == names
        shutil.rmtree(run)


def test_without_the_saved_draws_a_resumed_epoch_would_be_another(tmp_path, small_cohort, monkeypatch):
    from dcam_dist.training import keeping

    whole, run = tmp_path / "whole", tmp_path / "run"
    train(config(small_cohort, whole))
    shutil.copytree(whole, run)
    cut_after(run, "epoch-0000-3-train-000002")
    monkeypatch.setattr(keeping, "_training", lambda *_: None)
    train(config(small_cohort, run))
    assert metrics(run) != metrics(whole)


def test_more_epochs_go_on_from_the_last_epoch_and_not_from_the_closing_clustering(tmp_path, small_cohort):
    short, long = (load_config(None, settings(small_cohort, output=tmp_path / "r", training__epochs=n)) for n in (1, 2))
    straight = load_config(None, settings(small_cohort, output=tmp_path / "straight", training__epochs=2))
    train(short)
    train(long, changes=["training.epochs"])
    train(straight)
    assert_same(latest_checkpoint(tmp_path / "r"), latest_checkpoint(tmp_path / "straight"))


def test_another_batch_size_by_name_takes_effect_inside_an_epoch(tmp_path, small_cohort):
    run = tmp_path / "r"
    train(config(small_cohort, run))
    cut_after(run, "epoch-0000-3-train-000001")  # of 3 steps: 8 draws in batches of 4 are left
    smaller = {"training__batch_size": 3}
    train(config(small_cohort, run, **smaller), changes=["training.batch_size"])
    first, second = metrics(run)
    assert (first["steps"], second["steps"]) == (4, 3)
    assert latest_checkpoint(run).finished


def test_what_was_extracted_before_a_run_was_asked_to_leave_is_not_extracted_again(tmp_path, small_cohort, monkeypatch):
    from dcam_dist.errors import StopRequested
    from dcam_dist.training import extract, leaving

    run, whole, reads = tmp_path / "r", tmp_path / "whole", []
    monkeypatch.setattr(extract, "VOLUMES_BETWEEN_MEETINGS", 2)
    monkeypatch.setattr(leaving, "LOOK_EVERY_S", 0.0)
    original = extract.to_device

    def to_device(batch, context):
        reads.extend(batch.case_id_B)
        if len(reads) == 4:
            (run / "stop").touch()
        return original(batch, context)

    monkeypatch.setattr(extract, "to_device", to_device)
    with pytest.raises(StopRequested):
        train(load_config(None, settings(small_cohort, output=run, training__epochs=1)))
    stopped = latest_checkpoint(run)
    assert (stopped.position.phase, stopped.position.step) == (Phase.EXTRACT, 4)
    train(load_config(None, settings(small_cohort, output=run, training__epochs=1)))
    assert len(set(reads[:9])) == len(reads[:9]) == 9  # each of the training cases once before training begins
    train(load_config(None, settings(small_cohort, output=whole, training__epochs=1)))
    assert_same(latest_checkpoint(run), latest_checkpoint(whole))


def test_a_finished_supervised_run_of_one_epoch_is_trained_on(tmp_path, small_cohort):
    supervised = {"method": "supervised", "supervised__validation_fraction": 0.3}
    short, long = (
        load_config(None, settings(small_cohort, output=tmp_path / "r", training__epochs=n, **supervised))
        for n in (1, 2)
    )
    train(short)
    train(long, changes=["training.epochs"])
    straight = load_config(None, settings(small_cohort, output=tmp_path / "s", training__epochs=2, **supervised))
    train(straight)
    assert_same(latest_checkpoint(tmp_path / "r"), latest_checkpoint(tmp_path / "s"))
