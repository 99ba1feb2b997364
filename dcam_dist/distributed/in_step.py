"""Ranks that have come to different places of the program are told so."""

from dcam_dist.distributed.context import ProcessContext
from dcam_dist.distributed.control import control, meet


def come_to(place: str) -> None:
    """Note where this rank is: exchanges from now on are tagged with the place, and messages about a lost rank name it.

    Costs nothing, so it is called before each step; the next exchange, whatever it is for, compares the ranks' places.

    Args:
        place: Epoch, phase and step in words, as ``str(Position)`` gives them.
    """
    control().place = place


def agree_on_place(place: str, context: ProcessContext) -> None:
    """Make sure that all ranks have come to the same place, before each phase. One all-gather of two numbers.

    Args:
        place: As ``come_to`` takes it.
        context: This process.

    Raises:
        RankLost: On all ranks, when they are at different places.
    """
    come_to(place)
    meet("agreeing on the place")
