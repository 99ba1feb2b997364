"""Metrics of a run: one JSON line an epoch, TensorBoard, and one line on the console."""

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter

JSONL = "metrics.jsonl"


class MetricsLog:
    """Appends to ``RUN/metrics.jsonl`` and ``RUN/tensorboard``. Used by rank 0 alone.

    Lines of epochs that a resumed run repeats are dropped on opening, so the file tells each epoch once.
    """

    def __init__(self, run: Path, completed_epochs: int) -> None:
        self._path = run / JSONL
        kept = [line for line in read_metrics(run) if line["epoch"] < completed_epochs]
        temporary = self._path.with_name(f".{JSONL}")
        temporary.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        temporary.replace(self._path)
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=completed_epochs)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._board.close()

    def write(self, metrics: dict[str, Any]) -> None:
        """Record the metrics of one epoch; ``metrics["epoch"]`` says which. NaN becomes null."""
        clean = {name: _clean(value) for name, value in metrics.items()}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(clean) + "\n")
        for name, value in _flat(clean):
            self._board.add_scalar(name, value, clean["epoch"])
        self._board.flush()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a last line that was cut off is left out."""
    path = run / JSONL
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(metrics: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    scalars = []
    for name, value in metrics.items():
        if isinstance(value, dict):
            scalars += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            scalars += _flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "epoch":
            scalars.append((prefix + name, float(value)))
    return scalars
