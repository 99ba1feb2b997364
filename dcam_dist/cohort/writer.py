"""Write a case: into a side folder, down to the disk, sealed, and then renamed into place."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array_spec import ArrayConfigLike

from dcam_dist.cohort import layout
from dcam_dist.cohort.durable import remove, side_folder, sync, sync_folders, write_file
from dcam_dist.cohort.manifest import Manifest, commit_content, describe, seal_of
from dcam_dist.types import CaseRecord, Geometry

CHUNK_EDGE = 128
"""Smaller chunks read slowly, larger ones make a patch expensive (``benchmarks/codec.py``)."""
CHUNK_CODECS = (BloscCodec(cname="lz4hc", clevel=1, shuffle="bitshuffle"), Crc32cCodec())
"""The smallest of those that read nearly as fast as the fastest and do not slow ingest (``benchmarks/codec.py``)."""
WRITE_EMPTY_CHUNKS: ArrayConfigLike = {"write_empty_chunks": True}  # else a lost chunk and an empty one look the same
Values = tuple[tuple[str, tuple[int, int, int, int]], ...]
"""Name and colour (RGBA, 0…255) of a label image's values 1, 2 …."""
LUNG_VALUES: Values = (("right lung", (70, 130, 180, 128)), ("left lung", (205, 133, 63, 128)))


@dataclass(frozen=True, eq=False)
class VolumeLevels:
    """The two resolutions of a case: the lungs' crop at the scan's resolution, and the training grid.

    Attributes:
        native_hu_DHW: int16.
        native_mask_DHW: uint8, same shape: 0 outside, 1 right lung, 2 left lung; or bool.
        grid_hu_DHW: int16.
        grid_mask_DHW: As the native mask, of the grid's shape.
    """

    native_hu_DHW: NDArray[np.int16]
    native_mask_DHW: NDArray[Any]
    grid_hu_DHW: NDArray[np.int16]
    grid_mask_DHW: NDArray[Any]


def write_case(
    cohort: Path, record: CaseRecord, levels: VolumeLevels, pictures: Mapping[str, bytes] | None = None
) -> None:
    """Write one case; it appears complete and on the disk, or not at all, and replaces an earlier one of the same id.

    The same case gives the same bytes. Killed between taking an earlier case out and putting the new one in, the new
    one lies whole in the cohort's folder of unfinished things, from where ``create_cohort`` puts it in its place.

    Args:
        cohort: The store.
        record: The case; its geometries have the shapes of the levels.
        levels: The volumes.
        pictures: Further files of the case by their plain names, as ``montage.webp``.

    Raises:
        ValueError: When a volume's shape is not the record's.
    """
    side = side_folder(cohort, record.case_id, "new")
    chunks = _write_image(side, record, levels)
    for name, content in (pictures or {}).items():
        write_file(side / name, content)
    seal_case(side, chunks)
    final, old = cohort / layout.CASES / record.case_id, side_folder(cohort, record.case_id, "old")
    replaced = os.path.lexists(final)
    if replaced:
        final.rename(old)
    side.rename(final)
    sync(final.parent)
    if replaced:
        remove(old)


def seal_case(folder: Path, chunks: Mapping[str, int]) -> None:
    """Bring a case's files down to the disk, write its manifest and, last, the commit marker.

    Args:
        folder: The case, all its files written.
        chunks: How many chunks each shard must hold, by its path.

    Raises:
        RuntimeError: When a shard lacks chunks.
    """
    names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
    content = Manifest(describe(folder, names, chunks)).to_bytes()
    write_file(folder / layout.MANIFEST, content)
    sync_folders(folder)
    write_file(folder / layout.COMMIT, commit_content(seal_of(content)))
    sync(folder)


