"""What the files of a run say of it. They are read and nothing else: no lock, no question to a scheduler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcam_dist.config import Config, load_config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.runs.jobs import JOBS, JobState, read_jobs
from dcam_dist.runs.live import LIVE, STOP_FILE, Live, read_live
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.runs.places import MANIFEST, places
from dcam_dist.runs.run_config import CONFIG
from dcam_dist.runs.set_aside import read_set_aside
from dcam_dist.types import Position


@dataclass(frozen=True)
class Saved:
    """The newest checkpoint, not verified.

    Attributes:
        position: Where a start goes on from it.
        saved_s: When it was written, seconds since 1970; ``None`` without its manifest.
        name: Of its folder.
    """

    position: Position
    saved_s: float | None
    name: str


@dataclass(frozen=True)
class RunFiles:
    """What was found in a run's directory.

    Attributes:
        config: ``None`` before the first start.
        live: What the latest start last said; ``None`` where there is nothing, or nothing whole.
        saved: The newest checkpoint.
        metrics: Lines of the epochs, in their order.
        set_aside: Number of cases.
        jobs: In the order of their submission.
        stop: Whether the stop file is there.
        scored: Whether ``evaluate`` has left its result.
        mapped: Whether ``maps`` has.
        reported: Whether ``report`` has.
        damaged: What could not be understood, a line each.
    """

    config: Config | None
    live: Live | None
    saved: Saved | None
    metrics: Sequence[Mapping[str, Any]]
    set_aside: int
    jobs: tuple[JobState, ...]
    stop: bool
    scored: bool
    mapped: bool = False
    reported: bool = False
    damaged: tuple[str, ...] = ()


def read_run_files(run: Path) -> RunFiles:
    """Read what is there. A run that trains replaces its files whole, so it may do so meanwhile.

    Raises:
        UsageError: When there is no run, and none was submitted.
        DataError: When its configuration is damaged.
        OSError: When a file may not be read.
    """
    if not (run / CONFIG).is_file() and not (run / JOBS).is_dir():
        raise UsageError(f"{run}: no run here; name the directory that a training was given as output=RUN")
    live, damaged = read_live(run), []
    if live is None and (run / LIVE).is_file():
        damaged.append(f"{LIVE} is damaged; the next start replaces it")
    try:
        set_aside = len(read_set_aside(run))
    except DataError as error:
        set_aside = 0
        damaged.append(str(error))
    return RunFiles(
        config=_read_config(run / CONFIG),
        live=live,
        saved=_newest(run),
        metrics=read_metrics(run),
        set_aside=set_aside,
        jobs=read_jobs(run),
        stop=(run / STOP_FILE).exists(),
        scored=(run / "evaluation.json").is_file(),
        mapped=(run / "maps").is_dir(),
        reported=(run / "report.html").is_file(),
        damaged=tuple(damaged),
    )


def _read_config(file: Path) -> Config | None:
    if not file.is_file():
        return None
    with file.open("rb"):  # what may not be read is told as such
        pass
    try:
        return load_config(file)
    except UsageError as error:
        raise DataError(f"{error}; the run's configuration is damaged, or of another version: restore it") from None


def _newest(run: Path) -> Saved | None:
    for place in places(run)[:1]:
        try:
            saved_s = (place.folder / MANIFEST).stat().st_mtime
        except FileNotFoundError:
            saved_s = None
        return Saved(place.position, saved_s, place.folder.name)
    return None
