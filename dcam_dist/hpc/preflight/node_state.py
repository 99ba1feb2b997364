"""What one node says of itself before the work begins: its GPUs, what it sees of cohort and output, its versions."""

import hashlib
import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import dcam_dist
from dcam_dist.cohort import open_cohort
from dcam_dist.cohort.manifest import read_seal
from dcam_dist.errors import DataError, UsageError

PACKAGES = ("torch", "numpy", "zarr")
DIGITS = 12


@dataclass(frozen=True)
class Wanted:
    """What a job is to find.

    Attributes:
        nodes: Their number.
        gpus: Of each node, at least; 0: it computes on CPUs.
        meet: Host and port at which the nodes meet; ``None`` on one node.
        cohort: The store that all nodes read.
        output: The run's directory, which need not be there yet.
        come_s: So much later than the first node may the others come, in seconds: they load torch from a shared disk.
    """

    nodes: int
    gpus: int
    meet: tuple[str, int] | None = None
    cohort: Path | None = None
    output: Path | None = None
    come_s: float = 180.0


@dataclass(frozen=True)
class NodeState:
    """One node, by its own account.

    Attributes:
        name: For lines to the user, as ``node 1 (gpu08)``.
        number: Of the node in its job, or ``None`` where nothing says it.
        versions: Of Python and packages, and a digest of this package's files, by name.
        seal: The cohort's, or ``None``.
        cases: The cohort's training cases.
        faults: What is wrong on this node, a line each.
    """

    name: str
    number: int | None
    versions: Mapping[str, str]
    seal: str | None = None
    cases: int = 0
    faults: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> "NodeState":
        """From what another node sent."""
        return cls(**{**tree, "faults": tuple(tree["faults"])})


def look_around(wanted: Wanted, variables: Mapping[str, str] = os.environ) -> NodeState:
    """All that a node can find out without the others."""
    number = node_number(variables)
    name = node_name(number)
    seal, cases, cohort_fault = _cohort(wanted.cohort)
    faults = [_gpus(wanted.gpus, torch.cuda.device_count()), _nodes(wanted.nodes, number, variables), cohort_fault]
    faults.append(_output(wanted.output))
    told = tuple(f"{name}: {fault}" for fault in faults if fault)
    return NodeState(name, number, versions(), seal, cases, told)


def node_number(variables: Mapping[str, str]) -> int | None:
    """The number of this node in its job, where the scheduler says it."""
    text = variables.get("SLURM_NODEID", "")
    return int(text) if text.isdecimal() else None


def node_name(number: int | None) -> str:
    """This node in a line to the user."""
    host = socket.gethostname()
    return host if number is None else f"node {number} ({host})"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the nodes must share, and a digest of this package's own files."""
    found = {"python": platform.python_version(), "dcam-dist": dcam_dist.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "files of dcam_dist": source_digest(Path(dcam_dist.__file__).parent)}


def source_digest(package: Path) -> str:
    """Short SHA-256 over paths and bytes of a package's files: checkouts of one version may differ."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(package).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:DIGITS]


def folder_of(output: Path) -> Path:
    """The run's directory, or where that is not there yet, the nearest folder above it."""
    path = output.absolute()
    return next(folder for folder in (path, *path.parents) if os.path.lexists(folder))


def _gpus(wanted: int, seen: int) -> str | None:
    if seen >= wanted:
        return None
    return (
        f"sees {seen} of {wanted} GPUs; ask the scheduler for {wanted} a node and look at nvidia-smi and "
        "CUDA_VISIBLE_DEVICES there"
    )


def _nodes(wanted: int, number: int | None, variables: Mapping[str, str]) -> str | None:
    started = variables.get("SLURM_STEP_NUM_NODES", "")
    if started.isdecimal() and int(started) != wanted:
        return f"srun started this on {started} nodes, --nodes says {wanted}; make them agree"
    if wanted > 1 and number is not None and number >= wanted:
        return f"--nodes says {wanted}, but this is number {number}, counted from 0; make them agree"
    return None


def _cohort(path: Path | None) -> tuple[str | None, int, str | None]:
    if path is None:
        return None, 0, None
    try:
        cases = len(open_cohort(path).split("train"))
        return read_seal(path), cases, None
    except (DataError, UsageError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        where = "" if str(path) in str(why) else f"{path}: "
        return None, 0, f"{where}{why}; all nodes must see the cohort by the same path"


def _output(path: Path | None) -> str | None:
    if path is None:
        return None
    folder = folder_of(path)
    probe = folder / f".preflight.{os.getpid()}.{os.urandom(8).hex()}"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        probe.unlink()
    except OSError as error:
        return f"{folder}: cannot be written ({error.strerror}); choose an output that every node can write"
    return None
