"""Open a cohort and hand out its volumes as lazy Dask arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from dcam_dist.cohort import layout
from dcam_dist.cohort.manifest import Manifest, check_content, load_manifest
from dcam_dist.cohort.volume import open_volume
from dcam_dist.config.schema import GridConfig
from dcam_dist.errors import DataError, UsageError
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
        seals: The seal that each case was closed with; one without is read by its own commit marker.
    """

    path: Path
    description: CohortDescription
    cases: tuple[CaseRecord, ...]
    quarantine: tuple[QuarantineEntry, ...]
    seals: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        """Lazy int16 HU of shape (D, H, W); one Dask task reads the whole volume, and checks it.

        Raises:
            VolumeDamaged: When the array is missing or damaged, here or when it is computed.
        """
        return self._lazy(case_id, level)

    def lung_mask(self, case_id: str, level: str = layout.GRID_LEVEL) -> da.Array:
        """Lazy uint8 lung mask of shape (D, H, W): 0 outside, 1 right lung, 2 left lung."""
        return self._lazy(case_id, f"labels/{layout.LUNG_LABEL}/{level}")

    def read(self, case_id: str, level: str = layout.GRID_LEVEL) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """HU (int16) and lung mask (bool) of one case in memory, both (D, H, W).

        Raises:
            VolumeDamaged: When either is missing or damaged; names the case.
        """
        return self.read_region(case_id, lambda _: (slice(None), slice(None), slice(None)), level)

    def read_region(
        self,
        case_id: str,
        choose: Callable[[NDArray[np.bool_]], tuple[slice, slice, slice]],
        level: str = layout.GRID_LEVEL,
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """As ``read``, of the region that ``choose`` takes from the whole mask; of the HU, only its chunks are read."""
        mask = _in_memory(self.lung_mask(case_id, level)) != 0
        region = choose(mask)
        return _in_memory(self.hu(case_id, level)[region]), np.ascontiguousarray(mask[region])

    def _lazy(self, case_id: str, array: str) -> da.Array:
        volume = open_volume(self.path, case_id, array, self.seals.get(case_id))
        return da.from_array(volume, chunks=-1, name=False, meta=np.empty((0, 0, 0), volume.dtype))


def _in_memory(lazy: da.Array) -> NDArray[Any]:
    # through its one block: the array's own compute() would copy that once more
    block: NDArray[Any] = lazy.to_delayed().item().compute(scheduler="synchronous")
    return block


def open_cohort(path: str | Path) -> Cohort:
    """Open a cohort for reading.

    Args:
        path: A store written by ``ingest``.

    Raises:
        UsageError: When there is no cohort at the path.
        DataError: When its tables are missing or damaged.
    """
    root = Path(path)
    if not any((root / name).exists() for name in ("zarr.json", layout.MANIFEST)):
        raise UsageError(f"{root}: no cohort here; make one with: dcam-dist ingest SOURCE --out {root}")
    if not (root / layout.MANIFEST).exists():
        read_description(root)
        raise DataError(f"{root}: {layout.MANIFEST} is missing; was ingest interrupted? Run it again")
    manifest = read_root_manifest(root)
    description = read_description(root)
    return Cohort(root, description, read_case_table(root), read_quarantine(root), manifest.cases)


def read_case_table(root: Path) -> tuple[CaseRecord, ...]:
    """The records of a cohort's cases, in their order.

    Raises:
        DataError: When the table is missing or malformed.
    """
    return tuple(layout.record_from_json(tree) for tree in layout.read_json(root / layout.CASE_TABLE))


def read_quarantine(root: Path) -> tuple[QuarantineEntry, ...]:
    """The cases that ingest set aside.

    Raises:
        DataError: When the table is missing or malformed.
    """
    aside = layout.read_json(root / layout.QUARANTINE_TABLE)
    return tuple(QuarantineEntry(**{**tree, "also": tuple(tree["also"])}) for tree in aside)


def read_root_manifest(root: Path) -> Manifest:
    """The manifest of a finished cohort, whose tables are as it says.

    Raises:
        DataError: When the manifest or one of the tables is missing or damaged.
    """
    try:
        manifest, _ = load_manifest(root)
    except DataError as error:
        raise DataError(f"{root}: {error}; was ingest interrupted? Run it again, or {layout.mend(root)}") from None
    for name in layout.ROOT_FILES:
        entry = manifest.files.get(name)
        if (fault := "not in the manifest" if entry is None else check_content(root / name, entry)) is not None:
            raise DataError(f"{root / name}: {fault}; {layout.mend(root)}")
    return manifest


def read_description(root: Path) -> CohortDescription:
    """Read the common attributes of a cohort, finished or not.

    Raises:
        DataError: When the store is of another kind or version, or its attributes are damaged.
    """
    try:
        attributes: dict[str, Any] = layout.read_json(root / "zarr.json")["attributes"][layout.ATTRIBUTE]
        version = attributes["store_version"]
        if version == layout.STORE_VERSION:
            return CohortDescription(GridConfig.model_validate(attributes["grid"]), tuple(attributes["label_names"]))
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{root / 'zarr.json'}: damaged, or no cohort's; {layout.mend(root)}") from None
    raise DataError(
        f"{root}: store version {version}, this release reads {layout.STORE_VERSION}; ingest again to another --out"
    )


def stored_record(root: Path, case_id: str) -> CaseRecord | None:
    """The record that a stored case itself holds, or ``None`` where there is none of that case that can be read."""
    try:
        record = layout.record_from_json(_record_tree(root / layout.CASES / case_id))
    except (DataError, KeyError, TypeError, AttributeError):
        return None
    return record if record.case_id == case_id else None


def stored_id(folder: Path) -> str | None:
    """The case that a folder holds by its own record, whatever its name, or ``None`` where that cannot be read."""
    try:
        return str(_record_tree(folder)["case_id"])
    except (DataError, KeyError, TypeError):
        return None


def _record_tree(folder: Path) -> Any:
    return layout.read_json(folder / "zarr.json")["attributes"][layout.ATTRIBUTE]
