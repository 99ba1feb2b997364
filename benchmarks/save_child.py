"""A process that saves checkpoint after checkpoint until it is killed, from outside or in one window of a save.

The windows are made here, by wrapping what a save calls; the package knows nothing of them.
"""

import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.saved_states import state_of
from dcam_dist.runs import checkpoints, run_lock, sealed, write_checkpoint

KEEP = 2


def start(run: Path, first: int, *, numbers: int, window: str | None = None, target: int = 0, nth: int = 1) -> Any:
    """Fork a process that holds the run's lock and saves ``first``, ``first + 1`` and so on.

    Args:
        run: The run's directory.
        first: Number of the first state.
        numbers: Size of the states.
        window: The window in which it kills itself, one of ``WINDOWS``; ``None``: it goes on until it is killed.
        target: Number of the state in whose save it does so.
        nth: At which file, call or byte of the window, as the window takes it.

    Returns:
        Its process id and a stream of its lines: ``begin 3``, ``done 3``, ``begin 4`` …
    """
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reading)
        try:
            _save(run, first, numbers, writing, window, target, nth)
        except BaseException:
            traceback.print_exc()  # else nobody would learn why it ended
        finally:
            os._exit(1)
    os.close(writing)
    return pid, os.fdopen(reading)


def _save(run: Path, first: int, numbers: int, said: int, window: str | None, target: int, nth: int) -> None:
    with run_lock(run):
        index = first
        while window is None or index <= target:
            state = state_of(index, numbers=numbers)
            if window is not None and index == target:
                WINDOWS[window](nth)
            os.write(said, f"begin {index}\n".encode())
            write_checkpoint(run, state, KEEP)
            os.write(said, f"done {index}\n".encode())
            index += 1


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _in_file(wanted: Callable[[str], bool]) -> Callable[[int], None]:
    """Die with the first part of a file written."""

    def arm(nth: int) -> None:
        whole = sealed.write_file

        def part(path: Path, content: bytes) -> None:
            if wanted(path.name):
                with path.open("xb", buffering=0) as stream:
                    stream.write(content[: len(content) * nth // 8])
                _die()
            whole(path, content)

        sealed.write_file = part

    return arm


def _before_fsync(nth: int) -> None:
    fsync, left = os.fsync, [nth]

    def counted(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            _die()
        fsync(descriptor)

    os.fsync = counted


def _at_rename(prefix: str, *, after: bool) -> Callable[[int], None]:
    """Die before or after the rename of what is called so."""

    def arm(_: int) -> None:
        rename = Path.rename

        def stopped(path: Path, target: Path) -> Path:
            if after and path.name.startswith(prefix):
                rename(path, target)
            if path.name.startswith(prefix):
                _die()
            return rename(path, target)

        Path.rename = stopped

    return arm


def _reading_back(_: int) -> None:
    checkpoints.read_checkpoint = lambda _: _die()


def _in_removal(nth: int) -> None:
    rmtree = shutil.rmtree

    def part(path: Path, ignore_errors: bool = False) -> None:
        if not path.name.startswith(".old-"):
            rmtree(path, ignore_errors=ignore_errors)
            return
        for file in sorted(path.iterdir())[: nth % 6]:
            file.unlink()
        _die()

    shutil.rmtree = part


WINDOWS: dict[str, Callable[[int], None]] = {
    "tensors half written": _in_file(lambda name: name == "engine.safetensors"),
    "arrays half written": _in_file(lambda name: name == "arrays.safetensors"),
    "before an fsync": _before_fsync,
    "manifest half written": _in_file(lambda name: name == sealed.MANIFEST),
    "reading back": _reading_back,
    "before the rename": _at_rename(".new-", after=False),
    "after the rename": _at_rename(".new-", after=True),
    "before an old one is removed": _at_rename("epoch-", after=False),
    "an old one half removed": _in_removal,
}
"""Each takes a number from 1 to 7, which says where in the window."""
