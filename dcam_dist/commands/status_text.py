"""The status of a run for people: one headline, a row for each thing worth knowing, at most 100 columns."""

import shutil
import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import TextIO

from rich.console import Console
from rich.text import Text

from dcam_dist.commands.pace import duration
from dcam_dist.commands.standing import WORDS, turn
from dcam_dist.hpc.status import RunStatus, SavedStatus
from dcam_dist.runs.jobs import JobState
from dcam_dist.types import Phase

SILENCE = "it is waiting in the queue, or it has died"
MOST_COLUMNS, INDENT, BAR_COLUMNS = 100, 14, 40

HEADLINES = {
    "prepared": ("not begun", "cyan"),
    "waiting": ("waiting in the queue", "cyan"),
    "starting": ("starting", "green"),
    "training": ("training", "green"),
    "silent": ("no sign of life", "red"),
    "stopped": ("stopped on request", "yellow"),
    "failed": ("failed", "red"),
    "finished": ("finished", "green"),
    "unknown": ("not known", "yellow"),
}


def print_status(status: RunStatus, stream: TextIO | None = None) -> None:
    """Write it to a stream, or to standard output; with colours where that is a terminal."""
    out = stream or sys.stdout
    columns = shutil.get_terminal_size((MOST_COLUMNS, 24)).columns if out.isatty() else MOST_COLUMNS
    console = Console(file=out, width=min(MOST_COLUMNS, columns), highlight=False, soft_wrap=True)
    word, colour = HEADLINES[status.state]
    console.print(Text.assemble(f"{status.run}: ", (word, f"bold {colour}")))
    for name, said, style in _rows(status):
        # paths and commands stay in one piece, to be copied
        lines = wrap(said, console.width - INDENT, break_long_words=False, break_on_hyphens=False)
        for index, line in enumerate(lines):
            head = f"  {'' if index else name}".ljust(INDENT)
            console.print(Text.assemble((head, "dim"), (line, style)))


def _rows(status: RunStatus) -> Iterator[tuple[str, str, str]]:
    """Name, what is said, style."""
    for name, said in (
        ("method", _method(status)),
        ("position", _position(status)),
        ("", _bar(status)),
        ("figures", _figures(status)),
        ("alive", _alive(status)),
        ("left", _left(status)),
        ("checkpoint", _saved(status.saved, status.epochs)),
        ("set aside", f"{status.set_aside} of the cases, listed in set_aside.json" if status.set_aside else ""),
    ):
        if said:
            yield name, said, ""
    for index, job in enumerate(status.jobs):
        yield "" if index else "jobs", _job(job, status.time_s), ""
    for warning in status.warnings:
        yield "warning", warning, "yellow"
    yield "next", status.next, "bold"


def _method(status: RunStatus) -> str:
    if status.method is None:
        return ""
    ranks = f", {status.ranks} rank{'s' * (status.ranks != 1)}" if status.ranks else ""
    return f"{status.method}, {status.epochs} epochs, {status.precision}{ranks}"


def _position(status: RunStatus) -> str:
    if status.epoch is None or status.phase is None or status.epochs is None:
        return ""
    if status.state == "finished":
        return f"{status.epoch} epochs done"
    words = f"{turn(status.epoch, status.epochs)}, {WORDS[Phase[status.phase.upper()]]}"
    return f"{words}, {status.done} of {status.total} volumes" if status.total else words


def _bar(status: RunStatus) -> str:
    if not status.total or status.state not in ("training", "silent"):
        return ""
    share = min(1.0, max(0.0, status.done / status.total))
    return f"[{'#' * int(share * BAR_COLUMNS):.<{BAR_COLUMNS}}] {share:.0%}"


def _figures(status: RunStatus) -> str:
    early = "at most " if status.method == "supervised" else ""
    known = {
        "loss {:.4f}": status.loss,
        "NMI to the epoch before {:.3f}": status.nmi,
        "silhouette {:.3f}": status.silhouette,
        "{:.2f} volumes/s": status.volumes_per_second,
        f"{early}{{}} left": None if status.left_s is None else duration(status.left_s),
    }
    return ", ".join(words.format(value) for words, value in known.items() if value is not None)


def _alive(status: RunStatus) -> str:
    if status.silent_s is None or status.reason or status.state in ("stopped", "failed", "finished"):
        return ""
    where = f"on {status.host}, process {status.pid}{f', job {status.job}' if status.job else ''}"
    if status.state in ("training", "starting") and status.exit_code is None:
        return f"{duration(status.silent_s)} ago {where}"
    if status.state == "silent":
        guess = "its job has noted no end: it has died, or hangs" if _job_runs(status) else SILENCE
        return f"no sign of life for {duration(status.silent_s)}: {guess}; last {where}"
    return f"last {duration(status.silent_s)} ago {where}"


def _job_runs(status: RunStatus) -> bool:
    trainings = [job for job in status.jobs if job.job.name == "train"]
    return bool(trainings) and trainings[-1].now.state == "running"


def _left(status: RunStatus) -> str:
    if status.reason is None or status.state not in ("stopped", "failed", "waiting"):
        return ""
    ago = f"{duration(status.silent_s)} ago, " if status.silent_s is not None else ""
    host = f" on {status.host}" if status.host else ""
    return f"{ago}exit code {status.exit_code}{host}: {status.reason}"


def _saved(saved: SavedStatus | None, epochs: int | None) -> str:
    if saved is None or epochs is None:
        return "none yet" if epochs is not None else ""
    if saved.phase == Phase.DONE.name.lower():
        place = f"of the finished run, {saved.epoch} epochs"
    else:
        phase = Phase[saved.phase.upper()]
        place = f"{turn(saved.epoch, epochs)}, before {WORDS[phase]}"
        place += f", {'step' if phase is Phase.TRAIN else 'volume'} {saved.step + 1}" if saved.step else ""
    return f"{place}; " + ("without its manifest" if saved.age_s is None else f"{duration(saved.age_s)} old")


def _job(state: JobState, time_s: float) -> str:
    job, now = state.job, state.now
    tasks = f" ({', '.join(f'{count} {name}' for name, count in sorted(state.counts.items()))})" if job.tasks else ""
    return f"{job.job_id} {job.name}: {_standing(state, time_s)}{tasks}{_requeued(now.restarts)}"


def _standing(state: JobState, time_s: float) -> str:
    job, now = state.job, state.now
    ago = "" if now.since_s is None else duration(max(0.0, time_s - now.since_s))
    if now.state == "running":
        return f"running on {now.host or 'an unnamed host'} for {ago}" if not job.tasks else "running"
    if now.state == "failed":
        return f"failed with exit code {now.exit_code}, {ago} ago; log {job.log}"
    if now.state == "done":
        return f"done, {ago} ago"
    if now.restarts:
        return "waiting again"
    after = f" for {', '.join(job.after)}" if job.after else ""
    return f"waiting{after} since {duration(max(0.0, time_s - job.submitted_s))}"


def _requeued(times: int) -> str:
    return f", requeued {times} time{'s' * (times != 1)}" if times else ""
