"""Ranks that have come to different places of the program are told so."""

from dcam_dist.distributed.context import ProcessContext
from dcam_dist.distributed.control import control, meet


def agree_on_place(place: str, context: ProcessContext) -> None:
    """Make sure that all ranks have come to the same place; call it before each phase, and cheaply before each step.

    Later exchanges are tagged with the place, and messages about a lost rank name it. One all-gather of two numbers.

    Args:
        place: Phase, epoch and step count in words, as ``str(Position)`` gives them.
        context: This process.

    Raises:
        RankLost: On all ranks, when they are at different places.
    """
    control().place = place
    meet("agreeing on the place")
