"""The log on the console: rank 0 speaks; of the others only warnings are heard, with their rank in front."""

import logging
import sys
from contextlib import suppress

from dcam_dist.errors import UsageError
from dcam_dist.launchers import read_launch


def own_rank() -> int:
    """The rank that torchrun, deepspeed or srun gave this process; 0 without one of them."""
    try:
        return read_launch().rank
    except UsageError:  # told by the verbs that need to know
        return 0


def log_to_console() -> None:
    """Show what this package logs on standard error, a line each; of other packages, warnings."""
    rank = own_rank()
    handler = _Console()
    handler.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    handler.setFormatter(logging.Formatter("%(message)s" if rank == 0 else f"rank {rank}: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("dcam_dist").setLevel(logging.INFO)


class _Console(logging.Handler):
    """Writes to what is standard error at the time: a bar puts itself there, and moves down for each line."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more; the work goes on
            sys.stderr.write(f"{self.format(record)}\n")  # one write: the ranks share the console
            sys.stderr.flush()
