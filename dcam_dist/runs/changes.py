"""Going on with other settings: what may differ freely, what only when it is named, and what never."""

import json
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dcam_dist.cohort import open_cohort
from dcam_dist.config import Config
from dcam_dist.errors import UsageError
from dcam_dist.runs.checkpoint_files import position_tree
from dcam_dist.runs.checkpoints import latest_checkpoint
from dcam_dist.runs.provenance import versions
from dcam_dist.runs.restore import check_training_cases
from dcam_dist.runs.run_config import read_run_config, replace_file, write_run_config
from dcam_dist.types import Phase, Position

HISTORY = "history.jsonl"
Differences = dict[str, tuple[Any, Any]]
"""Old and new value by key."""

_LOG = logging.getLogger(__name__)
# what does not change the trained weights; the cohort may have moved, its cases are checked against the checkpoint
_MAY_DIFFER: dict[str, Any] = {
    "evaluation": True,
    "maps": True,
    "patterns": True,
    "ingest": True,
    "output": True,
    "data": {"cohort", "prefetch", "threads", "stage"},
    "network": {"checkpointing"},
    "training": {
        "timeout_s",
        "keep_checkpoints",
        "checkpoint_minutes",
        "max_minutes",
        "rank_logs",
        "mlflow",
        "deepspeed_config",
    },
}
_WEIGHTS = "the saved weights would not fit"
_NEVER = {
    "method": "it decides what is trained on what",
    "grid": "the network has learned on volumes of this grid",
    "labels": "scores and, when supervised, the head stand for these labels",
    "network.filters": _WEIGHTS,
    "network.baseline_filters": _WEIGHTS,
    "network.norm": _WEIGHTS,
    "clustering.clusters": "the head has one output for each cluster",
    "seed": "the order of the cases, the validation split and the clustering follow from it",
    "training.optimizer.name": "the saved optimizer state would not fit",
    "supervised.validation_fraction": "cases to stop early on would be among those that were trained on",
}


def accept_changes(run: Path, config: Config, named: Collection[str]) -> None:
    """Compare a run's configuration with the one to go on with; write down what was changed, by name or freely.

    ``RUN/config.yaml``, by which evaluation and maps go, becomes the new one, and ``RUN/history.jsonl`` gets a line:
    old and new values, the position of the newest checkpoint, versions.

    Args:
        run: Holds a run.
        config: To go on with.
        named: Keys (``section.key``) that may differ.

    Raises:
        UsageError: When something else differs, or something that cannot change in a run; shows all differences. When
            another cohort has other training cases.
        DataError: When no checkpoint of the run verifies.
        OSError: When the directory cannot be written.
    """
    before = read_run_config(run)
    found = _differing(before, config, {"output": True})
    if not found:
        return
    if decisive := differences(before, config):
        _refuse(run, decisive, _shown(decisive), named)
    checkpoint = latest_checkpoint(run)
    if checkpoint is not None and "data.cohort" in found and config.data.cohort is not None:
        check_training_cases(open_cohort(config.data.cohort), checkpoint)
    if checkpoint is not None and config.training.epochs < _epochs_begun(checkpoint.position):
        begun = _epochs_begun(checkpoint.position)
        raise UsageError(f"{run}: has begun {begun} epochs; training.epochs={config.training.epochs} is less")
    entry = {
        "changed": {key: {"old": old, "new": new} for key, (old, new) in found.items()},
        "position": None if checkpoint is None else position_tree(checkpoint.position),
        "versions": versions(),
    }
    history = run / HISTORY
    lines = history.read_bytes() if history.is_file() else b""
    replace_file(history, lines + json.dumps(entry).encode() + b"\n")
    write_run_config(run, config)
    _LOG.info("going on with %s", _shown(found))


def _epochs_begun(position: Position) -> int:
    training = position.phase is Phase.TRAIN and position.step > 0
    return position.epoch + (training or position.phase is Phase.RESET)


def differences(before: Config, now: Config) -> Differences:
    """What differs between two configurations among all that decides the trained weights."""
    return _differing(before, now, _MAY_DIFFER)


def check_keys(named: Collection[str]) -> None:
    """Refuse the name of a setting that there is not.

    Raises:
        UsageError: Says which.
    """
    known = dict(leaves(Config().model_dump(mode="json")))
    for key in named:
        if key not in known:
            raise UsageError(f"--change {key}: no such setting; name one as section.key, such as training.epochs")


def _differing(before: Config, now: Config, but: Mapping[str, Any]) -> Differences:
    old, new = (dict(leaves(config.model_dump(mode="json", exclude=dict(but)))) for config in (before, now))
    return {key: (old[key], new[key]) for key in old if old[key] != new[key]}


def _shown(found: Differences) -> str:
    return ", ".join(f"{key}: {_text(old)} → {_text(new)}" for key, (old, new) in found.items())


def _refuse(run: Path, found: Differences, shown: str, named: Collection[str]) -> None:
    another = f"{run}: holds a run of another configuration ({shown})"
    for key in found:
        why = _NEVER.get(key) or _NEVER.get(key.partition(".")[0])
        if why:
            raise UsageError(f"{another}; {key} cannot change in a run: {why}; choose another output")
    if unnamed := [key for key in found if key not in named]:
        options = " ".join(f"--change {key}" for key in unnamed)
        raise UsageError(f"{another}; choose another output, or go on with the new settings by {options}")


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a configuration's tree, by its path with dots."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
