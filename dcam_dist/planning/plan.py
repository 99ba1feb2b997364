"""A plan: what a training will take on cards that may not be here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from dcam_dist.config import Config
from dcam_dist.errors import UsageError
from dcam_dist.models import choose_precision
from dcam_dist.planning.fits import largest_batch, largest_cube
from dcam_dist.planning.gpus import Gpu
from dcam_dist.planning.pace import Pace
from dcam_dist.planning.step_memory import StepMemory, predict_extraction, predict_step
from dcam_dist.planning.work import work_of_a_case

POLICIES = ("none", "conv", "block", "offload")
"""From the fastest to the one that needs the least memory."""


@dataclass(frozen=True)
class Disk:
    """What a cohort takes; measured on one that is there.

    Attributes:
        bytes_a_case: Mean.
        inodes_a_case: Mean; files and folders.
    """

    bytes_a_case: float
    inodes_a_case: float


@dataclass(frozen=True)
class Plan:
    """What a training will take.

    Attributes:
        gpu: The card.
        gpus: Number of them.
        cases: Training cases.
        share: Cases of one part of a global batch on one card.
        memory: Of a step on one card, by checkpointing policy.
        extraction: Bytes that the extraction of one whole grid holds at once.
        chosen: The fastest policy that fits; ``None`` where none does.
        batch: Cases of one part of a batch that fit on one card under the chosen policy.
        cube: Edge of the largest cube that fits under it, one case.
        epoch_s: Seconds of an epoch by phase; empty where no pace is known.
        hours: Of the whole run.
        pace: Where the times come from.
        checkpoint_bytes: Of one.
        disk: Of the cohort; ``None`` where none was named.
    """

    gpu: Gpu
    gpus: int
    cases: int
    share: int
    memory: Mapping[str, StepMemory]
    extraction: int
    chosen: str | None
    batch: int
    cube: int
    epoch_s: Mapping[str, float]
    hours: float
    pace: Pace | None
    checkpoint_bytes: int
    disk: Disk | None


def make_plan(config: Config, gpu: Gpu, gpus: int, cases: int, pace: Pace | None, disk: Disk | None = None) -> Plan:
    """Plan a training.

    Args:
        config: Of the run; its checkpointing policy is not followed but chosen.
        gpu: The card.
        gpus: Number of ranks, one a card.
        cases: Training cases.
        pace: How fast one card works; ``None``: no times.
        disk: Of the cohort.

    Raises:
        UsageError: When a part of a batch has fewer cases than there are cards.
    """
    training, share = config.training, share_of(config, gpus)
    memory = {policy: predict_step(_with(config, policy), share, gpu.kind) for policy in POLICIES}
    chosen = next((policy for policy in POLICIES if memory[policy].peak <= gpu.tensor_bytes), None)
    asked = _with(config, chosen or POLICIES[-1])
    epoch_s = {} if pace is None else seconds_of_an_epoch(asked, gpus, cases, pace)
    last_s = epoch_s.get("extract", 0.0)  # the closing extraction
    hours = (training.epochs * sum(epoch_s.values()) + last_s) / 3600
    one = memory[POLICIES[0]]
    return Plan(
        gpu=gpu,
        gpus=gpus,
        cases=cases,
        share=share,
        memory=memory,
        extraction=predict_extraction(config, gpu.kind),
        chosen=chosen,
        batch=largest_batch(asked, gpu.tensor_bytes, gpu.kind),
        cube=largest_cube(asked, gpu.tensor_bytes, gpu.kind),
        epoch_s=epoch_s,
        hours=hours,
        pace=pace,
        checkpoint_bytes=one.parameters + one.optimizer,
        disk=disk,
    )


def share_of(config: Config, gpus: int) -> int:
    """Cases of one part of a global batch on one card.

    Raises:
        UsageError: When there are fewer cases than cards.
    """
    training = config.training
    if training.batch_size // training.accumulation < gpus:
        least = gpus * training.accumulation
        raise UsageError(
            f"training.batch_size={training.batch_size} leaves some of {gpus} GPUs idle; set it to {least}"
        )
    return math.ceil(training.batch_size / training.accumulation / gpus)


def with_precision(config: Config, gpu: Gpu, *, here: bool) -> Config:
    """With ``network.precision=auto`` resolved: for this machine as a training does, for another card bf16."""
    if config.network.precision != "auto":
        return config
    chosen = choose_precision(config.network, gpu.kind if gpu.kind == "cpu" else "cuda:0").precision if here else "bf16"
    return config.model_copy(update={"network": config.network.model_copy(update={"precision": chosen})})


def disk_of(cohort: Path, cases: int) -> Disk:
    """What a cohort of so many cases takes on the disk, with what is shared by all of them."""
    found = [path.lstat() for path in cohort.rglob("*")]
    return Disk(sum(one.st_size for one in found if S_ISREG(one.st_mode)) / cases, len(found) / cases)


def _with(config: Config, policy: str) -> Config:
    return config.model_copy(update={"network": config.network.model_copy(update={"checkpointing": policy})})


def seconds_of_an_epoch(config: Config, gpus: int, cases: int, pace: Pace) -> dict[str, float]:
    """Extraction and training; reading is taken to keep up, and clustering of pooled features to cost nothing.

    Args:
        config: Of the run.
        gpus: Number of ranks.
        cases: Training cases.
        pace: How fast a rank works.
    """
    work, each = work_of_a_case(config), math.ceil(cases / gpus)
    whole = work_of_a_case(config.model_copy(update={"data": config.data.model_copy(update={"patch": None})}))
    batches = math.ceil(cases * config.training.passes / config.training.batch_size)
    drawn = batches * math.ceil(config.training.batch_size / gpus)
    return {"extract": each * whole.extract / pace.extract, "train": drawn * work.train / pace.train}