def write_label_image(
    folder: Path,
    name: str,
    record: CaseRecord,
    levels: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    values: Values,
    about: Mapping[str, Any],
) -> dict[str, int]:
    """Write a label image of a case, of both levels, as a group of its own; it is not sealed yet.

    Args:
        folder: The group; made here.
        name: Of the label.
        record: The case.
        levels: The labels at the scan's resolution, and on the training grid.
        values: What they mean.
        about: The group's attribute ``dcam_dist``.

    Returns:
        How many chunks each shard holds, as ``seal_case`` takes them.

    Raises:
        ValueError: When an array's shape is not the record's.
    """
    spaces = (record.native, record.grid)
    ome = _label_metadata(name, spaces, values)
    group = zarr.create_group(folder, attributes={"ome": ome, layout.ATTRIBUTE: dict(about)})
    arrays = [_write_array(group, str(level), levels[level], spaces[level]) for level in range(len(levels))]
    return {f"{array.path}/{layout.SHARD}": chunks for array, chunks in arrays}


def _write_image(side: Path, record: CaseRecord, levels: VolumeLevels) -> dict[str, int]:
    spaces = (record.native, record.grid)
    group = zarr.create_group(
        side,
        attributes={"ome": _multiscales(record.case_id, spaces), layout.ATTRIBUTE: layout.record_to_json(record)},
    )
    labels = group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": [layout.LUNG_LABEL]}})
    lungs = labels.create_group(
        layout.LUNG_LABEL, attributes={"ome": _label_metadata(layout.LUNG_LABEL, spaces, LUNG_VALUES)}
    )
    native, grid = layout.NATIVE_LEVEL, layout.GRID_LEVEL
    return {
        f"{array.path}/{layout.SHARD}": chunks
        for array, chunks in (
            _write_array(group, native, levels.native_hu_DHW, record.native),
            _write_array(group, grid, levels.grid_hu_DHW, record.grid),
            _write_array(lungs, native, levels.native_mask_DHW.astype(np.uint8), record.native),
            _write_array(lungs, grid, levels.grid_mask_DHW.astype(np.uint8), record.grid),
        )
    }


def _write_array(
    group: zarr.Group, name: str, values_DHW: NDArray[Any], space: Geometry
) -> tuple[zarr.Array[Any], int]:
    if values_DHW.shape != tuple(space.shape):
        raise ValueError(f"a volume of shape {values_DHW.shape} does not fit its record's {space.shape}")
    chunks = even_chunks(space.shape)
    counts = tuple(-(-size // chunk) for size, chunk in zip(values_DHW.shape, chunks, strict=True))
    array = group.create_array(
        name,
        data=np.ascontiguousarray(values_DHW),
        chunks=chunks,
        shards=tuple(count * chunk for count, chunk in zip(counts, chunks, strict=True)),  # one file a volume
        compressors=CHUNK_CODECS,
        dimension_names=["z", "y", "x"],
        config=WRITE_EMPTY_CHUNKS,
    )
    return array, math.prod(counts)


def even_chunks(shape: tuple[int, int, int], edge: int = CHUNK_EDGE) -> tuple[int, int, int]:
    """Chunks near an edge length that divide each axis evenly: cubes would be padded by up to half of a volume.

    Args:
        shape: Of the volume, (z, y, x).
        edge: Length to be near to.

    Returns:
        Their shape. Rows are a multiple of 8 voxels: blosc leaves a block unshuffled that is not.
    """
    z, y, x = (-(-size // max(1, round(size / edge))) for size in shape)
    return z, y, -(-x // 8) * 8


def _label_metadata(name: str, spaces: tuple[Geometry, Geometry], values: Values) -> dict[str, Any]:
    about = {
        "colors": [{"label-value": value, "rgba": list(rgba)} for value, (_, rgba) in enumerate(values, start=1)],
        "properties": [{"label-value": value, "name": title} for value, (title, _) in enumerate(values, start=1)],
        "source": {"image": "../../"},
    }
    return {**_multiscales(name, spaces), "image-label": about}


def _multiscales(name: str, spaces: tuple[Geometry, Geometry]) -> dict[str, Any]:
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    datasets = [{"path": str(level), "coordinateTransformations": _transform(g)} for level, g in enumerate(spaces)]
    return {"version": "0.5", "multiscales": [{"name": name, "axes": axes, "datasets": datasets}]}


def _transform(geometry: Geometry) -> list[dict[str, Any]]:
    origin = [float(value) for value in geometry.matrix[:3, 3][::-1]]
    return [{"type": "scale", "scale": list(geometry.spacing_mm)}, {"type": "translation", "translation": origin}]
