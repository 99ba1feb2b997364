"""How each guard of ``tests/faults/training_guards.py`` is taken out of a training process."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from support.faulty_train import replace


def _instead(path: str, new: Callable[..., Any]) -> Callable[[], None]:
    """Do something else in place of a function, which is not called."""
    return lambda: replace(path, lambda _, *arguments, **keywords: new(*arguments, **keywords))


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _identity(previous_N: Any, current_N: Any, clusters: int) -> Any:
    import numpy as np

    return np.arange(clusters)


def _only_mine(notes: Any, context: Any) -> dict[str, str]:
    return dict(notes)


def _without_draws() -> None:
    """Go on in the middle of an epoch with the draws from its beginning."""
    from dataclasses import replace as changed

    def resumed(original: Callable[..., Any], *arguments: Any) -> Any:
        return changed(original(*arguments), training=None)

    replace("dcam_dist.training.keeping:resume", resumed)


def _without_optimizer() -> None:
    def load(original: Callable[..., Any], engine: Any, tensors: Any) -> Any:
        return original(engine, {name: value for name, value in tensors.items() if not name.startswith("optimizer.")})

    replace("dcam_dist.distributed.ddp:DdpEngine.load_state", load)


def _taken(guard: Any, *, overflow: Any) -> Any:
    from dcam_dist.distributed.engine import StepOutcome

    guard._kept = None
    return StepOutcome.TAKEN


def _without_kept_buffers() -> None:
    def judge(original: Callable[..., Any], guard: Any, **keywords: Any) -> Any:
        guard._kept = None
        return original(guard, **keywords)

    replace("dcam_dist.distributed.step_guard:StepGuard.judge", judge)


def _without_hashes() -> None:
    class Agreeing(dict[str, Any]):
        """The right fingerprint to write, and like any other to compare with."""

        def __ne__(self, other: object) -> bool:
            return False

    replace("dcam_dist.runs.sealed:_fingerprint", lambda original, content: Agreeing(original(content)))


def _without_proven() -> None:
    """Remove whatever is older than the newest few."""

    def remove(original: Callable[..., Any], run: Any, newest: Any, keep: int, good: Any) -> None:
        original(run, newest, keep, ())

    replace("dcam_dist.runs.checkpoints:_remove_old", remove)


def _no_answers(watch: Any) -> Any:
    from dcam_dist.distributed.roll_call import Roll

    return Roll({}, {}, reachable=False, first=False)


def _as_they_are(centroid_KP: Any, sizes_of: Any) -> Any:
    return centroid_KP, sizes_of(centroid_KP), 0


def _by_time(run: Any) -> Any:
    from dcam_dist.runs.places import FOLDER, place_of

    folders = sorted((run / FOLDER).glob("epoch-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    return [place for folder in folders if (place := place_of(folder)) is not None]


REMOVE: dict[str, Callable[[], None]] = {
    "tags": _instead("dcam_dist.distributed.control:_tag", lambda *_: 0),
    "place": _instead("dcam_dist.distributed.in_step:come_to", _nothing),
    "same checkpoint": _instead("dcam_dist.training.together:same_on_all_ranks", _nothing),
    "label hash": _instead("dcam_dist.distributed.collectives:same_everywhere", lambda *_: True),
    "shared notes": _instead("dcam_dist.distributed.collectives:share_notes", _only_mine),
    "step guard": _instead("dcam_dist.distributed.step_guard:StepGuard.judge", _taken),
    "kept buffers": _without_kept_buffers,
    "lock": _instead("dcam_dist.runs.lock:run_lock", lambda _: nullcontext()),
    "draws": _without_draws,
    "optimizer state": _without_optimizer,
    "generators": _instead("dcam_dist.training.keeping:_set_generators", _nothing),
    "id matching": _instead("dcam_dist.metrics.epoch_matching:match_to_previous", _identity),
    "hashes": _without_hashes,
    "order by position": _instead("dcam_dist.runs.places:places", _by_time),
    "time limit": _instead("dcam_dist.training.leaving:end_of_time", lambda _: float("inf")),
    "in doubt": _instead("dcam_dist.training.boundary:Boundary.doubt", _nothing),
    "disown": _instead("dcam_dist.training.boundary:Boundary.disown", _nothing),
    "proven": _without_proven,
    "lost ranks": _instead("dcam_dist.distributed.lost:naming_silent_ranks", lambda *_: nullcontext()),
    "roll call": _instead("dcam_dist.distributed.roll_call:Watch.call", _no_answers),
    "changed config": _instead("dcam_dist.runs.changes:_refuse", _nothing),
    "first start": _instead("dcam_dist.runs.directory:first_start", lambda: True),
    "recomputing": _instead("dcam_dist.models.checkpointing:is_recomputing", lambda: False),
    "refilling": _instead("dcam_dist.clustering.repair:repair_empty_clusters", _as_they_are),
    "collapse": _instead("dcam_dist.training.collapse:refuse_collapse", _nothing),
}
