"""``RUN/progress.json``: how far the start in hand has come, for whoever looks from elsewhere."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from dcam_dist.runs.small_files import replace_privately

LIVE = "progress.json"
STOP_FILE = "stop"
"""``touch RUN/stop`` has the training save and leave."""

DONE = "done"
"""``Live.ended`` of a start that came to the run's end."""


@dataclass(frozen=True)
class Live:
    """What a start last said of itself. Times are seconds since 1970, by the clock of its host.

    Attributes:
        time_s: When it said so.
        started_s: When it had the run's directory.
        moved_s: When a phase began or a volume was done, the latest.
        phase: Name of the phase, in lower case; ``None`` while it prepares.
        epoch: From 0; the closing extraction and clustering bear the epochs' number.
        done: Volumes of the phase.
        total: All of them; 0 where the phase has none.
        volumes_per_second: Over the last five minutes.
        loss: Of a recent step on rank 0, or of the last epoch.
        nmi: Of the last epoch's clustering with the one before.
        left_s: Seconds to the end of the run.
        ranks: Their number.
        host: Of rank 0.
        pid: Of rank 0.
        job: Of Slurm.
        ended: ``None`` while it works, ``DONE``, or why it left.
        exit_code: With which it left.
    """

    time_s: FiniteFloat
    started_s: FiniteFloat
    moved_s: FiniteFloat
    phase: str | None
    epoch: NonNegativeInt | None
    done: int
    total: int
    volumes_per_second: FiniteFloat | None
    loss: FiniteFloat | None
    nmi: FiniteFloat | None
    left_s: FiniteFloat | None
    ranks: int
    host: str
    pid: int
    job: str | None
    ended: str | None = None
    exit_code: int | None = None


def write_live(run: Path, live: Live) -> None:
    """Write it; a reader sees the old or the new one. It is not worth a wait for the disk.

    Raises:
        OSError: When it cannot be written.
    """
    replace_privately(run / LIVE, json.dumps({name: _finite(value) for name, value in asdict(live).items()}))


def read_live(run: Path) -> Live | None:
    """What the latest start said last; ``None`` where it said nothing, or nothing that can be understood.

    Raises:
        OSError: When the file cannot be read.
    """
    path = run / LIVE
    if not path.is_file():
        return None
    try:
        return TypeAdapter(Live).validate_json(path.read_bytes())
    except ValidationError:
        return None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
