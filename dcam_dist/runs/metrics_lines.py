"""Reading ``RUN/metrics.jsonl``; needs neither torch nor TensorBoard."""

import json
from pathlib import Path
from typing import Any

JSONL = "metrics.jsonl"
CROWDED_SHARE = 0.90
"""A cluster with more of the cases than this announces a collapse."""


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``, without any that was cut off or is damaged."""
    path = run / JSONL
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("epoch"), int):
            lines.append(line)
    return lines
