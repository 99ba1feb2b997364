"""A TensorBoard event file, written in the calling thread.

TensorBoard's own writer has a thread, which dies of a full disk with a traceback and tells its caller later.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class EventFile:
    """A new event file in a folder; what earlier files hold of the first step and later ones is void.

    Args:
        folder: Is made where it does not exist.
        first_step: The first step that this file will tell.

    Raises:
        OSError: Where it cannot be written; so does every method.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.dcam_dist"
        self._stream = (folder / name).open("wb")
        self._records = RecordWriter(self._stream)
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._add(Event(wall_time=time.time(), step=first_step, session_log=SessionLog(status=SessionLog.START)))
        self._stream.flush()

    def add(self, step: int, scalars: Iterable[tuple[str, float]]) -> None:
        """Write named scalars of one step down to the file."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars]
        self._add(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._stream.flush()

    def close(self) -> None:
        """Close the file; all is in it already, unless a method has raised."""
        with suppress(OSError):
            self._stream.close()

    def _add(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
