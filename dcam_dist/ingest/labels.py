"""Grades as users write them."""

from collections.abc import Sequence

from dcam_dist.errors import CaseRejected, Reason
from dcam_dist.types import UNASSIGNED


def parse_label(text: str, names: Sequence[str]) -> int:
    """The index of a grade given by name or number.

    Case, surrounding blanks, and the kind of separator (blank, underscore, hyphen) do not matter. A name that is
    itself a number is taken as the name.

    Args:
        text: The table's cell; empty for a case without a label.
        names: The label set, ascending.

    Returns:
        The index, or ``UNASSIGNED``.

    Raises:
        CaseRejected: ``bad_label`` for anything else.
    """
    wanted = _plain(text)
    if not wanted:
        return UNASSIGNED
    by_name = {_plain(name): index for index, name in enumerate(names)}
    if wanted in by_name:
        return by_name[wanted]
    number = text.strip()
    if number.isascii() and number.isdigit() and len(number) < 6 and int(number) < len(names):
        return int(number)
    known = ", ".join(names)
    raise CaseRejected(Reason.BAD_LABEL, f"the label is none of {known} and no number from 0 to {len(names) - 1}")


def _plain(text: str) -> str:
    return " ".join(text.replace("_", " ").replace("-", " ").casefold().split())
