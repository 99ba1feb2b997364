"""The two convolutions that every stage of both networks consists of."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcam_dist.models.checkpointing import Unit
from dcam_dist.models.convolution import convolve, convolve_upsampled
from dcam_dist.models.device_kind import kind_of
from dcam_dist.models.memory_format import in_format

ConvFactory = Callable[[int, int], "ConvNorm"]
FormatOn = Callable[[str], torch.memory_format]


class ConvNorm(Unit):
    """3×3×3 convolution (stride 1, zero padding), normalization and ReLU.

    The convolution has no bias: the normalization would subtract it again. Parameters stay float32 and contiguous; they
    and the input are brought to the convolution's type and memory format where it uses them.
    """

    size = "conv"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        dtype: torch.dtype,
        memory_format: FormatOn,
        norm: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        self.dtype, self.memory_format = dtype, memory_format
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3, 3))
        self.norm = norm(outputs)

    def forward(self, x_BCDHW: Tensor, *skip_BCDHW: Tensor, relu: bool = True) -> Tensor:
        """Shape (B, inputs, D, H, W) → (B, outputs, D, H, W).

        Args:
            x_BCDHW: Features; with a skip they may be smaller.
            skip_BCDHW: None, or the skip: then the inputs are x at the skip's size (trilinear) and after it the skip.
            relu: Whether to apply the ReLU.
        """
        return self.run(partial(self._compute, relu=relu), x_BCDHW, *skip_BCDHW)

    def _compute(self, x: Tensor, *skip: Tensor, relu: bool) -> Tensor:
        y = self._convolve_both(x, skip[0]) if skip else convolve(self._ready(x), self._ready(self.weight))
        normalized: Tensor = self.norm(y, relu=relu)
        return normalized

    def _convolve_both(self, x: Tensor, skip: Tensor) -> Tensor:
        # conv(cat(up, skip)) = conv(up) + conv(skip): the concatenation, the network's largest tensor, is never made
        for_x, for_skip = self.weight[:, : x.shape[1]], self.weight[:, x.shape[1] :]
        skip = self._ready(skip)
        y = convolve(skip, self._ready(for_skip))
        return y.add_(convolve_upsampled(self._ready(x), self._ready(for_x), skip))

    def _ready(self, tensor: Tensor) -> Tensor:
        return in_format(tensor.to(self.dtype), self.memory_format(kind_of(tensor.device)))


class DoubleConv(Unit):
    """Two times convolution, normalization, ReLU (Çiçek 2016), after a max-pooling where asked for.

    The pooling belongs to the block so that a recomputed block keeps neither its result nor its indices.
    """

    size = "block"

    def __init__(self, inputs: int, middle: int, outputs: int, *, conv: ConvFactory, pool: bool = False) -> None:
        super().__init__()
        self.pool = pool
        self.first, self.second = conv(inputs, middle), conv(middle, outputs)

    def forward(self, x_BCDHW: Tensor, *skip_BCDHW: Tensor, last_relu: bool = True) -> Tensor:
        """Shape (B, inputs, D, H, W) → (B, outputs, D, H, W), halved by the pooling; see ``ConvNorm`` for the skip."""
        return self.run(partial(self._compute, last_relu=last_relu), x_BCDHW, *skip_BCDHW)

    def _compute(self, x: Tensor, *skip: Tensor, last_relu: bool) -> Tensor:
        if self.pool:
            x = F.max_pool3d(x, 2)
        y: Tensor = self.second(self.first(x, *skip), relu=last_relu)
        return y


class UpConv(nn.Module):
    """Trilinear interpolation to the skip's size, concatenation with the skip, ``DoubleConv``."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.convs = DoubleConv(inputs + skip, outputs, outputs, conv=conv)

    def forward(self, x_BCDHW: Tensor, skip_BCDHW: Tensor, *, last_relu: bool = True) -> Tensor:
        """Shape (B, outputs) at the skip's resolution."""
        y: Tensor = self.convs(x_BCDHW, skip_BCDHW, last_relu=last_relu)
        return y
