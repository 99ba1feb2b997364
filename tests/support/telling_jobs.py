"""Run under torchrun: rank 0 fails at what it does alone and leaves last. Arguments: OUT, where each says its part."""

import sys
import time
from pathlib import Path

from dcam_dist.distributed import open_processes
from dcam_dist.errors import DcamError, EnvironmentFault
from dcam_dist.training.together import on_main


def fail() -> None:
    raise OSError(28, "No space left on device")


def main(out: Path) -> None:
    rank = -1
    try:
        with open_processes() as context:
            rank = context.rank
            try:
                on_main(fail, context)
            except EnvironmentFault:
                time.sleep(1)  # the others have left by now
                raise
    except DcamError as error:
        quiet = getattr(error, "quiet", False)
        (out / str(rank)).write_text(f"{type(error).__name__} {error.exit_code} {'quiet' if quiet else 'tells'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
