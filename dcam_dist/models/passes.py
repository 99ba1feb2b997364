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
from dcam_dist.models.device_kind import kind_of

Piece = Callable[..., Tensor]
Run = Callable[..., Tensor]

# elements of a slab: fits the caches of a CPU; keeps a GPU busy and is little beside its memory
_CPU_SLAB, _CUDA_SLAB = 2**19, 2**26


@dataclass(frozen=True)
class Passes:
    """How a piece is run over volumes of equal shape (B, C, D, H, W).

    A piece is a pure function ``piece(*volumes, *vectors, *options)``. Its vectors are (C,); a run is given them as
    (G, C), with one row for all cases or a row for each: ``run(piece, volumes, vectors, *options)``.

    Attributes:
        whole: For pieces that need no float32 copies: run on as many cases at once as share a row.
        mapped: Run on a part of the volumes, the piece gives that part of a result like the first volume.
        total: Run on a part of the volumes, it gives that part's share of a sum; ``run(piece, volumes, vectors, groups,
            *options)`` gives the sum in ``groups`` rows, again one for all cases or one for each.
    """

    whole: Run
    mapped: Run
    total: Run


def slabs(shape: torch.Size, device: torch.device) -> Iterator[tuple[slice, slice, slice]]:
    """Indices of consecutive slabs of a tensor (B, C, D, H, W), each within one case and of a size that suits a device.

    They depend on the size of one case alone, so what is summed slab by slab does not depend on how cases are batched.
    """
    elements = _CUDA_SLAB if kind_of(device) == "cuda" else _CPU_SLAB
    height = max(1, elements * shape[2] // max(1, shape[1:].numel()))
    for case in range(shape[0]):
        for start in range(0, shape[2], height):
            yield slice(case, case + 1), slice(None), slice(start, start + height)


def per_channel(values_C: Tensor) -> Tensor:
    """(C,) as (1, C, 1, 1, 1)."""
    return values_C.view(1, -1, 1, 1, 1)


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


def _mapped_by_slabs(
    piece: Piece, volumes: tuple[Tensor, ...], vectors: tuple[Tensor, ...], *options: object
) -> Tensor:
    result = torch.empty_like(volumes[0])
    for slab in slabs(result.shape, result.device):
        result[slab] = piece(*(volume[slab] for volume in volumes), *_rows(vectors, slab[0].start), *options)
    return result


def _total_by_slabs(
    piece: Piece, volumes: tuple[Tensor, ...], vectors: tuple[Tensor, ...], groups: int, *options: object
) -> Tensor:
    totals: dict[int, Tensor] = {}
    for slab in slabs(volumes[0].shape, volumes[0].device):
        part = piece(*(volume[slab] for volume in volumes), *_rows(vectors, slab[0].start), *options)
        group = slab[0].start % groups
        totals[group] = totals[group] + part if group in totals else part
    return torch.stack(list(totals.values()))


def _whole(piece: Piece, volumes: tuple[Tensor, ...], vectors: tuple[Tensor, ...], *options: object) -> Tensor:
    groups = max(map(len, vectors))
    if groups == 1:
        return piece(*volumes, *_rows(vectors, 0), *options)
    result = torch.empty_like(volumes[0])
    for case in range(groups):
        one = slice(case, case + 1)
        result[one] = piece(*(volume[one] for volume in volumes), *_rows(vectors, case), *options)
    return result


def _whole_compiled(piece: Piece, volumes: tuple[Tensor, ...], vectors: tuple[Tensor, ...], *options: object) -> Tensor:
    flat = tuple(_flat(volume, volumes[0]) for volume in volumes)
    return _unflat(_whole(_compile(piece), flat, vectors, *options), volumes[0])


def _total_compiled(
    piece: Piece, volumes: tuple[Tensor, ...], vectors: tuple[Tensor, ...], groups: int, *options: object
) -> Tensor:
    parts = zip(*(_flat(v, volumes[0]).chunk(groups) for v in volumes), strict=True)
    return torch.stack([_compile(piece)(*part, *_rows(vectors, g), *options) for g, part in enumerate(parts)])


def _flat(volume: Tensor, like: Tensor) -> Tensor:
    # (B, C, 1, 1, D·H·W), a view: one size instead of three, so that one kernel serves every level of the network
    if _is_channels_last(like):
        rows = volume.contiguous(memory_format=torch.channels_last_3d).movedim(1, -1)
        return rows.reshape(len(rows), 1, 1, -1, rows.shape[-1]).movedim(-1, 1)
    return volume.contiguous().view(*volume.shape[:2], 1, 1, -1)


def _unflat(flat: Tensor, like: Tensor) -> Tensor:
    if _is_channels_last(like):
        return flat.movedim(1, -1).reshape(like.movedim(1, -1).shape).movedim(-1, 1)
    return flat.reshape(like.shape)


def _is_channels_last(volume: Tensor) -> bool:
    return volume.is_contiguous(memory_format=torch.channels_last_3d) and not volume.is_contiguous()


def _rows(vectors: tuple[Tensor, ...], case: int) -> Iterator[Tensor]:
    # copies: a compiled piece would be made anew for rows of another table
    return (vector_GC[case % len(vector_GC)].clone() for vector_GC in vectors)


@cache
def _compile(piece: Piece) -> Piece:
    return torch.compile(piece, dynamic=True)


BY_SLABS = Passes(_whole, _mapped_by_slabs, _total_by_slabs)
_COMPILED = Passes(_whole_compiled, _whole_compiled, _total_compiled)
