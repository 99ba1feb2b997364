"""Run under torchrun: rank 1 meets a problem and leaves at once; rank 0 takes long to leave, and is stopped by then."""

import sys
import time

from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError, DcamError, FailedElsewhere
from dcam_dist.training.together import stop_together


def main() -> int:
    try:
        with open_processes() as context:
            stop_together(None if context.is_main else DataError("f.npz: damaged"), context)
    except FailedElsewhere:
        time.sleep(30)
    except DcamError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
