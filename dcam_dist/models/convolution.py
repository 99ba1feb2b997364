"""3×3×3 convolutions, also of a smaller volume that is brought to size first."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dcam_dist.models.device_kind import kind_of

_aten = torch.ops.aten
_ONE, _ZERO = [1, 1, 1], [0, 0, 0]
_UNFOLDED = 20480
"""Channels times slices times rows up to which torch prefers to unfold."""


def convolve(x_BCDHW: Tensor, weight: Tensor) -> Tensor:
    """Stride 1, zero padding, no bias."""
    if _is_misread(x_BCDHW):
        return F.conv3d(x_BCDHW.float(), weight.float(), padding=1).to(x_BCDHW.dtype)
    if _is_unfolded(x_BCDHW):
        return _in_two_halves(x_BCDHW, weight)
    return F.conv3d(x_BCDHW, weight, padding=1)


def _is_unfolded(x_BCDHW: Tensor) -> bool:
    """Whether torch would unfold the volume and multiply matrices, 3 to 15 times slower than oneDNN's convolution.

    It does so on a CPU for one small float32 volume (``use_mkldnn`` in ATen's Convolution.cpp, torch 2.13).
    """
    of_one, on_cpu = len(x_BCDHW) == 1, kind_of(x_BCDHW.device) == "cpu"
    return of_one and on_cpu and x_BCDHW.dtype is torch.float32 and x_BCDHW.shape[1:4].numel() <= _UNFOLDED


def _in_two_halves(x_1CDHW: Tensor, weight: Tensor) -> Tensor:
    """The convolution of one volume as of two: its halves along z, each with the slice beyond its border."""
    depth = x_1CDHW.shape[2]
    half = (depth + 1) // 2
    padded = F.pad(x_1CDHW, (0, 0, 0, 0, 1, 1 + 2 * half - depth))
    halves = torch.cat([padded[:, :, : half + 2], padded[:, :, half:]])
    y = F.conv3d(halves, weight, padding=(0, 1, 1))
    return torch.cat([y[:1], y[1:]], dim=2)[:, :, :depth]


def _is_misread(x_BCDHW: Tensor) -> bool:
    """Whether oneDNN's weight gradient would be of memory that was never written.

    So it is for bfloat16 volumes of two slices on a CPU with AVX-512 and without AMX (torch 2.13 on an AMD EPYC):
    wrong by any amount, and another one each time. Such volumes are the smallest of a network.
    """
    return x_BCDHW.dtype is torch.bfloat16 and kind_of(x_BCDHW.device) == "cpu" and x_BCDHW.shape[2] == 2


def convolve_upsampled(x_BCDHW: Tensor, weight: Tensor, like_BCDHW: Tensor) -> Tensor:
    """The convolution of x at the size and in the memory format of another volume (trilinear interpolation).

    The backward pass interpolates anew: of the widest features of the network only the smaller ones are kept, which
    the block that made them keeps in any case.
    """
    channels_last = like_BCDHW.is_contiguous(memory_format=torch.channels_last_3d)
    memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
    y_BCDHW: Tensor = _ConvolveUpsampled.apply(x_BCDHW, weight, like_BCDHW.shape[2:], memory_format)  # type: ignore[no-untyped-call]
    return y_BCDHW


class _ConvolveUpsampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, size: torch.Size, memory_format: torch.memory_format) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.size, ctx.memory_format = size, memory_format
        return convolve(_upsample(x, size, memory_format), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        up = _upsample(x, ctx.size, ctx.memory_format)
        grad_up, grad_weight = _gradients(grad, up, weight)
        return _aten.upsample_trilinear3d_backward(grad_up, ctx.size, x.shape, True), grad_weight, None, None


def _gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Of the convolution of x."""
    if not _is_unfolded(x):
        wanted = [True, True, False]
        towards_x, towards_weight, _ = _aten.convolution_backward(
            grad, x, weight, None, _ONE, _ONE, _ONE, False, _ZERO, 1, wanted
        )
        return towards_x, towards_weight
    with torch.enable_grad():
        inputs = x.detach().requires_grad_(), weight.detach().requires_grad_()
        one, other = torch.autograd.grad(_in_two_halves(*inputs), inputs, grad)
    return one, other


def _upsample(x: Tensor, size: torch.Size, memory_format: torch.memory_format) -> Tensor:
    up = F.interpolate(x, size=size, mode="trilinear", align_corners=True)
    return up.contiguous(memory_format=memory_format)
