"""What is said of a rank names the step, or the volume, that it is at."""

import pytest
from support.cohorts import settings

from dcam_dist.config import load_config
from dcam_dist.distributed.control import control
from dcam_dist.models import ClusterNetwork
from dcam_dist.training import epoch as epoch_module
from dcam_dist.training import extract, train
from dcam_dist.types import Phase, Position


@pytest.fixture
def places(monkeypatch):
    """Where this process was said to be, in its phases' innermost work."""
    seen, pooled, step = [], ClusterNetwork.pooled_features, epoch_module.train_step

    def noted(original):
        def wrapped(*arguments, **named):
            if not seen or seen[-1] != control().place:
                seen.append(control().place)
            return original(*arguments, **named)

        return wrapped

    monkeypatch.setattr(ClusterNetwork, "pooled_features", noted(pooled))
    monkeypatch.setattr(epoch_module, "train_step", noted(step))
    return seen


def test_the_place_is_that_of_the_last_boundary(tmp_path, small_cohort, monkeypatch, places):
    monkeypatch.setattr(extract, "VOLUMES_BETWEEN_MEETINGS", 4)
    train(load_config(None, settings(small_cohort, output=tmp_path / "r", training__epochs=1)))
    assert places == [
        *("epoch 1, extract", "epoch 1, extract, volume 5", "epoch 1, extract, volume 9"),
        *("epoch 1, train, step 1", "epoch 1, train, step 2", "epoch 1, train, step 3"),
        *("epoch 2, extract", "epoch 2, extract, volume 5", "epoch 2, extract, volume 9"),
    ]


def test_two_checkpoints_of_one_phase_are_told_apart():
    extraction = [str(Position(1, Phase.EXTRACT, done)) for done in (0, 16, 32)]
    assert extraction == ["epoch 2, extract", "epoch 2, extract, volume 17", "epoch 2, extract, volume 33"]
    assert [str(Position(0, Phase.TRAIN, done)) for done in (0, 1)] == [
        "epoch 1, train, step 1",
        "epoch 1, train, step 2",
    ]
    assert str(Position(0, Phase.CLUSTER)) == "epoch 1, cluster"
