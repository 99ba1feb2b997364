"""One stored volume, checked each time it is read, so that damage is an error and never data.

crc32c guards the chunks and the shard's index. It does not see a shard that is gone, empty or another's (Zarr reads an
absent one as zeros, which are plausible HU), nor a changed ``zarr.json``, which says how the bytes are to be read.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from dcam_dist.cohort import layout
from dcam_dist.cohort.manifest import FileEntry, check_content, check_shard, load_manifest
from dcam_dist.errors import DataError, VolumeDamaged

_IN_WORDS = {
    layout.NATIVE_LEVEL: "volume at the scan's resolution",
    layout.GRID_LEVEL: "volume on the training grid",
    f"labels/{layout.LUNG_LABEL}/{layout.NATIVE_LEVEL}": "lung mask at the scan's resolution",
    f"labels/{layout.LUNG_LABEL}/{layout.GRID_LEVEL}": "lung mask on the training grid",
}


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """A volume that reads itself when it is indexed.

    Attributes:
        array: As Zarr opened it.
        shard: Its one file.
        entry: What the case's manifest says of that file.
        name: Cohort, case and array, for errors.
        remedy: What to do, for errors.
    """

    array: zarr.Array[Any]
    shard: Path
    entry: FileEntry
    name: str
    remedy: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (z, y, x)."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """int16 for HU, uint8 for a mask."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Three."""
        return self.array.ndim

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """The voxels of an index.

        Raises:
            VolumeDamaged: When the shard is missing, damaged, or replaced meanwhile.
        """
        try:
            if (fault := check_shard(self.shard, self.entry)) is not None:
                raise self._damaged(fault)
            before = _state(self.shard)
            values = np.asarray(self.array[where])
            if _state(self.shard) != before:  # gone during the reading, it reads as zeros
                raise self._damaged("changed while it was read")
        except (ValueError, RuntimeError, OSError, LookupError, TypeError) as error:
            fault = "not readable as it was written (checksum)" if "checksum" in str(error) else "not readable"
            raise self._damaged(fault) from None
        return values

    def _damaged(self, fault: str) -> VolumeDamaged:
        return VolumeDamaged(f"{self.name}: {fault}; {self.remedy}")


def open_volume(cohort: Path, case_id: str, array: str, seal: str | None) -> StoredVolume:
    """Open one array of a case whose metadata is what was written.

    Args:
        cohort: The store.
        case_id: The case.
        array: Its array, as ``0`` or ``labels/lungs/1``.
        seal: The case's seal as the cohort was closed with.

    Raises:
        VolumeDamaged: When the case or the array is not as it was written; names the case.
    """
    folder = cohort / layout.CASES / case_id
    metadata, shard = f"{array}/zarr.json", f"{array}/{layout.SHARD}"
    name, remedy = f"{cohort}: case {case_id}: {_IN_WORDS.get(array, array)}", layout.mend(cohort)
    try:
        files = load_manifest(folder, seal)[0].files
        fault = check_content(folder / metadata, files[metadata]) or check_shard(folder / shard, files[shard])
        if fault is None:
            return StoredVolume(zarr.open_array(folder / array, mode="r"), folder / shard, files[shard], name, remedy)
    except (DataError, OSError, LookupError, ValueError, TypeError) as error:
        fault = str(error)
    raise VolumeDamaged(f"{name}: {fault}; {remedy}")


def _state(path: Path) -> tuple[int, int, int]:
    status = os.stat(path)  # noqa: PTH116 - twice a read
    return status.st_ino, status.st_size, status.st_mtime_ns
