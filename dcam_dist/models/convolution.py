"""3×3×3 convolutions, also of a smaller volume that is brought to size first."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dcam_dist.models.device_kind import kind_of

_aten = torch.ops.aten
_ONE, _ZERO = [1, 1, 1], [0, 0, 0]


def convolve(x_BCDHW: Tensor, weight: Tensor) -> Tensor:
    """Stride 1, zero padding, no bias."""
    if _is_misread(x_BCDHW):
        return F.conv3d(x_BCDHW.float(), weight.float(), padding=1).to(x_BCDHW.dtype)
    return F.conv3d(x_BCDHW, weight, padding=1)


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
        grad_up, grad_weight, _ = _aten.convolution_backward(
            grad, up, weight, None, _ONE, _ONE, _ONE, False, _ZERO, 1, [True, True, False]
        )
        return _aten.upsample_trilinear3d_backward(grad_up, ctx.size, x.shape, True), grad_weight, None, None


def _upsample(x: Tensor, size: torch.Size, memory_format: torch.memory_format) -> Tensor:
    up = F.interpolate(x, size=size, mode="trilinear", align_corners=True)
    return up.contiguous(memory_format=memory_format)
