import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dcam_dist.config.schema import TrainingConfig
from dcam_dist.distributed.deepspeed_settings import read_settings
from dcam_dist.errors import UsageError

SHIPPED = Path(__file__).parents[3] / "configs" / "deepspeed_zero2.json"


def read(tmp_path, tree, **training):
    path = tmp_path / "ds.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    return read_settings(path, TrainingConfig(**training), 3, 1000)


def refused(tmp_path, tree):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, tree)
    line = str(caught.value)
    assert "\n" not in line
    assert str(tmp_path / "ds.json") in line
    return line


def test_a_deepspeed_whose_private_names_were_not_tried_is_not_installed():
    project = tomllib.loads((SHIPPED.parents[1] / "pyproject.toml").read_text())["project"]
    (wanted,) = (Requirement(text).specifier for text in project["optional-dependencies"]["deepspeed"])
    assert "0.19.8" in wanted and "0.20.0" not in wanted


def test_the_shipped_file_is_zero_2():
    settings = read_settings(SHIPPED, TrainingConfig(), 1, 1000)
    assert settings["zero_optimization"]["stage"] == 2


def test_no_file_is_stage_0_with_what_our_configuration_decides():
    settings = read_settings(None, TrainingConfig(batch_size=12, accumulation=2, clip_norm=0.5), 4, 1000)
    assert settings["zero_optimization"] == {"stage": 0, "reduce_bucket_size": 1000}
    assert settings["train_micro_batch_size_per_gpu"] == 2
    assert settings["gradient_accumulation_steps"] == 2
    assert settings["gradient_clipping"] == 0.5
    assert not settings.keys() & {"optimizer", "scheduler", "fp16", "bf16"}


def test_what_is_deepspeeds_own_is_handed_on(tmp_path):
    given = {
        "zero_optimization": {"stage": 1, "reduce_bucket_size": 5, "overlap_comm": True},
        "activation_checkpointing": {"partition_activations": True},
        "steps_per_print": 7,
    }
    settings = read(tmp_path, given)
    assert {key: settings[key] for key in given} == given


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("train_batch_size", "training.batch_size"),
        ("train_micro_batch_size_per_gpu", "training.accumulation"),
        ("gradient_accumulation_steps", "training.accumulation"),
        ("gradient_clipping", "training.clip_norm"),
        ("optimizer", "training.optimizer"),
        ("scheduler", "training.optimizer.schedule"),
        ("fp16", "network.precision"),
        ("bf16", "network.precision"),
        ("torch_autocast", "network.precision"),
    ],
)
def test_what_our_configuration_decides_is_refused_with_its_place(tmp_path, key, ours):
    line = refused(tmp_path, {"zero_optimization": {"stage": 1}, key: {}})
    assert f" {key}: " in line
    assert ours in line


@pytest.mark.parametrize("stage", [3, -1, "2", True, None, 1.5])
def test_other_stages_are_refused(tmp_path, stage):
    line = refused(tmp_path, {"zero_optimization": {"stage": stage}})
    assert f"zero_optimization.stage: {json.dumps(stage)} is not supported; choose 0, 1 or 2" in line


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        ({"wandb": {"enabled": True}}, "wandb"),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}, "offload_optimizer"),
        ({"zero_optimization": {"stage": 2, "compute_grad_norm": False}}, "zero_optimization.compute_grad_norm"),
        ({"activation_checkpointing": {"contiguous_memory_optimization": True}}, "contiguous_memory_optimization"),
        ({"activation_checkpointing": {"cpu_checkpointing": True}}, "cpu_checkpointing"),
        ({"zero_optimization": True}, "not an object"),
        ([], "not a JSON object"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff".decode("latin-1") * 3, "not JSON"),
    ],
)
def test_everything_else_is_refused_by_name(tmp_path, tree, name):
    assert name in refused(tmp_path, tree)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.json: cannot be read: No such file"):
        read_settings(tmp_path / "nowhere.json", TrainingConfig(), 1, 1)
