"""Metrics of a run: one JSON line an epoch, TensorBoard, and MLflow where it is asked for."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from dcam_dist.config import Config
from dcam_dist.errors import EnvironmentFault
from dcam_dist.runs.event_file import EventFile
from dcam_dist.runs.metrics_lines import JSONL, read_metrics
from dcam_dist.runs.mlflow_log import MlflowLog
from dcam_dist.runs.run_config import replace_file

TENSORBOARD = "tensorboard"


class MetricsLog:
    """Appends to ``RUN/metrics.jsonl`` and ``RUN/tensorboard``, and to MLflow's files. Used by rank 0 alone.

    Lines of epochs that a resumed run repeats are dropped on opening, so the file tells each epoch once.

    Args:
        run: The run's directory.
        completed_epochs: Epochs that the checkpoint has left behind; a run resumed inside an epoch repeats its line.
        mlflow: Is told the same; closed with this.

    Raises:
        EnvironmentFault: When the files cannot be written; so does ``write``.
    """

    def __init__(self, run: Path, completed_epochs: int, mlflow: MlflowLog | None = None) -> None:
        self._path, self._mlflow = run / JSONL, mlflow
        kept = [line for line in read_metrics(run) if line["epoch"] < completed_epochs]
        with _written(self._path):
            replace_file(self._path, "".join(f"{json.dumps(line)}\n" for line in kept).encode())
        with _written(run / TENSORBOARD):
            self._events = EventFile(run / TENSORBOARD, completed_epochs)
        if mlflow is not None:
            for line in kept:  # those that it lacks: it may be asked for later than the run
                mlflow.write(line["epoch"], _flat(line))

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._mlflow is not None:
            self._mlflow.close(error)
        self._events.close()

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Record the metrics of one epoch; ``metrics["epoch"]`` says which. NaN becomes null."""
        clean = {name: _clean(value) for name, value in metrics.items()}
        with _written(self._path):
            _append_whole(self._path, f"{json.dumps(clean)}\n".encode())
        scalars = _flat(clean)
        with _written(self._path.parent / TENSORBOARD):
            self._events.add(clean["epoch"], scalars)
        if self._mlflow is not None:
            self._mlflow.write(clean["epoch"], scalars)


def open_metrics(run: Path, config: Config, completed_epochs: int) -> MetricsLog:
    """The log of a run, with MLflow where ``config.training.mlflow`` asks for it.

    Raises:
        EnvironmentFault: When the files cannot be written, or MLflow is not installed.
    """
    folder = config.training.mlflow
    return MetricsLog(run, completed_epochs, MlflowLog(run, config, folder) if folder is not None else None)


def _append_whole(path: Path, line: bytes) -> None:
    with path.open("ab", buffering=0) as stream:
        written = stream.write(line)
        if written != len(line):  # a disk that fills up takes a part and says no only to the next write
            stream.write(line[written:])
        os.fsync(stream.fileno())  # the checkpoint of the epoch comes next; no start would make up a lost line


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            f"{path}: cannot be written ({error.strerror}); make room or mend its permissions, and run the same "
            "command again to go on"
        ) from None


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    scalars = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            scalars += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            scalars += _flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "epoch":
            scalars.append((prefix + name, float(value)))
    return scalars
