"""A checkpoint as files: tensors and arrays as safetensors, the rest as JSON. No pickle, and every dtype as it was.

The files of one checkpoint:

    state.json           position, case ids, scalars, and where it was made
    engine.safetensors   parameters, buffers, optimizer state
    arrays.safetensors   labels, clustering model, features, points, batches, tally, generators
    best.safetensors     the network at its best validation loss, where there is one
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from dcam_dist.clustering import ClusterModel
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs.checkpoint import BestWeights, Checkpoint, EpochInHand
from dcam_dist.types import Assignment, FeatureTable, Phase, Position

FORMAT = 1
STATE, ENGINE, ARRAYS, BEST = "state.json", "engine.safetensors", "arrays.safetensors", "best.safetensors"
_FLAGS = ("whiten", "l2_normalize")
_MODEL_ARRAYS = tuple(field.name for field in fields(ClusterModel) if field.name not in _FLAGS)
_GENERATOR = "generator/"
_GONE_ON_FROM = ("position", "case_id", "features", "aside", "skipped", "best")

Arrays = dict[str, NDArray[Any]]
Tree = dict[str, Any]


def to_files(checkpoint: Checkpoint, about: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The files of a checkpoint, name and content, one after another to hold only one in memory.

    Args:
        checkpoint: What is saved.
        about: Where it was made, for the reader alone: versions, settings.
    """
    yield ENGINE, _tensor_bytes(checkpoint.engine)
    if checkpoint.best is not None:
        yield BEST, _tensor_bytes(checkpoint.best.network)
    yield ARRAYS, _array_bytes(_arrays_of(checkpoint))
    yield STATE, json.dumps(_state_of(checkpoint, about), allow_nan=False).encode()


def from_files(files: Mapping[str, bytes]) -> Checkpoint:
    """The inverse of ``to_files``.

    Raises:
        DataError: When something is missing, or is of another kind or shape than it must be.
        EnvironmentFault: When a newer version of the package wrote it.
    """
    try:
        state = json.loads(files[STATE])
        _check_format(state["format"])
        return _checkpoint(state, safetensors.numpy.load(files[ARRAYS]), files)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, SafetensorError) as error:
        raise DataError(f"no checkpoint of this package ({type(error).__name__}: {error})") from None


def fingerprint(checkpoint: Checkpoint) -> str:
    """A hash of all that training goes on from, what is in hand included: whether two ranks have read the same."""
    state, digest = _state_of(checkpoint, {}), hashlib.sha256()
    digest.update(json.dumps([state[name] for name in _GONE_ON_FROM]).encode())
    for name, content in to_files(checkpoint, {}):
        if name != STATE:
            digest.update(f"{name} {len(content)} ".encode())
            digest.update(content)
    return digest.hexdigest()


def content_bytes(checkpoint: Checkpoint) -> int:
    """What tensors and arrays of a checkpoint take, the better part of its files."""
    tensors = [*checkpoint.engine.values(), *(checkpoint.best.network.values() if checkpoint.best else ())]
    return sum(part.nbytes for part in (*tensors, *_arrays_of(checkpoint).values()))


def position_tree(position: Position) -> Tree:
    """A position as JSON."""
    return {"epoch": position.epoch, "phase": position.phase.name.lower(), "step": position.step}


def _state_of(checkpoint: Checkpoint, about: Mapping[str, Any]) -> Tree:
    hand, model, best = checkpoint.in_hand, checkpoint.clustering, checkpoint.best
    return {
        "format": FORMAT,
        "position": position_tree(checkpoint.position),
        "ranks": checkpoint.ranks,
        "threads": checkpoint.threads,
        "about": dict(about),
        "assignment": _assignment_tree(checkpoint.assignment),
        "previous": _assignment_tree(checkpoint.previous),
        "clustering": None if model is None else {name: getattr(model, name) for name in _FLAGS},
        "proven": checkpoint.proven and position_tree(checkpoint.proven),
        "sound": checkpoint.sound and position_tree(checkpoint.sound),
        "best": None if best is None else {"epoch": best.epoch, "loss": _number(best.loss)},
        "skipped": hand.skipped,
        "extract_stall_s": _number(hand.extract_stall_s),
        "seconds": {name: _number(seconds) for name, seconds in hand.seconds.items()},
        "features": None if hand.features is None else list(hand.features.case_id_N),
        "aside": list(checkpoint.aside),
        "case_id": list(checkpoint.case_id_N),
    }


def _arrays_of(checkpoint: Checkpoint) -> Arrays:
    hand, model = checkpoint.in_hand, checkpoint.clustering
    named: dict[str, NDArray[Any] | None] = {
        "assignment": None if checkpoint.assignment is None else checkpoint.assignment.label_N,
        "previous": None if checkpoint.previous is None else checkpoint.previous.label_N,
        "features": None if hand.features is None else hand.features.features_NC,
        "points": hand.points_NP,
        "batches": hand.batch_SB,
        "tally": hand.tally_RT,
    }
    named |= {} if model is None else {f"clustering/{name}": getattr(model, name) for name in _MODEL_ARRAYS}
    named |= {_GENERATOR + name: state for name, state in checkpoint.generators.items()}
    return {name: array for name, array in named.items() if array is not None}


