"""What ranks do for or with each other: where one fails, every rank stops, and one line says why."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from dcam_dist.distributed import ProcessContext, same_everywhere, share_notes
from dcam_dist.errors import DataError, DcamError, EnvironmentFault, FailedElsewhere, VolumeDamaged, tell

T = TypeVar("T")


def on_main(action: Callable[[], None], context: ProcessContext) -> None:
    """Let rank 0 do something while the others wait for it. All ranks call together.

    Args:
        action: Done on rank 0 alone.
        context: This process.

    Raises:
        DcamError: What the action raised, on rank 0; an ``OSError`` becomes an ``EnvironmentFault``.
        FailedElsewhere: On the other ranks then, with the same exit code.
    """
    together(action if context.is_main else _nothing, context)


def together(action: Callable[[], T], context: ProcessContext) -> T:
    """Do something on every rank that may fail on one alone; the action itself meets no other rank.

    Raises:
        DcamError: What the action raised here; an ``OSError`` becomes an ``EnvironmentFault``.
        FailedElsewhere: Where it failed on others only.
    """
    try:
        result = action()
    except DcamError as error:
        stop_together(error, context)
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fault = EnvironmentFault(f"{where}{error.strerror}; check the path, its permissions and free space")
        stop_together(fault, context)
        raise fault from error
    stop_together(None, context)
    return result


def stop_together(problem: DcamError | None, context: ProcessContext) -> None:
    """Stop on every rank where one has met a problem. All ranks call together.

    Args:
        problem: What this rank has met, if anything.
        context: This process.

    Raises:
        DcamError: The problem, on a rank that has met one.
        FailedElsewhere: On the others then, with the exit code of the lowest of those ranks.
    """
    notes = {}
    if problem is not None:
        speaks = context.is_main or isinstance(problem, EnvironmentFault | VolumeDamaged)
        notes = {"exit code": str(problem.exit_code), "line": "" if speaks else f"rank {context.rank}: {problem}"}
    failed = share_notes(notes, context)
    if failed and failed["line"]:
        if context.is_main:
            tell(failed["line"])
        # only now may a rank leave: a launcher that sees one end stops the others, and nothing would have been said
        share_notes({}, context)
    if problem is not None:
        raise problem
    if failed:
        raise FailedElsewhere(int(failed["exit code"]))


def same_on_all_ranks(values: Any, what: str, context: ProcessContext) -> None:
    """Make sure that all ranks have read the same.

    Args:
        values: What this rank has read, as JSON holds it.
        what: What differs, and what to do, where it does.
        context: This process.

    Raises:
        DataError: On all ranks, when they differ.
    """
    digest = hashlib.sha256(json.dumps(values).encode()).digest()
    if not same_everywhere(np.frombuffer(digest, dtype=np.int64), context):
        raise DataError(f"the ranks have different {what}")


def _nothing() -> None: ...
