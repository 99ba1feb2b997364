"""What a training will need, before it is paid for: memory of a step, what fits, time and disk."""

from dcam_dist.planning.gpus import GPUS, Gpu, this_machine
from dcam_dist.planning.pace import Pace, known_pace, measured_pace
from dcam_dist.planning.plan import Disk, Plan, disk_of, make_plan, seconds_of_an_epoch, share_of, with_precision
from dcam_dist.planning.plan_table import PARTS, memory_rows, sentences
from dcam_dist.planning.step_memory import StepMemory, predict_step

__all__ = [
    "GPUS",
    "PARTS",
    "Disk",
    "Gpu",
    "Pace",
    "Plan",
    "StepMemory",
    "disk_of",
    "known_pace",
    "make_plan",
    "measured_pace",
    "memory_rows",
    "predict_step",
    "seconds_of_an_epoch",
    "sentences",
    "share_of",
    "this_machine",
    "with_precision",
]
