"""Checkpoints: safetensors and JSON in a fresh directory, a SHA-256 manifest written last, then one rename.

    RUN/checkpoints/epoch-0007/
      engine.safetensors       parameters, buffers, optimizer state
      clustering.safetensors   scaler, PCA, centroids
      state.json               epoch, phase, assignment by case id, clustering settings
      MANIFEST.json            size and SHA-256 of each of the others

A directory without a manifest, or one that does not agree with it, is not a checkpoint: the one before is used.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from dcam_dist.clustering import ClusterModel
from dcam_dist.cohort.durable import sync
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.types import Assignment

FOLDER = "checkpoints"
ENGINE, CLUSTERING, STATE, MANIFEST = "engine.safetensors", "clustering.safetensors", "state.json", "MANIFEST.json"
_FLAGS = ("whiten", "l2_normalize")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that training goes on from, and everything that evaluation and maps need.

    Attributes:
        epoch: Epochs completed.
        finished: Whether training is over, with the closing clustering made.
        engine: Parameters, buffers, optimizer state by name.
        assignment: The clusters that the last epoch trained on; after the end, the closing clustering's.
        clustering: The model behind the assignment; ``None`` for supervised runs.
    """

    epoch: int
    finished: bool
    engine: dict[str, Tensor]
    assignment: Assignment
    clustering: ClusterModel | None


def write_checkpoint(run: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint; it exists whole or not at all. Older ones beyond ``keep`` are removed after it verifies.

    Raises:
        EnvironmentFault: When the disk is full or refuses; earlier checkpoints stay.
    """
    final = run / FOLDER / f"epoch-{checkpoint.epoch:04d}{'-final' if checkpoint.finished else ''}"
    side = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(side, ignore_errors=True)
    try:
        side.mkdir(parents=True)
        _write_files(side, checkpoint)
        if final.exists():
            shutil.rmtree(final)
        side.rename(final)
        sync(final.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(side, ignore_errors=True)
        raise EnvironmentFault(f"{final}: cannot be written ({error}); earlier checkpoints are intact") from None
    _verify(final)
    for old in _candidates(run)[keep:]:
        shutil.rmtree(old)
    return final


def latest_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies; ``None`` when there is none at all.

    Raises:
        DataError: When there are checkpoints and none of them verifies.
    """
    problems = []
    for folder in _candidates(run):
        try:
            return read_checkpoint(folder)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("; ".join(problems))
    return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint after verifying every byte of it.

    Raises:
        DataError: When it is incomplete or damaged.
    """
    _verify(folder)
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    assignment = Assignment(
        label_N=np.asarray(state["cluster"], dtype=np.int64),
        case_id_N=tuple(state["case_id"]),
        epoch=state["assignment_epoch"],
        inertia=state["inertia"],
        repaired=state["repaired"],
    )
    clustering = None
    if state["clustering"] is not None:
        arrays: dict[str, Any] = safetensors.numpy.load_file(folder / CLUSTERING)
        clustering = ClusterModel(**arrays, **state["clustering"])
    engine = safetensors.torch.load_file(folder / ENGINE)
    return Checkpoint(state["epoch"], state["finished"], engine, assignment, clustering)


def _write_files(side: Path, checkpoint: Checkpoint) -> None:
    safetensors.torch.save_file(checkpoint.engine, side / ENGINE)
    assignment, clustering = checkpoint.assignment, checkpoint.clustering
    if clustering is not None:
        arrays = {f.name: getattr(clustering, f.name) for f in fields(clustering) if f.name not in _FLAGS}
        # safetensors writes an array's memory as it lies, and PCA hands out Fortran order
        safetensors.numpy.save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, side / CLUSTERING)
    state = {
        "epoch": checkpoint.epoch,
        "finished": checkpoint.finished,
        "assignment_epoch": assignment.epoch,
        "inertia": assignment.inertia,
        "repaired": assignment.repaired,
        "clustering": None if clustering is None else {name: getattr(clustering, name) for name in _FLAGS},
        "case_id": list(assignment.case_id_N),
        "cluster": assignment.label_N.tolist(),
    }
    (side / STATE).write_text(json.dumps(state), encoding="utf-8")
    files = sorted(side.iterdir())
    for file in files:
        sync(file)
    (side / MANIFEST).write_text(json.dumps({file.name: _fingerprint(file) for file in files}), encoding="utf-8")
    sync(side / MANIFEST)
    sync(side)


def _verify(folder: Path) -> None:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        damaged = [name for name, expected in manifest.items() if _fingerprint(folder / name) != expected]
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{folder}: incomplete checkpoint ({type(error).__name__})") from None
    if damaged or not {ENGINE, STATE} <= manifest.keys():
        raise DataError(f"{folder}: damaged checkpoint ({', '.join(damaged) or 'files missing'})")


def _candidates(run: Path) -> list[Path]:
    return sorted((run / FOLDER).glob("epoch-*"), key=lambda folder: folder.name, reverse=True)


def _fingerprint(file: Path) -> dict[str, int | str]:
    with file.open("rb") as stream:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
