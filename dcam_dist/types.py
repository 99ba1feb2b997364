"""The frozen nouns that the parts of the package hand to each other.

Shape suffixes, used on arrays and tensors throughout (``x_BCDHW``):
    B  cases in a batch              N  cases in a table
    C  feature channels              P  principal components
    K  clusters                      L  labels (grades)
    D  slices, inferior → superior   H  rows, anterior → posterior   W  columns, right → left

Space: world coordinates are DICOM patient coordinates (LPS, millimetres). Arrays are indexed ``[z, y, x]``;
an affine maps the homogeneous index ``(x, y, z, 1)`` to the world.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test"]
Matrix4 = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]

UNASSIGNED = -100
"""The label of a case without one, in tables of grades and of clusters alike (torch's ``ignore_index``)."""


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie in the patient.

    Attributes:
        shape: Voxels along ``(z, y, x)``.
        affine: 4×4, from the index ``(x, y, z, 1)`` to LPS millimetres.
    """

    shape: tuple[int, int, int]
    affine: Matrix4

    @classmethod
    def from_matrix(cls, shape: tuple[int, ...], matrix: NDArray[np.floating[Any]]) -> "Geometry":
        """Build from a NumPy 4×4 matrix.

        Raises:
            ValueError: When the shape is not 3D or the matrix not 4×4.
        """
        rows = tuple(tuple(float(value) for value in row) for row in matrix)
        if len(shape) != 3 or len(rows) != 4 or any(len(row) != 4 for row in rows):
            raise ValueError(f"a geometry needs a 3D shape and a 4×4 affine, not {shape} and {np.shape(matrix)}")
        return cls((int(shape[0]), int(shape[1]), int(shape[2])), rows)  # type: ignore[arg-type]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The affine as a float64 array of shape (4, 4)."""
        return np.asarray(self.affine, dtype=np.float64)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along ``(z, y, x)`` in millimetres."""
        x, y, z = (float(np.linalg.norm(self.matrix[:3, axis])) for axis in range(3))
        return z, y, x

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.matrix[:3, :3]))) / 1000.0


@dataclass(frozen=True)
class CaseRecord:
    """One accepted scan, as the cohort's table holds it. Names no patient.

    Attributes:
        case_id: Pseudonymous id, safe as a folder name.
        patient_key: Groups the scans of one patient; pseudonymous.
        split: ``train`` or ``test``.
        label: Index into the cohort's label names, or ``UNASSIGNED``.
        scan: The scan's own space: shape and affine as its files give them.
        native: The stored crop around the lungs at the scan's resolution, canonical (LPS) axes.
        grid: The training grid.
        covariates: Further columns of the case table and allowed header fields.
        densitometry: Lung densitometry at the scan's own resolution, computed at ingest.
        flags: Findings that do not exclude the case.
        provenance: Format, content hash, source of the mask, software versions.
    """

    case_id: str
    patient_key: str
    split: Split
    label: int
    scan: Geometry
    native: Geometry
    grid: Geometry
    covariates: Mapping[str, str] = field(default_factory=dict)
    densitometry: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class QuarantineEntry:
    """A case that ingest set aside: its id, the reason code and one line on what was found.

    Attributes:
        also: The codes of everything else that was found wrong, in alphabetical order.
        picture: A small WebP of the scan in base64, where its voxels could be read.
    """

    case_id: str
    reason: str
    detail: str
    also: tuple[str, ...] = ()
    picture: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Lung-pooled features of a set of cases, in the cohort's stable order, each case once.

    Attributes:
        features_NC: float32.
        case_id_N: The cases, in the same order.
    """

    features_NC: NDArray[np.float32]
    case_id_N: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Cluster ids of a set of cases after one clustering.

    Attributes:
        label_N: int64 cluster ids, ``UNASSIGNED`` where a case has none.
        case_id_N: The cases, in the same order.
        epoch: The epoch that this assignment opened.
        inertia: Sum of squared distances to the nearest centroid, in the clustering space.
        repaired: Empty clusters that were refilled.
    """

    label_N: NDArray[np.int64]
    case_id_N: tuple[str, ...]
    epoch: int
    inertia: float
    repaired: int = 0

    def by_case(self) -> dict[str, int]:
        """The cluster of each case id."""
        return dict(zip(self.case_id_N, self.label_N.tolist(), strict=True))


class Phase(IntEnum):
    """The phases of an epoch in their order; after the last one a run is done."""

    EXTRACT = 0
    CLUSTER = 1
    RESET = 2
    TRAIN = 3
    DONE = 4


@dataclass(frozen=True, order=True)
class Position:
    """Where a run stands: the work that comes next. Positions are ordered as the work is.

    Attributes:
        epoch: From 0. After the last epoch come its closing extraction and clustering, which bear the epochs' number.
        phase: The phase that comes next, or in which the run is.
        step: Steps of the training phase that are done, or cases of which the extraction has the features.
    """

    epoch: int
    phase: Phase
    step: int = 0

    def __str__(self) -> str:
        within = f", step {self.step + 1}" if self.phase is Phase.TRAIN else ""
        if self.phase is Phase.EXTRACT and self.step:
            within = f", volume {self.step + 1}"
        return f"epoch {self.epoch + 1}, {self.phase.name.lower()}{within}"