def _checkpoint(state: Tree, arrays: Arrays, files: Mapping[str, bytes]) -> Checkpoint:
    best = state["best"]
    return Checkpoint(
        position=_position(state["position"]),
        case_id_N=_ids(state["case_id"]),
        engine=safetensors.torch.load(files[ENGINE]),
        assignment=_assignment(state["assignment"], arrays, "assignment"),
        clustering=_model(state["clustering"], arrays),
        previous=_assignment(state["previous"], arrays, "previous"),
        in_hand=_in_hand(state, arrays),
        aside=_ids(state["aside"]),
        generators={
            name.removeprefix(_GENERATOR): _of(arrays, name, np.uint8, 1)
            for name in sorted(arrays)
            if name.startswith(_GENERATOR)
        },
        best=best and BestWeights(int(best["epoch"]), float(best["loss"]), safetensors.torch.load(files[BEST])),
        proven=_position_if_known(state, "proven"),
        sound=_position_if_known(state, "sound"),
        ranks=int(state["ranks"]),
        threads=int(state["threads"]),
    )


def _position_if_known(state: Tree, name: str) -> Position | None:
    tree = state.get(name)  # which earlier versions did not write
    return None if tree is None else _position(tree)


def _position(tree: Tree) -> Position:
    return Position(int(tree["epoch"]), Phase[tree["phase"].upper()], int(tree["step"]))


def _in_hand(state: Tree, arrays: Arrays) -> EpochInHand:
    features = None
    if state["features"] is not None:
        case_id_N = _ids(state["features"])
        features = FeatureTable(_of(arrays, "features", np.float32, 2, rows=len(case_id_N)), case_id_N)
    return EpochInHand(
        features=features,
        points_NP=_of(arrays, "points", np.floating, 2) if "points" in arrays else None,
        batch_SB=_of(arrays, "batches", np.int64, 2) if "batches" in arrays else None,
        tally_RT=_of(arrays, "tally", np.float64, 2) if "tally" in arrays else None,
        skipped=int(state["skipped"]),
        extract_stall_s=float(state["extract_stall_s"]),
        seconds={str(name): float(seconds) for name, seconds in state["seconds"].items()},
    )


def _assignment_tree(assignment: Assignment | None) -> Tree | None:
    if assignment is None:
        return None
    return {
        "epoch": assignment.epoch,
        "inertia": _number(assignment.inertia),
        "repaired": assignment.repaired,
        "case_id": list(assignment.case_id_N),
    }


def _assignment(tree: Tree | None, arrays: Arrays, name: str) -> Assignment | None:
    if tree is None:
        return None
    case_id_N = _ids(tree["case_id"])
    label_N = _of(arrays, name, np.int64, 1, rows=len(case_id_N))
    return Assignment(label_N, case_id_N, int(tree["epoch"]), float(tree["inertia"]), int(tree["repaired"]))


def _model(flags: Tree | None, arrays: Arrays) -> ClusterModel | None:
    if flags is None:
        return None
    mean_C, scale_C, components_PC, variance_P, centroid_KP = (
        _of(arrays, f"clustering/{name}", np.float32, 2 if "_" in name and name[-2:] in ("PC", "KP") else 1)
        for name in _MODEL_ARRAYS
    )
    axes, channels = components_PC.shape
    if not len(mean_C) == len(scale_C) == channels or not len(variance_P) == centroid_KP.shape[1] == axes:
        raise ValueError("the clustering model's arrays do not fit together")
    whiten, l2_normalize = (bool(flags[name]) for name in _FLAGS)
    return ClusterModel(mean_C, scale_C, components_PC, variance_P, centroid_KP, whiten, l2_normalize)


def _of(arrays: Arrays, name: str, kind: type[np.generic], axes: int, rows: int | None = None) -> NDArray[Any]:
    array = arrays[name]
    if not np.issubdtype(array.dtype, kind) or array.ndim != axes or rows not in (None, len(array)):
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    return array


def _ids(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("case ids must be a list of texts")
    return tuple(names)


def _check_format(number: Any) -> None:
    if not isinstance(number, int) or number > FORMAT:
        raise EnvironmentFault(f"written in format {number}, this version reads {FORMAT}; install a newer dcam-dist")


def _number(value: float) -> float | str:
    """JSON has no NaN; ``float`` reads both ways of writing it."""
    return float(value) if math.isfinite(value) else str(float(value))


def _tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _array_bytes(arrays: Arrays) -> bytes:
    # safetensors writes an array's memory as it lies, and PCA hands out Fortran order
    return safetensors.numpy.save({name: np.array(array, order="C") for name, array in arrays.items()})
