"""The two convolutions that every stage of both networks consists of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcam_dist.models.norm import GlobalBatchNorm3d

ConvFactory = Callable[[int, int], "ConvNorm"]


class ConvNorm(nn.Module):
    """3×3×3 convolution (stride 1, zero padding) and batch normalization; the caller applies the ReLU.

    The convolution has no bias: the normalization would subtract it again. Parameters stay float32; under bf16 they
    and the input are cast where the convolution uses them.
    """

    def __init__(self, inputs: int, outputs: int, *, dtype: torch.dtype, momentum: float) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3, 3))
        self.norm = GlobalBatchNorm3d(outputs, momentum=momentum)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Shape (B, inputs, D, H, W) → (B, outputs, D, H, W)."""
        y: Tensor = F.conv3d(x_BCDHW.to(self.dtype), self.weight.to(self.dtype), padding=1)
        normalized: Tensor = self.norm(y)
        return normalized


class DoubleConv(nn.Module):
    """Two times convolution, batch normalization, ReLU (Çiçek 2016)."""

    def __init__(self, inputs: int, middle: int, outputs: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, middle), conv(middle, outputs)

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Shape (B, inputs, D, H, W) → (B, outputs, D, H, W)."""
        return F.relu(self.before_last_relu(x_BCDHW))

    def before_last_relu(self, x_BCDHW: Tensor) -> Tensor:
        """The same without the last ReLU."""
        y: Tensor = self.second(F.relu(self.first(x_BCDHW)))
        return y


class UpConv(nn.Module):
    """Trilinear interpolation to the skip's size, concatenation with the skip, ``DoubleConv``."""

    def __init__(self, inputs: int, skip: int, outputs: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.convs = DoubleConv(inputs + skip, outputs, outputs, conv=conv)

    def forward(self, x_BCDHW: Tensor, skip_BCDHW: Tensor) -> Tensor:
        """Shape (B, outputs) at the skip's resolution."""
        y: Tensor = self.convs(self._joined(x_BCDHW, skip_BCDHW))
        return y

    def before_last_relu(self, x_BCDHW: Tensor, skip_BCDHW: Tensor) -> Tensor:
        """The same without the last ReLU."""
        return self.convs.before_last_relu(self._joined(x_BCDHW, skip_BCDHW))

    @staticmethod
    def _joined(x: Tensor, skip: Tensor) -> Tensor:
        up = F.interpolate(x, size=skip.shape[2:], mode="trilinear", align_corners=True)
        return torch.cat([up, skip], dim=1)
