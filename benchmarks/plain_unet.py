"""The same 3D U-Net as most would write it: modules of torch.nn, autocast's casts, a checkpoint per block.

Autocast is silently off without CUDA. Its casts are therefore written out, those that torch's documentation lists for
CUDA ("CUDA ops that can autocast to float16", "to float32", "that promote to the widest input type"): convolutions in
bfloat16, trilinear interpolation in float32, a concatenation in the wider type of its inputs. Batch normalization is in
no list and takes what it is given. Weights are cast once a step, as autocast's cache does. Without a type no cast is
written out: float32, or under autocast itself.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dcam_dist.models.pooling import pool_over_lungs


class Conv(nn.Module):
    """Convolution, normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, dtype: torch.dtype | None, norm: str) -> None:
        super().__init__()
        self.weight, self.dtype = nn.Parameter(torch.empty(outputs, inputs, 3, 3, 3)), dtype
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.BatchNorm3d(outputs) if norm == "batch" else nn.InstanceNorm3d(outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, …) → (B, outputs, …)."""
        cast = (x, self.weight) if self.dtype is None else (x.to(self.dtype), self.weight.to(self.dtype))
        y = F.conv3d(*cast, padding=1)
        return F.relu(self.norm(y), inplace=True)


class Block(nn.Module):
    """Two of them, checkpointed where asked for."""

    def __init__(
        self, inputs: int, middle: int, outputs: int, *, dtype: torch.dtype | None, norm: str, recompute: bool
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(Conv(inputs, middle, dtype, norm), Conv(middle, outputs, dtype, norm))
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, …) → (B, outputs, …)."""
        y: Tensor = checkpoint(self.layers, x, use_reentrant=False) if self.recompute else self.layers(x)
        return y


class PlainUNet(nn.Module):
    """As ``dcam_dist.models.unet3d``, with the head on the lung mean."""

    def __init__(self, filters: int, classes: int, *, dtype: torch.dtype | None, norm: str, recompute: bool) -> None:
        super().__init__()
        f = filters

        def block(inputs: int, middle: int, outputs: int) -> Block:
            return Block(inputs, middle, outputs, dtype=dtype, norm=norm, recompute=recompute)

        self.down = nn.ModuleList([block(1, f, 2 * f), block(2 * f, 2 * f, 4 * f), block(4 * f, 4 * f, 8 * f)])
        self.bottom = block(8 * f, 8 * f, 16 * f)
        self.up = nn.ModuleList([block(24 * f, 8 * f, 8 * f), block(12 * f, 4 * f, 4 * f), block(6 * f, 2 * f, 2 * f)])
        self.head = nn.Linear(2 * f, classes)

    def forward(self, volume: Tensor, mask: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.head(self.pooled(volume, mask))
        return logits

    def pooled(self, volume: Tensor, mask: Tensor) -> Tensor:
        """What the head sees: the lung mean of the dense features, (B, C)."""
        x, skips = volume, []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = F.max_pool3d(x, 2)
        x = self.bottom(x)
        for up in self.up:
            skip = skips.pop()
            wide = F.interpolate(x.float(), size=skip.shape[2:], mode="trilinear", align_corners=True)
            x = up(torch.cat([wide, skip.to(wide.dtype)], dim=1))
        return pool_over_lungs(x, mask)
