"""What the rows of ``training_faults.py`` do to the disk before a start, and to a training while it runs."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from benchmarks.kill_chain import WORK, until
from dcam_dist.metrics import match_to_previous
from dcam_dist.runs import latest_checkpoint, read_checkpoint
from dcam_dist.runs.metrics_lines import read_metrics
from dcam_dist.types import Phase


def newest_folder(run: Path) -> Path:
    """The newest checkpoint, by its name."""
    return checkpoint_folders(run)[-1]


def checkpoint_folders(run: Path) -> list[Path]:
    """The checkpoints, the oldest first."""
    return sorted(path for path in (run / "checkpoints").iterdir() if not path.name.startswith("."))


def _mount(run: Path, options: str) -> None:
    run.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(run)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount here")


def _small_disk(run: Path) -> None:
    _mount(run, "size=6m")


def _larger_disk(run: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=200m", str(run)], check=True)


def _read_only(run: Path) -> None:
    if os.geteuid():
        run.mkdir()
        run.chmod(0o500)
    else:
        _mount(run, "ro")


def unmount(run: Path) -> None:
    """Undo the mounts; the folder stays."""
    if run.is_mount():
        subprocess.run(["umount", str(run)], check=True)


def _flip(run: Path) -> None:
    file = newest_folder(run) / "engine.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _cut(run: Path) -> None:
    file = newest_folder(run) / "engine.safetensors"
    os.truncate(file, file.stat().st_size // 2)


def _remove_file(run: Path) -> None:
    (newest_folder(run) / "state.json").unlink()


def _turn_clocks(run: Path) -> None:
    oldest, *_, newest = checkpoint_folders(run)
    for folder, moment in ((oldest, time.time() + 3e7), (newest, 6.5e8)):
        for path in [*folder.iterdir(), folder]:
            os.utime(path, (moment, moment))


def _assert_finite(run: Path) -> None:
    checkpoint = latest_checkpoint(run)
    assert checkpoint is not None, "no checkpoint is left"
    for name, tensor in checkpoint.engine.items():
        assert torch.isfinite(tensor).all(), f"{name} is not finite"


def _assert_ids(run: Path) -> None:
    """Where a clustering follows another, no other numbering of its clusters overlaps more with the one before."""
    saved = [read_checkpoint(folder) for folder in checkpoint_folders(run)]
    pairs = [(one.previous, one.assignment) for one in saved if one.position.phase is Phase.RESET and one.previous]
    assert len(pairs) > 2
    clusters = int(max(one.label_N.max() for one, _ in pairs)) + 1
    for before, after in pairs:
        best = match_to_previous(before.label_N, after.label_N, clusters)
        assert (best == np.arange(clusters)).all(), "clusters changed their ids"


def _assert_refilled(run: Path) -> None:
    """Clusters were refilled in some epoch, and in none is one empty."""
    lines = read_metrics(run)
    assert all(min(line["cluster_sizes"]) > 0 for line in lines), "a cluster is empty"
    assert sum(line["repaired_clusters"] for line in lines) > 0, "no cluster was ever empty"


BEFORE: dict[str, Callable[[Path], None]] = {
    "small disk": _small_disk,
    "larger disk": _larger_disk,
    "read-only": _read_only,
    "flip a bit of the newest checkpoint": _flip,
    "cut the newest checkpoint": _cut,
    "remove a file of the newest checkpoint": _remove_file,
    "turn the clocks of the checkpoints": _turn_clocks,
    "assert finite weights": _assert_finite,
    "assert clusters keep their ids": _assert_ids,
    "assert clusters were refilled": _assert_refilled,
}


def in_first_epoch(run: Path) -> bool:
    """Whether a step has been saved."""
    folder = run / "checkpoints"
    return folder.is_dir() and any("train" in path.name for path in folder.iterdir())


def _wait(training: Any, seen: Callable[[], bool]) -> None:
    assert until(training, seen), f"ended too early:\n{training.said}"


def _stop_file(training: Any, run: Path, _: Callable[[], Any]) -> None:
    _wait(training, lambda: in_first_epoch(run))
    (run / "stop").touch()


def _signal_launcher(number: signal.Signals) -> Callable[..., None]:
    def act(training: Any, run: Path, _: Callable[[], Any]) -> None:
        _wait(training, lambda: WORK.search(training.said) is not None and in_first_epoch(run))
        training.signal_launcher(number)

    return act


def _await_hang(training: Any, run: Path, _: Callable[[], Any]) -> None:
    """Time the end of rank 0 from the moment at which rank 1 stood still, then let that one go."""
    _wait(training, lambda: training.processes()[1].status() == psutil.STATUS_STOPPED)
    stopped = time.monotonic()
    _wait(training, lambda: 0 not in training.processes())
    training.took_s = time.monotonic() - stopped
    training.signal(signal.SIGKILL, 1)


def _second_start(training: Any, run: Path, again: Callable[[], Any]) -> None:
    _wait(training, lambda: in_first_epoch(run))
    second = again()
    assert second.wait() == [4], f"the second start was not refused: {second.said}"
    assert "another training is running" in second.said
    training.second_said = second.said


MEANWHILE: dict[str, Callable[..., None]] = {
    "stop file": _stop_file,
    "SIGTERM to the launcher": _signal_launcher(signal.SIGTERM),
    "SIGUSR1 to the launcher": _signal_launcher(signal.SIGUSR1),
    "await the hang": _await_hang,
    "start a second one": _second_start,
}
