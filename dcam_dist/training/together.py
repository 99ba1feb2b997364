"""What one rank does for all: where it fails, every rank stops."""

from collections.abc import Callable

from dcam_dist.distributed import ProcessContext, share_notes
from dcam_dist.errors import DcamError, FailedElsewhere


def on_main(action: Callable[[], None], context: ProcessContext) -> None:
    """Let rank 0 do something while the others wait for it. All ranks call together.

    Args:
        action: Done on rank 0 alone.
        context: This process.

    Raises:
        DcamError: What the action raised, on rank 0.
        FailedElsewhere: On the other ranks then, with the same exit code.
    """
    problem: DcamError | None = None
    if context.is_main:
        try:
            action()
        except DcamError as error:
            problem = error
    stop_together(problem, context)


def stop_together(problem: DcamError | None, context: ProcessContext) -> None:
    """Stop on every rank where one has met a problem. All ranks call together.

    Args:
        problem: What this rank has met, if anything.
        context: This process.

    Raises:
        DcamError: The problem, on a rank that has met one.
        FailedElsewhere: On the others then, with the exit code of the lowest of those ranks.
    """
    failed = share_notes({"exit code": str(problem.exit_code)} if problem else {}, context)
    if problem is not None:
        raise problem
    if failed:
        raise FailedElsewhere(int(failed["exit code"]))
