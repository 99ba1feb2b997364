"""How a training stands, judged from its files alone: the same answer from every node that sees them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcam_dist.hpc.advice import next_step
from dcam_dist.hpc.run_files import RunFiles, read_run_files
from dcam_dist.hpc.run_state import State, how_it_left, state_of, stranded
from dcam_dist.runs.jobs import JobState
from dcam_dist.runs.metrics_lines import CROWDED_SHARE

STUCK_S = 600.0
CLOCKS_APART_S = 60.0


@dataclass(frozen=True)
class SavedStatus:
    """The newest checkpoint.

    Attributes:
        epoch: Where a start goes on from it, from 0.
        phase: The phase that comes next there.
        step: Steps of the training phase that are done, or cases of the extraction.
        age_s: Seconds since it was written; ``None`` without a manifest.
        whole: Whether its manifest, which is written last, is there. Only the next start verifies every byte.
        name: Of its folder in ``RUN/checkpoints``.
    """

    epoch: int
    phase: str
    step: int
    age_s: float | None
    whole: bool
    name: str


@dataclass(frozen=True)
class RunStatus:
    """How a training stands.

    Attributes:
        run: As it was named.
        time_s: When it was judged, seconds since 1970.
        state: ``prepared``: nothing has begun. ``waiting``: its job waits in the queue. ``starting``: its job or
            process has begun, no phase yet. ``training``. ``silent``: it did not say that it left, but says nothing any
            more. ``stopped``: it was asked to leave, and saved. ``failed``. ``finished``. ``unknown``: it has been
            trained, and nothing says by whom or whether it still is.
        method: ``dcam``, ``baseline`` or ``supervised``; ``None`` before the first start, as ``epochs``.
        epochs: That it shall have.
        epoch: In hand, from 0; the closing extraction and clustering bear the epochs' number.
        phase: In hand, in lower case.
        done: Volumes of the phase.
        total: All volumes of the phase; 0 where it has none.
        loss: Of a recent step, else of the last epoch.
        nmi: Of the last epoch's clustering with the one before.
        silhouette: Of the last epoch.
        volumes_per_second: Over the last minutes, while it trains; so ``left_s``.
        left_s: Seconds to the end of the run.
        silent_s: Seconds since its last sign of life.
        still_s: Seconds since a phase began or a volume was done.
        saved: The newest checkpoint.
        ranks: Of the latest start; so precision, host, pid and job.
        precision: Of the convolutions.
        host: Of rank 0.
        pid: Of rank 0.
        job: Of Slurm.
        reason: Why the latest start left.
        exit_code: With which it left.
        set_aside: Number of cases that the run goes on without.
        jobs: That were submitted for this run.
        warnings: A sentence each.
        next: What to do.
    """

    run: str
    time_s: float
    state: State
    method: str | None
    epochs: int | None
    epoch: int | None
    phase: str | None
    done: int
    total: int
    loss: float | None
    nmi: float | None
    silhouette: float | None
    volumes_per_second: float | None
    left_s: float | None
    silent_s: float | None
    still_s: float | None
    saved: SavedStatus | None
    ranks: int | None
    precision: str | None
    host: str | None
    pid: int | None
    job: str | None
    reason: str | None
    exit_code: int | None
    set_aside: int
    jobs: tuple[JobState, ...]
    warnings: tuple[str, ...]
    next: str


def run_status(run: Path) -> RunStatus:
    """Read a run's files and judge them.

    Raises:
        UsageError: When there is no run, and none was submitted.
        DataError: When its configuration is damaged.
        OSError: When a file may not be read.
    """
    return judge(str(run), read_run_files(run), time.time())


def judge(run: str, files: RunFiles, now: float) -> RunStatus:
    """What the files of a run come to.

    Args:
        run: As it was named.
        files: Of the run.
        now: Seconds since 1970.
    """
    state = state_of(files, now)
    live, config, works = files.live, files.config, state == "training"
    last = files.metrics[-1] if files.metrics else {}
    epoch, phase, done, total = _place(files, state)
    reason, exit_code = how_it_left(files)
    return RunStatus(
        run=run,
        time_s=now,
        state=state,
        method=config.method if config else None,
        epochs=config.training.epochs if config else None,
        epoch=epoch,
        phase=phase,
        done=done,
        total=total,
        loss=_first(live.loss if live else None, last.get("loss")),
        nmi=_first(live.nmi if live else None, last.get("nmi_previous")),
        silhouette=_first(last.get("silhouette")),
        volumes_per_second=live.volumes_per_second if live and works else None,
        left_s=live.left_s if live and works else None,
        silent_s=max(0.0, now - live.time_s) if live else None,
        still_s=max(0.0, now - live.moved_s) if live else None,
        saved=_saved(files, now),
        ranks=live.ranks if live else last.get("ranks"),
        precision=config.network.precision if config else None,
        host=live.host if live else None,
        pid=live.pid if live else None,
        job=live.job if live else None,
        reason=reason if exit_code and state != "finished" else None,
        exit_code=exit_code,
        set_aside=files.set_aside,
        jobs=files.jobs,
        warnings=tuple(_warnings(files, state, now)),
        next=next_step(run, state, files),
    )


def _place(files: RunFiles, state: State) -> tuple[int | None, str | None, int, int]:
    """Epoch, phase and its volumes: of the latest start, else where the next one goes on, with none counted yet."""
    live, saved = files.live, files.saved
    if state in ("training", "silent", "stopped", "failed") and live is not None and live.phase is not None:
        return live.epoch, live.phase, live.done, live.total
    if saved is None:
        return None, None, 0, 0
    return saved.position.epoch, saved.position.phase.name.lower(), 0, 0


def _saved(files: RunFiles, now: float) -> SavedStatus | None:
    found = files.saved
    if found is None:
        return None
    at, age_s = found.position, None if found.saved_s is None else max(0.0, now - found.saved_s)
    return SavedStatus(at.epoch, at.phase.name.lower(), at.step, age_s, age_s is not None, found.name)


def _warnings(files: RunFiles, state: State, now: float) -> Iterator[str]:
    live, last = files.live, files.metrics[-1] if files.metrics else {}
    epoch = last.get("epoch", 0) + 1
    if share := _largest_share(last.get("cluster_sizes")):
        yield f"epoch {epoch}: one cluster holds {share:.0%} of the cases; above 99 % the run stops as collapsed"
    if _first(last.get("skipped_steps")):
        yield f"epoch {epoch}: {last['skipped_steps']} steps were left out, their loss was not finite"
    if state == "training" and live is not None and live.total and now - live.moved_s > STUCK_S:
        minutes = (now - live.moved_s) / 60
        yield f"no volume was done for {minutes:.0f} min; a rank that hangs is named after training.timeout_s"
    if files.stop and state in ("starting", "training"):
        yield "the stop file is there: it saves and leaves at the next boundary"
    elif files.stop and state in ("prepared", "waiting", "silent"):
        yield "the stop file is there, but the next start removes it and goes on; cancel the job instead"
    for name, failed in stranded(files.jobs).items():
        yield f"job {name} waits for job {failed}, which has failed: it will not start"
    if files.saved is not None and files.saved.saved_s is None:
        yield f"the newest checkpoint ({files.saved.name}) has no manifest: the next start passes it over"
    if live is not None and live.time_s - now > CLOCKS_APART_S:
        yield f"the clock of {live.host} is {live.time_s - now:.0f} s ahead of this one: ages are not to be trusted"
    yield from files.damaged


def _largest_share(sizes: Any) -> float | None:
    """Share of the largest cluster, where it announces a collapse."""
    if not isinstance(sizes, list) or not all(isinstance(size, int) for size in sizes) or sum(sizes) <= 0:
        return None
    share = max(sizes) / sum(sizes)
    return share if share > CROWDED_SHARE else None


def _first(*values: Any) -> float | None:
    """The first that is a number."""
    return next((value for value in values if isinstance(value, int | float) and not isinstance(value, bool)), None)
