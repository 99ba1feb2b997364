"""The log on the console: rank 0 speaks; of the others only warnings are heard, with their rank in front."""

import logging
import os
import sys
from contextlib import suppress


def own_rank() -> int:
    """The rank that torchrun, deepspeed or srun gave this process; 0 without one of them."""
    text = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    return int(text) if text.isdecimal() else 0


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
