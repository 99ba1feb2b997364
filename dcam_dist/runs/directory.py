"""Open a run's directory for training, or read back what a run was."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from dcam_dist.config import Config, dump_config, load_config
from dcam_dist.errors import EnvironmentFault, UsageError

CONFIG = "config.yaml"
# what does not change the trained weights; the cohort may have moved, its cases are checked against the checkpoint
_MAY_DIFFER: dict[str, Any] = {
    "evaluation": True,
    "maps": True,
    "ingest": True,
    "output": True,
    "data": {"cohort", "prefetch", "threads", "stage"},
    "training": {"timeout_s", "keep_checkpoints"},
}


def open_run_directory(config: Config) -> Path:
    """Create ``config.output``, or accept it when it holds a run of the same configuration to go on with.

    Raises:
        UsageError: When no output is set, or the directory holds a run of another configuration; shows the difference.
        EnvironmentFault: When the directory cannot be written.
    """
    if config.output is None:
        raise UsageError("output: not set; say where the run goes with output=RUN")
    run = config.output
    if (run / CONFIG).is_file():
        _refuse_changes(run, config)
        return run
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise UsageError(f"{run}: exists and holds no run; choose another output")
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / CONFIG).write_text(dump_config(config), encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"{run}: cannot be written ({error.strerror}); choose another output") from None
    return run


def read_run_config(run: str | Path) -> Config:
    """The resolved configuration of a run.

    Raises:
        UsageError: When there is no run at the path.
    """
    file = Path(run) / CONFIG
    if not file.is_file():
        raise UsageError(f"{run}: no run here; make one with: torchrun -m dcam_dist train output={run} …")
    return load_config(file).model_copy(update={"output": Path(run)})


def _refuse_changes(run: Path, config: Config) -> None:
    before, now = (_training_part(c) for c in (read_run_config(run), config))
    if before != now:
        lines = difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm="", n=0)
        changes = ", ".join(line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---"))
        raise UsageError(f"{run}: holds a run of another configuration ({changes}); choose another output")


def _training_part(config: Config) -> str:
    return yaml.safe_dump(config.model_dump(mode="json", exclude=_MAY_DIFFER), sort_keys=False)
