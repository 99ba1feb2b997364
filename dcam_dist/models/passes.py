"""Passes over whole features in float32, of which no whole float32 copy is made.

The eager way is slab by slab along z: the intermediates of a slab stay in a CPU's cache, and on a GPU they are small
beside the features, whose float32 copies would need several times their own memory. The compiled way is one fused loop.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from dcam_dist.errors import EnvironmentFault

Piece = Callable[..., Tensor]

# elements of a slab: fits the caches of a CPU; keeps a GPU busy and is little beside its memory
_CPU_SLAB, _CUDA_SLAB = 2**19, 2**26


@dataclass(frozen=True)
class Passes:
    """How a piece is run over whole volumes of equal shape (B, C, D, H, W).

    A piece is a pure function ``piece(*volumes, *vectors)``; a way of running it is called with ``(piece, volumes,
    *vectors)``.

    Attributes:
        whole: Runs a piece that needs no float32 copies on the whole volumes.
        mapped: Run on a part of the volumes, the piece gives that part of a result like the first volume.
        total: Run on a part of the volumes, it gives that part's share of a sum.
    """

    whole: Callable[..., Tensor]
    mapped: Callable[..., Tensor]
    total: Callable[..., Tensor]


def slabs(shape: torch.Size, device: torch.device) -> Iterator[tuple[slice, slice, slice]]:
    """Indices of consecutive slabs of a tensor (B, C, D, H, W), each within one case and of a size that suits a device.

    They depend on the size of one case alone, so what is summed slab by slab does not depend on how cases are batched.
    """
    elements = _CUDA_SLAB if device.type == "cuda" else _CPU_SLAB
    height = max(1, elements * shape[2] // max(1, shape[1:].numel()))
    for case in range(shape[0]):
        for start in range(0, shape[2], height):
            yield slice(case, case + 1), slice(None), slice(start, start + height)


def per_channel(values_C: Tensor) -> Tensor:
    """(C,) as (1, C, 1, 1, 1)."""
    return values_C.view(1, -1, 1, 1, 1)


def _whole(piece: Piece, volumes: tuple[Tensor, ...], *vectors: object) -> Tensor:
    return piece(*volumes, *vectors)


def _mapped_by_slabs(piece: Piece, volumes: tuple[Tensor, ...], *vectors: object) -> Tensor:
    result = torch.empty_like(volumes[0])
    for slab in slabs(result.shape, result.device):
        result[slab] = piece(*(volume[slab] for volume in volumes), *vectors)
    return result


def _total_of_slabs(piece: Piece, volumes: tuple[Tensor, ...], *vectors: object) -> Tensor:
    parts = (piece(*(v[slab] for v in volumes), *vectors) for slab in slabs(volumes[0].shape, volumes[0].device))
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _compiled(piece: Piece, volumes: tuple[Tensor, ...], *vectors: object) -> Tensor:
    return _compile(piece)(*volumes, *vectors)


@cache
def _compile(piece: Piece) -> Piece:
    # without fixed sizes: one kernel for all levels of the network, whichever comes first
    return torch.compile(piece, dynamic=True, fullgraph=True)


BY_SLABS = Passes(_whole, _mapped_by_slabs, _total_of_slabs)
_COMPILED = Passes(_compiled, _compiled, _compiled)


def compiled_passes() -> Passes:
    """The passes by torch.compile.

    Raises:
        EnvironmentFault: When there is no C++ compiler, which torch.compile needs on a CPU and on a GPU alike.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise EnvironmentFault(
            f"network.compile=true: no C++ compiler {compiler}; install one, or set network.compile=false"
        )
    return _COMPILED
