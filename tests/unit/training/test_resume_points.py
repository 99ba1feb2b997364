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
    for index in range(len(names) - 1):
        run = tmp_path / names[index]
        shutil.copytree(whole, run)
        for later in folders(run)[index + 1 :]:
            shutil.rmtree(later)
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
    for later in folders(run)[5:]:
        shutil.rmtree(later)
    assert latest_checkpoint(run).position.step == 2
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
