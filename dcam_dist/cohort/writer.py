"""Write a cohort: one task writes one whole case, into a side folder that is then renamed into place."""

import shutil
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from dcam_dist.cohort import layout
from dcam_dist.cohort.store import Cohort, CohortDescription, read_description
from dcam_dist.errors import DataError, UsageError
from dcam_dist.types import CaseRecord, Geometry, QuarantineEntry

CHUNK = 128  # smaller chunks read slowly, larger ones make a patch expensive


@dataclass(frozen=True, eq=False)
class VolumeLevels:
    """The two resolutions of a case: the lungs' crop at the scan's resolution, and the training grid.

    Attributes:
        native_hu_DHW: int16.
        native_mask_DHW: bool or uint8, same shape.
        grid_hu_DHW: int16.
        grid_mask_DHW: bool or uint8, same shape.
    """

    native_hu_DHW: NDArray[np.int16]
    native_mask_DHW: NDArray[Any]
    grid_hu_DHW: NDArray[np.int16]
    grid_mask_DHW: NDArray[Any]


def create_cohort(path: Path, description: CohortDescription) -> None:
    """Create an empty cohort, or accept an existing one of the same description so that ingest can go on.

    Raises:
        UsageError: When the path holds something else, or a cohort with another grid or label set.
    """
    if (path / "zarr.json").is_file():
        if read_description(path) != description:
            raise UsageError(f"{path}: holds a cohort with another grid or label set; choose another --out")
        return
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"{path}: exists and is not a cohort; choose another --out")
    attributes = {
        "store_version": layout.STORE_VERSION,
        "grid": description.grid.model_dump(mode="json"),
        "label_names": list(description.label_names),
    }
    root = zarr.create_group(path, attributes={layout.ATTRIBUTE: attributes})
    root.create_group(layout.CASES)


def write_case(cohort: Path, record: CaseRecord, levels: VolumeLevels) -> None:
    """Write one case; it appears complete or not at all, and replaces an earlier one of the same id."""
    side = cohort / layout.INCOMING / f"{record.case_id}.{uuid.uuid4().hex}"
    spaces = (record.native, record.grid)
    group = zarr.create_group(
        side,
        attributes={"ome": _multiscales(record.case_id, spaces), layout.ATTRIBUTE: layout.record_to_json(record)},
    )
    _write_array(group, layout.NATIVE_LEVEL, levels.native_hu_DHW)
    _write_array(group, layout.GRID_LEVEL, levels.grid_hu_DHW)
    labels = group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": [layout.LUNG_LABEL]}})
    lungs = labels.create_group(
        layout.LUNG_LABEL,
        attributes={"ome": {**_multiscales(layout.LUNG_LABEL, spaces), "image-label": {"source": {"image": "../../"}}}},
    )
    _write_array(lungs, layout.NATIVE_LEVEL, levels.native_mask_DHW.astype(np.uint8))
    _write_array(lungs, layout.GRID_LEVEL, levels.grid_mask_DHW.astype(np.uint8))
    final = cohort / layout.CASES / record.case_id
    if final.exists():
        shutil.rmtree(final)
    side.rename(final)


def stored_fingerprint(cohort: Path, case_id: str) -> tuple[CaseRecord, str] | None:
    """The record and source fingerprint of a case that is already stored, else ``None``."""
    metadata = cohort / layout.CASES / case_id / "zarr.json"
    if not metadata.is_file():
        return None
    record = layout.record_from_json(layout.read_json(metadata)["attributes"][layout.ATTRIBUTE])
    return record, record.provenance.get("source_fingerprint", "")


def volumes_whole(cohort: Path, record: CaseRecord) -> bool:
    """Whether all four arrays of a stored case read fully, checksums included, with the shapes of its record."""
    store = Cohort(cohort, read_description(cohort), (), ())
    pairs = ((store.hu, np.int16), (store.lung_mask, np.uint8))
    try:
        for level, space in ((layout.NATIVE_LEVEL, record.native), (layout.GRID_LEVEL, record.grid)):
            for lazy, dtype in pairs:
                values_DHW = lazy(record.case_id, level).compute(scheduler="synchronous")
                if values_DHW.shape != tuple(space.shape) or values_DHW.dtype != dtype:
                    return False
    except (DataError, ValueError, RuntimeError, OSError, LookupError, TypeError, AttributeError):
        return False
    return True


def close_cohort(path: Path, cases: Iterable[CaseRecord], quarantine: Iterable[QuarantineEntry]) -> None:
    """Write the tables that make the cohort readable, and clear what interrupted writers left.

    Cases are ordered by id, so that the order does not depend on which worker finished first.
    """
    shutil.rmtree(path / layout.INCOMING, ignore_errors=True)
    ordered = sorted(cases, key=lambda case: case.case_id)
    layout.write_json(path / layout.QUARANTINE_TABLE, [asdict(e) for e in sorted(quarantine, key=lambda e: e.case_id)])
    layout.write_json(path / layout.CASE_TABLE, [layout.record_to_json(case) for case in ordered])


def _write_array(group: zarr.Group, name: str, values_DHW: NDArray[Any]) -> None:
    chunks = tuple(min(CHUNK, size) for size in values_DHW.shape)
    shards = tuple(-(-size // chunk) * chunk for size, chunk in zip(values_DHW.shape, chunks, strict=True))
    group.create_array(
        name,
        data=np.ascontiguousarray(values_DHW),
        chunks=chunks,
        shards=shards,  # one file a volume: many small files exhaust a cluster's quota
        compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()],
        dimension_names=["z", "y", "x"],
        config={"write_empty_chunks": True},  # else a lost chunk and an empty one look the same
    )


def _multiscales(name: str, spaces: tuple[Geometry, Geometry]) -> dict[str, Any]:
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    datasets = [{"path": str(level), "coordinateTransformations": _transform(g)} for level, g in enumerate(spaces)]
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}


def _transform(geometry: Geometry) -> list[dict[str, Any]]:
    origin = [float(value) for value in geometry.matrix[:3, 3][::-1]]
    return [{"type": "scale", "scale": list(geometry.spacing_mm)}, {"type": "translation", "translation": origin}]
