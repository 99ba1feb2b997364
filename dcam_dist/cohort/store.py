"""Open a cohort and hand out its volumes as lazy Dask arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import zarr
from numpy.typing import NDArray

from dcam_dist.cohort import layout
from dcam_dist.config.schema import GridConfig
from dcam_dist.errors import DataError, UsageError, VolumeDamaged
from dcam_dist.types import CaseRecord, QuarantineEntry, Split


@dataclass(frozen=True)
class CohortDescription:
    """What all cases of a cohort have in common.

    Attributes:
        grid: The training grid that the cases were resampled to.
        label_names: The label set, ascending; a record's ``label`` indexes it.
    """

    grid: GridConfig
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class Cohort:
    """An opened cohort: its table, and lazy access to the volumes.

    Attributes:
        path: The Zarr store.
        description: Grid and labels.
        cases: Accepted cases in their stable order.
        quarantine: Cases that ingest set aside.
    """

    path: Path
    description: CohortDescription
    cases: tuple[CaseRecord, ...]
    quarantine: tuple[QuarantineEntry, ...]

    def split(self, split: Split) -> tuple[CaseRecord, ...]:
        """The cases of one split, in the cohort's order."""
        return tuple(case for case in self.cases if case.split == split)

    def case(self, case_id: str) -> CaseRecord:
        """The record of one case.

        Raises:
            UsageError: When the cohort has no such case.
        """
        for case in self.cases:
            if case.case_id == case_id:
                return case
        raise UsageError(f"{self.path}: no case {case_id!r}; cases.json lists the {len(self.cases)} cases")

    def hu(self, case_id: str, level: str = layout.GRID_LEVEL) -> da.Array:
        """Lazy int16 HU of shape (D, H, W); one Dask task reads the whole volume.

        Raises:
            VolumeDamaged: When the array is missing.
        """
        return self._lazy(f"{layout.CASES}/{case_id}/{level}")

    def lung_mask(self, case_id: str, level: str = layout.GRID_LEVEL) -> da.Array:
        """Lazy uint8 lung mask of shape (D, H, W)."""
        return self._lazy(f"{layout.CASES}/{case_id}/labels/{layout.LUNG_LABEL}/{level}")

    def read(self, case_id: str, level: str = layout.GRID_LEVEL) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """HU (int16) and lung mask (bool) of one case in memory, both (D, H, W).

        Raises:
            VolumeDamaged: When either is missing or damaged; names the case.
        """
        try:
            hu = self.hu(case_id, level).compute(scheduler="synchronous")
            mask = self.lung_mask(case_id, level).compute(scheduler="synchronous")
        except (ValueError, RuntimeError, OSError) as error:
            raise VolumeDamaged(f"{self.path}: case {case_id}: unreadable ({error}); ingest this case again") from None
        return hu, mask.astype(bool)

    def _lazy(self, name: str) -> da.Array:
        shard = self.path / name / layout.SHARD
        # Zarr reads a missing or empty shard as zeros, and zeros are plausible HU
        if not shard.is_file() or not shard.stat().st_size:
            raise VolumeDamaged(f"{shard}: missing or empty; ingest this case again")
        try:
            array = zarr.open_array(self.path, path=name, mode="r")
        except (FileNotFoundError, ValueError, KeyError):
            raise VolumeDamaged(f"{self.path}/{name}: missing or damaged; ingest this case again") from None
        return da.from_array(array, chunks=-1, name=False)


def open_cohort(path: str | Path) -> Cohort:
    """Open a cohort for reading.

    Args:
        path: A store written by ``ingest``.

    Raises:
        UsageError: When there is no cohort at the path.
        DataError: When its tables are missing or damaged.
    """
    root = Path(path)
    if not (root / "zarr.json").is_file():
        raise UsageError(f"{root}: no cohort here; make one with: dcam-dist ingest SOURCE --out {root}")
    description = read_description(root)
    cases = tuple(layout.record_from_json(tree) for tree in layout.read_json(root / layout.CASE_TABLE))
    aside = layout.read_json(root / layout.QUARANTINE_TABLE)
    quarantine = tuple(QuarantineEntry(**{**tree, "also": tuple(tree["also"])}) for tree in aside)
    return Cohort(root, description, cases, quarantine)


def read_description(root: Path) -> CohortDescription:
    """Read the common attributes of a cohort, finished or not.

    Raises:
        DataError: When the store is of another kind or version.
    """
    attributes: dict[str, Any] = layout.read_json(root / "zarr.json").get("attributes", {}).get(layout.ATTRIBUTE, {})
    version = attributes.get("store_version")
    if version != layout.STORE_VERSION:
        raise DataError(f"{root}: store version {version}, this release reads {layout.STORE_VERSION}; ingest again")
    return CohortDescription(GridConfig.model_validate(attributes["grid"]), tuple(attributes["label_names"]))
