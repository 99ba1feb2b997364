"""DeepSpeed's own JSON: what of it is ours to decide is refused there, the rest is handed on."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dcam_dist.config.schema import TrainingConfig
from dcam_dist.errors import UsageError

_OURS = {
    "train_batch_size": "training.batch_size",
    "train_micro_batch_size_per_gpu": "training.batch_size and training.accumulation",
    "gradient_accumulation_steps": "training.accumulation",
    "gradient_clipping": "training.clip_norm",
    "optimizer": "training.optimizer",
    "scheduler": "training.optimizer.schedule",
    "zero_allow_untested_optimizer": "training.optimizer",
    "fp16": "network.precision",
    "bf16": "network.precision",
    "bfloat16": "network.precision",
    "amp": "network.precision",
    "torch_autocast": "network.precision",
    "data_types": "network.precision",
}
_HANDED_ON = (
    "zero_optimization",
    "activation_checkpointing",
    "steps_per_print",
    "wall_clock_breakdown",
    "memory_breakdown",
    "comms_logger",
    "flops_profiler",
    "timers",
    "dump_state",
)
_ZERO_HANDED_ON = (
    "stage",
    "reduce_scatter",
    "reduce_bucket_size",
    "allgather_partitions",
    "allgather_bucket_size",
    "overlap_comm",
    "contiguous_gradients",
    "round_robin_gradients",
    "use_multi_rank_bucket_allreduce",
)
_ACTIVATIONS_HANDED_ON = ("partition_activations", "synchronize_checkpoint_boundary", "profile")
_STAGES = (0, 1, 2)


def read_settings(path: Path | None, training: TrainingConfig, world_size: int, parameters: int) -> dict[str, Any]:
    """The settings that DeepSpeed gets: those of the file, and those that our configuration decides.

    Args:
        path: DeepSpeed's JSON; ``None``: ZeRO stage 0.
        training: Batch size, parts and clipping.
        world_size: Ranks.
        parameters: Of the network; the size of ZeRO's buckets unless the file says otherwise, for DeepSpeed's default
            is 2 GB on each rank.

    Raises:
        UsageError: When the file cannot be read, or says what is not for it to say; the message names the key.
    """
    given = {} if path is None else _read(path)
    for key in given:
        if key in _OURS:
            raise UsageError(f"{path}: {key}: set {_OURS[key]} instead; leave it out here")
    _refuse_others(path, "", given, _HANDED_ON)
    zero = _section(path, given, "zero_optimization", _ZERO_HANDED_ON)
    _section(path, given, "activation_checkpointing", _ACTIVATIONS_HANDED_ON)
    stage = zero.get("stage", 0)
    if stage not in _STAGES or isinstance(stage, bool):
        raise UsageError(f"{path}: zero_optimization.stage: {json.dumps(stage)} is not supported; choose 0, 1 or 2")
    share = -(-training.batch_size // (training.accumulation * world_size))
    return {
        **given,
        "zero_optimization": {"stage": 0, "reduce_bucket_size": parameters, **zero},
        "train_micro_batch_size_per_gpu": share,  # the largest share; DeepSpeed only counts with it
        "gradient_accumulation_steps": training.accumulation,
        "gradient_clipping": training.clip_norm or 0.0,
        "zero_allow_untested_optimizer": True,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(given, dict):
        raise UsageError(f"{path}: not a JSON object")
    return given


def _section(path: Path | None, given: Mapping[str, Any], name: str, allowed: Iterable[str]) -> dict[str, Any]:
    section = given.get(name, {})
    if not isinstance(section, dict):
        raise UsageError(f"{path}: {name}: not an object")
    _refuse_others(path, f"{name}.", section, allowed)
    return section


def _refuse_others(path: Path | None, prefix: str, given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    for key in given:
        if key not in allowed:
            raise UsageError(f"{path}: {prefix}{key}: not supported; possible are {', '.join(allowed)}")
