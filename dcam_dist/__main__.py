"""The entry point: run a verb, turn errors into one line and an exit code."""

import os
import signal
import sys
from types import FrameType

STOPPED, INTERRUPTED = 75, 130
PRIVATE_UMASK = 0o077
"""Cohorts, runs and pictures are personal data: what a verb writes is its owner's alone until he shares it."""


def main() -> int:
    """Run the command line; returns the exit code that ``dcam_dist.errors`` documents."""
    from dcam_dist.commands import app

    os.umask(PRIVATE_UMASK)
    stop_requests = _take_stop_requests()
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments, prog_name="dcam-dist")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what typer makes of a KeyboardInterrupt
            return _interrupted(stop_requests)
        raise
    except KeyboardInterrupt:
        return _interrupted(stop_requests)
    except Exception as error:
        if debug:
            raise
        return _report(error)
    return 0


def _take_stop_requests() -> list[int]:
    """Let SIGTERM and SIGUSR1, by which schedulers ask for an end, unwind as Ctrl-C does; lists those that came.

    Not under torchrun: a rank that unwinds alone would leave its peers in a collective.
    """
    requests: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        requests.append(number)
        raise KeyboardInterrupt

    if "RANK" not in os.environ:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, stop)
    return requests


def _interrupted(stop_requests: list[int]) -> int:
    if stop_requests:
        return _say("stopped on request; run the same command again to go on", STOPPED)
    return _say("interrupted", INTERRUPTED)


def _report(error: Exception) -> int:
    from dcam_dist.errors import DcamError, EnvironmentFault, VolumeDamaged

    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror}; check the path, its permissions and free space", 4)
    if not isinstance(error, DcamError):
        return _say(f"unexpected {type(error).__name__}: {error} (this is a bug; --debug shows where)", 1)
    # most errors are raised by all ranks alike, and one line is enough
    if os.environ.get("RANK", "0") == "0" or isinstance(error, VolumeDamaged | EnvironmentFault):
        return _say(str(error), error.exit_code)
    return error.exit_code


def _say(line: str, code: int) -> int:
    print(f"dcam-dist: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
