"""The rows in the clustering space, made once and read again in every pass: in memory while they are few, else a file.

Blocks are what a pass works on: small enough for a processor's cache, large enough for its matrix units.
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dcam_dist.clustering.model import ClusterModel, Floats
from dcam_dist.clustering.rows import CHUNK_BYTES, Rows, rows_of_a_chunk
from dcam_dist.errors import EnvironmentFault

Made = TypeVar("Made")

CPU_BLOCK = 16_384
"""Points of a block on a CPU; measured among 1024 … 65,536 with 64 channels."""
GPU_BLOCK = 65_536
"""Points of a block on a GPU, at most. Not measured."""
GPU_NUMBERS = CHUNK_BYTES // 4
"""Numbers that work makes of a block on a GPU, so that an array of float32 is no larger than a chunk."""


@dataclass(frozen=True, eq=False)
class SpilledRows:
    """Rows in an unnamed temporary file, which stays in memory while it is smaller than a quarter of a chunk.

    Attributes:
        file: Holds the float32 numbers.
        shape: Rows and channels.
    """

    file: tempfile.SpooledTemporaryFile[bytes]
    shape: tuple[int, int]

    def chunks(self) -> Iterator[Floats]:
        """See ``Rows``."""
        rows, channels = self.shape
        step = rows_of_a_chunk(channels)
        buffer_NP = np.empty((min(step, rows), channels), dtype=np.float32)  # one: memory freed is not always returned
        for start in range(0, rows, step):
            chunk_NP = buffer_NP[: rows - start]
            self.file.seek(4 * start * channels)
            if self.file.readinto(chunk_NP.data.cast("B")) != chunk_NP.nbytes:
                raise EnvironmentFault(f"{tempfile.gettempdir()}: a temporary file has been cut while it was in use")
            yield chunk_NP


@dataclass(frozen=True, eq=False)
class TensorRows:
    """Rows that are on a device.

    Attributes:
        values_NP: float32.
    """

    values_NP: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """See ``Rows``."""
        rows, channels = self.values_NP.shape
        return rows, channels

    def chunks(self) -> Iterator[Any]:
        """All of them at once, as a tensor: for ``blocks`` alone."""
        yield self.values_NP


@contextmanager
def projected(rows: Rows, model: ClusterModel, device: str) -> Iterator[SpilledRows]:
    """The rows as points of a model's space, computed on the device."""
    count, channels = 0, len(model.components_PC)
    with tempfile.SpooledTemporaryFile(CHUNK_BYTES // 4, prefix="dcam-points-") as file:
        for block_NC in blocks(rows, device):
            file.write(project(block_NC, model).cpu().numpy().data)
            count += len(block_NC)
        yield SpilledRows(file, (count, channels))


def project(features_NC: Tensor, model: ClusterModel) -> Tensor:
    """``ClusterModel.project`` on a device."""
    mean_C, scale_C, components_PC, deviation_P = (
        torch.from_numpy(array).to(features_NC.device)
        for array in (model.mean_C, model.scale_C, model.components_PC, model.deviations())
    )
    scaled_NC = features_NC - mean_C
    scaled_NC /= scale_C
    points_NP = scaled_NC @ components_PC.T
    if model.whiten:
        points_NP /= deviation_P
    if model.l2_normalize:
        lengths_N1 = torch.linalg.vector_norm(points_NP, dim=1, keepdim=True)
        points_NP /= torch.where(lengths_N1 > 0, lengths_N1, 1.0)
    return points_NP


def blocks(points: Rows, device: str) -> Iterator[Tensor]:
    """The points in order on the device, (n, P)."""
    for chunk in points.chunks():
        yield from _split(chunk, device)


def over_blocks(work: Callable[[Tensor], Made], points: Rows, device: str, *, width: int = 1) -> Iterator[Made]:
    """What the work makes of each block, in order. On a CPU as many blocks of a chunk at once as torch may use threads.

    Args:
        work: Called with a block (n, P) on the device; on a CPU by several threads.
        points: Read once.
        device: Where the points are worked on.
        width: Numbers that the work makes of a point: on a GPU blocks have the fewer points.
    """
    threads = 1 if device.startswith("cuda") else torch.get_num_threads()
    if threads == 1:
        for chunk in points.chunks():
            yield from map(work, _split(chunk, device, width))
        return
    with ThreadPoolExecutor(threads) as pool:
        for chunk in points.chunks():
            yield from pool.map(work, _split(chunk, device, width))


def points_of_a_block(device: str, width: int = 1) -> int:
    """Points of a block of which work makes so many numbers each."""
    return max(1, min(GPU_BLOCK, GPU_NUMBERS // width)) if device.startswith("cuda") else CPU_BLOCK


def _split(chunk: Any, device: str, width: int = 1) -> tuple[Tensor, ...]:
    return torch.split(torch.as_tensor(chunk, device=device), points_of_a_block(device, width))
