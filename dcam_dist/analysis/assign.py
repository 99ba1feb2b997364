"""``assign``: new rows to the clusters of a saved clustering, and which of them it was not made for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dcam_dist.analysis.cluster_table import ClusterTable
from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.choose import MANY_ROWS
from dcam_dist.clustering.outliers import LEVEL
from dcam_dist.clustering.placing import NUMPY, ArrayLibrary, place
from dcam_dist.distributed import open_processes
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs import ClusterArtefact, artefact_of_run, read_artefact, read_feature_file, restore_run
from dcam_dist.runs.artefact_files import FILE_ROWS
from dcam_dist.runs.feature_files import ORIGINS
from dcam_dist.runs.run_config import CONFIG
from dcam_dist.training.together import on_main
from dcam_dist.types import FeatureTable

Backend = Literal["auto", "sklearn", "torch", "cuml"]


@dataclass(frozen=True, eq=False)
class AssignSummary:
    """What was written.

    Attributes:
        table: The cases among the clusters.
        artefact: The clustering.
        is_main: Whether this is rank 0.
    """

    table: ClusterTable
    artefact: ClusterArtefact
    is_main: bool

    def lines(self) -> list[str]:
        """For the console."""
        label_N, clusters = self.table.placed.label_N, self.artefact.clusters
        sizes = "/".join(str(size) for size in np.bincount(label_N, minlength=clusters))
        return [f"{len(label_N)} rows in {clusters} clusters: {sizes}", self.table.outliers_in_words()]


def assign(
    source: str | Path,
    features: str | Path,
    out: str | Path,
    *,
    backend: Backend = "auto",
    device: str | None = None,
    level: float = LEVEL,
) -> AssignSummary:
    """Write the cluster of each row of a feature file, and how far off it lies.

    Args:
        source: A saved clustering, or a finished run.
        features: A feature file of as many channels.
        out: The table, see ``cluster_table``.
        backend: What computes it: NumPy on the CPU, torch, or CuPy; the labels are the same. ``auto``: torch for
            100,000 rows or more where there is a GPU, else NumPy.
        device: ``cpu`` or ``cuda:N``; ``None``: this process's own.
        level: Share of rows of the training rows' population that are flagged all the same.

    Raises:
        UsageError: No such clustering, run or file, or a level or device that is none.
        DataError: A damaged clustering or file, features of another number of channels, or, as far as both say what
            they are, of another run or kind.
        EnvironmentFault: A backend or device that cannot be used here, or the table cannot be written.
    """
    if not 0 < level < 1:
        raise UsageError(f"--level {level:g}: give a share between 0 and 1, such as {LEVEL}")
    artefact, file = open_clusters(Path(source)), read_feature_file(Path(features))
    table = file.table
    if table.features_NC.shape[1] != artefact.channels:
        raise DataError(
            f"{features}: {table.features_NC.shape[1]} channels, {source} was made of rows of {artefact.channels}"
        )
    if unlike := _unlike(artefact, file.about):
        raise DataError(f"{features}: its rows are not what {source} was made of ({unlike})")
    with open_processes() as context:
        library = array_library(backend, device or context.device, len(table.case_id_N))
        assigned = assign_rows(artefact, table, library=library, level=level)
        on_main(partial(assigned.write, Path(out)), context)
        return AssignSummary(assigned, artefact, context.is_main)


def assign_rows(
    artefact: ClusterArtefact, table: FeatureTable, *, library: ArrayLibrary = NUMPY, level: float = LEVEL
) -> ClusterTable:
    """Rows that a clustering was not made of, among its clusters."""
    placed, rule = place(table.features_NC, artefact.model, library), artefact.outliers
    if rule is None:
        return ClusterTable(table.case_id_N, placed, None, 1.0, level)
    return ClusterTable(table.case_id_N, placed, rule.p_values(placed), rule.smallest_p, level)


def _unlike(artefact: ClusterArtefact, about: Mapping[str, str]) -> str:
    """What differs, as far as both say; nothing where they belong together."""
    if artefact.rows != FILE_ROWS and about.get("rows", artefact.rows) != artefact.rows:
        return f"{about['rows']}, not {artefact.rows}"
    differ = [key for key in ORIGINS if key in about and artefact.source.get(key, about[key]) != about[key]]
    return f"other {', '.join(differ)}: features of another run or of other patterns" if differ else ""


def open_clusters(source: Path) -> ClusterArtefact:
    """A saved clustering, or that of a finished run.

    Raises:
        UsageError: When it is neither, or a supervised run.
        DataError: When it is damaged.
    """
    return artefact_of_run(restore_run(source)) if (source / CONFIG).is_file() else read_artefact(source)


def array_library(backend: Backend, device: str, rows: int) -> ArrayLibrary:
    """What computes where rows stand.

    Raises:
        UsageError: A device that is none.
        EnvironmentFault: A backend or device that cannot be used here.
    """
    if backend == "auto":
        backend = "torch" if rows >= MANY_ROWS and device != "cpu" else "sklearn"
    if backend == "sklearn":
        return NUMPY
    _check_device(device)
    return _cupy(device) if backend == "cuml" else _torch(device)


def _check_device(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or not (index.isdecimal() or device == kind):
        raise UsageError(f"--device {device!r:.50}: give cpu, cuda or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise EnvironmentFault(f"--device {device}: this machine has {torch.cuda.device_count()} CUDA devices")


def _torch(device: str) -> ArrayLibrary:
    import torch

    def put(array: Doubles) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    def get(tensor: torch.Tensor) -> Doubles:
        return tensor.cpu().numpy()

    return ArrayLibrary(put, get)


def _cupy(device: str) -> ArrayLibrary:
    from dcam_dist.clustering.cuml_check import load_libraries

    libraries, on_torch = load_libraries(device), _torch(device)

    def put(array: Doubles) -> Any:
        return libraries.array_of(on_torch.put(array))

    return ArrayLibrary(put, lambda array: array.get())
