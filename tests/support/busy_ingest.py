"""Run alone: a fan-out whose tasks hold the interpreter, so that no thread of their worker can notice anything.

Argument: a folder, in which each task leaves a file with its process id as the name.
"""

import os
import sys
from functools import partial
from pathlib import Path

from dcam_dist.config.schema import IngestConfig
from dcam_dist.ingest.fanout import run_cases


def busy(marks: str, job: str) -> None:
    Path(marks, str(os.getpid())).touch()
    sum(range(10**10))


if __name__ == "__main__":
    from support.busy_ingest import busy as task  # by a name that the workers can import

    list(run_cases(partial(task, sys.argv[1]), ["a", "b", "c"], str, IngestConfig(workers=2)))
