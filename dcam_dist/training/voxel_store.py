"""Features of voxels on the disk while they are clustered: one Zarr 3 group a rank, written and read chunk by chunk.

    RANK.zarr/
      zarr.json     attribute ``dcam_dist``: the cases in their order, with the rows of each
      features      float32 (rows, channels); a chunk, ``clustering.rows.CHUNK_BYTES``, is one file with its crc32c
      cells         int32 (rows): index of each row's voxel in its case's volume on the training grid, z slowest; of a
                    supervoxel, in the volume of cubes

A chunk is written whole, once, by the rank that owns it. Nothing is compressed: such features hardly shrink, and the
size of every file is known, so that one that is missing or cut is an error, never zeros.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from dcam_dist.clustering.rows import rows_of_a_chunk
from dcam_dist.cohort.layout import ATTRIBUTE
from dcam_dist.errors import DataError, VolumeDamaged

READ_CHUNKS = 3
"""The most memory that reading takes, in chunks: the file, its content without the checksum, and the rows."""
FEATURES, CELLS = "features", "cells"
CHECKSUM_BYTES = 4

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ZarrRows:
    """Implements ``clustering.Rows`` on a rank's store: one chunk is in memory at a time.

    Attributes:
        array: The features.
        folder: Where their chunks are.
    """

    array: zarr.Array[Any]
    folder: Path

    @property
    def shape(self) -> tuple[int, int]:
        """See ``clustering.Rows``."""
        rows, channels = self.array.shape
        return rows, channels

    def chunks(self) -> Iterator[Floats]:
        """See ``clustering.Rows``.

        Raises:
            VolumeDamaged: When a chunk is missing or damaged; names its file.
        """
        step = self.array.chunks[0]
        for start in range(0, self.shape[0], step):
            yield self._read(start // step, slice(start, min(start + step, self.shape[0])))

    def _read(self, number: int, rows: slice) -> Floats:
        file = self.folder / "c" / str(number) / "0"
        try:
            if file.stat().st_size == self.array.dtype.itemsize * int(np.prod(self.array.chunks)) + CHECKSUM_BYTES:
                return np.asarray(self.array[rows], dtype=np.float32)
            fault = "has been cut"
        except (OSError, ValueError, RuntimeError) as error:
            fault = "is damaged (checksum)" if "checksum" in str(error) else "cannot be read"
        raise VolumeDamaged(f"{file}: {fault}; give the same command again: the features are extracted anew")


class VoxelWriter:
    """Writes a rank's store; rows are handed on to the disk as soon as a chunk is full.

    Args:
        path: The store; there is none yet.
        rows_of_case: The cases in their order with the rows that each will add.
        channels: Of the features.
    """

    def __init__(self, path: Path, rows_of_case: Mapping[str, int], channels: int) -> None:
        self._rows, self._filled, self._written = sum(rows_of_case.values()), 0, 0
        cases = [{"case_id": case_id, "rows": rows} for case_id, rows in rows_of_case.items()]
        group = zarr.create_group(path, attributes={ATTRIBUTE: {"cases": cases}})
        step = max(1, min(self._rows, rows_of_a_chunk(channels)))
        self._features = _create(group, FEATURES, (self._rows, channels), (step, channels), np.dtype(np.float32))
        self._cells = _create(group, CELLS, (self._rows,), (step,), np.dtype(np.int32))
        self._buffer_NC = np.empty((step, channels), np.float32)
        self._buffer_N = np.empty(step, np.int32)
        self._folder = path / FEATURES

    def add(self, features_NC: Floats, cell_N: NDArray[np.integer[Any]]) -> None:
        """Append rows.

        Raises:
            OSError: When the disk is full or refuses.
        """
        taken = 0
        while taken < len(features_NC):
            count = min(len(features_NC) - taken, len(self._buffer_N) - self._filled)
            here, there = slice(self._filled, self._filled + count), slice(taken, taken + count)
            self._buffer_NC[here], self._buffer_N[here] = features_NC[there], cell_N[there]
            self._filled, taken = self._filled + count, taken + count
            if self._filled == len(self._buffer_N):
                self._flush()

    def close(self) -> ZarrRows:
        """Write what is left, and hand out the rows.

        Raises:
            OSError: As ``add``.
            ValueError: When rows are missing.
        """
        self._flush()
        if self._written != self._rows:
            raise ValueError(f"{self._written} rows were written where {self._rows} were announced")
        return ZarrRows(self._features, self._folder)

    def _flush(self) -> None:
        rows = slice(self._written, self._written + self._filled)
        if self._filled:
            self._features[rows], self._cells[rows] = self._buffer_NC[: self._filled], self._buffer_N[: self._filled]
        self._written, self._filled = rows.stop, 0


def open_rows(path: Path) -> ZarrRows:
    """The features of a rank's store that was kept.

    Raises:
        DataError: When there is none, or its metadata is damaged.
    """
    try:
        return ZarrRows(zarr.open_array(path / FEATURES, mode="r"), path / FEATURES)
    except (OSError, ValueError, LookupError, TypeError):
        raise DataError(f"{path}: holds no features of voxels, or is damaged; make it anew") from None


def stored_bytes(rows: int, channels: int) -> int:
    """What so many rows take on the disk, but for padding and metadata."""
    return rows * (4 * channels + 4)


def _create(
    group: zarr.Group, name: str, shape: Sequence[int], chunks: Sequence[int], dtype: np.dtype[Any]
) -> zarr.Array[Any]:
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(chunks),
        dtype=dtype,
        compressors=Crc32cCodec(),
        fill_value=0,
        config={"write_empty_chunks": True},
    )
