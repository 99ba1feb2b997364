"""The entry point: run a verb, turn errors into one line and an exit code."""

import logging
import os
import signal
import sys
from types import FrameType

from dcam_dist.errors import DcamError, EnvironmentFault, FailedElsewhere, UsageError, VolumeDamaged, tell
from dcam_dist.launchers import Launch, read_launch
from dcam_dist.parent_death import die_with_parent

STOPPED, INTERRUPTED = 75, 130
PRIVATE_UMASK = 0o077
"""Cohorts, runs and pictures are personal data: what a verb writes is its owner's alone until he shares it."""


def main() -> int:
    """Run the command line; returns the exit code that ``dcam_dist.errors`` documents.

    A rank of several that fails does not return: its process ends at once, for what is left in it may wait for others.
    """
    os.umask(PRIVATE_UMASK)
    launch = _launch()
    if launch.owned:
        die_with_parent()
    debug = "--debug" in sys.argv
    if not debug:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # torch's own words on a failure, with C++ traces
    code = _run([argument for argument in sys.argv[1:] if argument != "--debug"], launch, debug)
    if code and launch.world_size > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(arguments: list[str], launch: Launch, debug: bool) -> int:
    from dcam_dist.commands import app

    if launch.launcher == "deepspeed":
        arguments = [argument for argument in arguments if not argument.startswith("--local_rank=")]  # its own
    stop_requests = [] if launch.launcher else _take_stop_requests()
    try:
        app(args=arguments, prog_name="dcam-dist")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            return _interrupted(stop_requests, launch)
        raise
    except KeyboardInterrupt:
        return _interrupted(stop_requests, launch)
    except Exception as error:
        if debug:
            raise
        return _report(error, launch)
    return 0


def _launch() -> Launch:
    try:
        return read_launch()
    except UsageError:  # told by the verbs that need to know
        return Launch(launcher="variables")


def _take_stop_requests() -> list[int]:
    """Let SIGTERM and SIGUSR1, by which schedulers ask for an end, unwind as Ctrl-C does; lists those that came.

    Not for a rank: one that unwinds alone would leave its peers in a collective. Training has a way of its own.
    """
    requests: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        requests.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, stop)
    return requests


def _interrupted(stop_requests: list[int], launch: Launch) -> int:
    if stop_requests:
        return _say("stopped on request; run the same command again to go on", STOPPED)
    return _say("interrupted", INTERRUPTED) if launch.rank == 0 else INTERRUPTED


def _report(error: Exception, launch: Launch) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror}; check the path, its permissions and free space", 4)
    if not isinstance(error, DcamError):
        return _say(f"unexpected {type(error).__name__}: {error} (this is a bug; --debug shows where)", 1)
    return _say(str(error), error.exit_code) if _speaks(error, launch) else error.exit_code


def _speaks(error: DcamError, launch: Launch) -> bool:
    if isinstance(error, FailedElsewhere):
        return False
    if isinstance(error, EnvironmentFault):
        return not error.quiet
    return launch.rank == 0 or isinstance(error, VolumeDamaged)  # most errors are raised by all ranks alike


def _say(line: str, code: int) -> int:
    tell(line)
    return code


if __name__ == "__main__":
    sys.exit(main())
