"""A process that runs many inputs of one target, each known by its seed.

    python -m fuzz.child TARGET SCRATCH FIRST COUNT

It writes one JSON line before and one after each input. Whatever else is written, by libraries too, is caught and
searched for tracebacks and for the made-up patient. ``fuzz.parent`` watches it from outside.
"""

import faulthandler
import json
import logging
import os
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any, TextIO

from fuzz.scratch import CANARY, Input
from fuzz.targets import TARGETS

MEMORY_CAP = 3 << 30
"""Address space beyond that of the idle process."""
MEMORY_SUSPICIOUS = 512 << 20
"""No tiny input needs so much more than the idle process; one that asks for it follows its header blindly."""
HANG_S = 5.0
STACK_S = 20.0
"""Wall time after which the stack is written down, for the parent to find."""
_UMASK = 0o077


def main() -> None:
    """Run the inputs of a range of seeds."""
    target, scratch, first, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    say, caught = _catch_output(scratch)
    TARGETS[target].prepare(scratch / "base")
    idle = _memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (idle + MEMORY_CAP, idle + MEMORY_CAP))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for seed in range(first, first + count):
        made = make_input(target, scratch, seed)
        _tell(say, {"begin": seed, "mutation": made.mutation})
        _tell(say, {"end": seed, **_one(target, made, caught, idle)})


def make_input(target: str, scratch: Path, seed: int) -> Input:
    """Write the input of a seed to a fresh folder."""
    folder = scratch / f"{CANARY}-{target}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    made = Input(folder, seed, Random(f"{target} {seed}"))
    made.scans.mkdir(parents=True)
    TARGETS[target].make(made, scratch / "base")
    return made


def _one(target: str, made: Input, caught: TextIO, idle: int) -> dict[str, Any]:
    os.chdir(made.folder)
    os.umask(_UMASK)
    faulthandler.dump_traceback_later(STACK_S, file=caught)
    started, busy, limit = time.monotonic(), _cpu(), max(_memory("VmPeak"), idle + MEMORY_SUSPICIOUS)
    try:
        TARGETS[target].run(made)
    except BaseException as error:  # every kind is a finding, an exit too
        made.outcomes.append(f"escaped:{type(error).__name__}")
        made.problems.append(f"escaped: {_last_lines(traceback.format_exc())}")
    faulthandler.cancel_dump_traceback_later()
    busy = _cpu() - busy
    os.chdir(made.folder.parent)
    if busy > HANG_S:
        made.problems.append(f"{busy:.1f} s of processor time")
    if (peak := _memory("VmPeak")) > limit:
        made.problems.append(f"asked for {(peak - idle) >> 20} MB")
    made.problems += _judge_output(caught)
    if not made.problems:
        shutil.rmtree(made.folder, ignore_errors=True)
    return {
        "seconds": time.monotonic() - started,
        "outcomes": made.outcomes,
        "problems": made.problems,
        "mutation": made.mutation,
    }


def _catch_output(scratch: Path) -> tuple[TextIO, TextIO]:
    """Both standard streams into a file, on the level of C; the real one for our own lines."""
    say = os.fdopen(os.dup(1), "w", encoding="utf-8")
    caught = (scratch / "output").open("w+", encoding="utf-8", errors="replace")
    os.dup2(caught.fileno(), 1)
    os.dup2(caught.fileno(), 2)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    logging.getLogger("dcam_dist").addHandler(_Unexpected(scratch / "unexpected"))
    logging.getLogger("dcam_dist").setLevel(logging.DEBUG)
    logging.getLogger("dcam_dist").propagate = False
    return say, caught


class _Unexpected(logging.Handler):
    """Lets what users see through, and keeps the tracebacks that ingest logs for defects."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.DEBUG)
        self.path = path

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.path.write_text(_last_lines("".join(traceback.format_exception(*record.exc_info))), encoding="utf-8")
        if record.levelno >= logging.INFO:
            print(record.getMessage(), file=sys.stderr)


def _judge_output(caught: TextIO) -> list[str]:
    sys.stdout.flush()
    sys.stderr.flush()
    caught.seek(0)
    text = caught.read()
    caught.seek(0)
    caught.truncate()
    problems = [f"output: {text[-600:]}"] if "Traceback" in text or CANARY.casefold() in text.casefold() else []
    note = Path(caught.name).with_name("unexpected")
    if note.exists():
        problems.append(f"unexpected: {note.read_text(encoding='utf-8')}")
        note.unlink()
    return problems


def _last_lines(text: str) -> str:
    return " | ".join(line.strip() for line in text.splitlines()[-9:])[-1200:]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _memory(name: str) -> int:
    """Bytes of a line of this process's status."""
    with Path("/proc/self/status").open() as stream:
        return next(int(line.split()[1]) * 1024 for line in stream if line.startswith(f"{name}:"))


def _tell(say: TextIO, line: dict[str, Any]) -> None:
    say.write(json.dumps(line, ensure_ascii=True) + "\n")
    say.flush()


if __name__ == "__main__":
    main()
