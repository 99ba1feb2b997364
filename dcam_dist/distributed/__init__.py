"""Processes, collectives and engines."""

from dcam_dist.distributed.choose import build_engine
from dcam_dist.distributed.collectives import (
    all_true,
    broadcast_array,
    gather_rows,
    max_over_ranks,
    same_everywhere,
    share_notes,
    sum_over_ranks,
)
from dcam_dist.distributed.context import ProcessContext, open_processes
from dcam_dist.distributed.ddp import DdpEngine
from dcam_dist.distributed.engine import Engine, StepOutcome
from dcam_dist.distributed.in_step import agree_on_place, come_to
from dcam_dist.distributed.ranks import ContextRanks, ranks_of

__all__ = [
    "ContextRanks",
    "DdpEngine",
    "Engine",
    "ProcessContext",
    "StepOutcome",
    "agree_on_place",
    "all_true",
    "broadcast_array",
    "build_engine",
    "come_to",
    "gather_rows",
    "max_over_ranks",
    "open_processes",
    "ranks_of",
    "same_everywhere",
    "share_notes",
    "sum_over_ranks",
]
