"""Run alone, under limits of the system: save checkpoints into a run, and print the line that a user would see.

Arguments: the run's directory, the number of the last state, and how many numbers a tensor of a state has.
"""

import sys
from pathlib import Path

from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.errors import DcamError
from dcam_dist.runs import latest_checkpoint, run_lock, write_checkpoint
from dcam_dist.runs.places import FOLDER


def main(run: Path, last: int, numbers: int) -> int:
    try:
        with run_lock(run):
            for index in range(last + 1):
                write_checkpoint(run, state_of(index, numbers=numbers), keep=1)
    except DcamError as error:
        print(error)
        code = error.exit_code
    else:
        code = 0
    newest = latest_checkpoint(run)
    whole = newest is not None and same(newest, state_of(index_of(newest), numbers=numbers))
    unfinished = len(list((run / FOLDER).glob(".*")))
    print(f"newest {-1 if newest is None else index_of(newest)}, whole {whole}, unfinished {unfinished}")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
