"""The paper's baseline: the network without its up-sampling path, one more down-sampling level, more filters."""

from torch import Tensor, nn

from dcam_dist.models.blocks import ConvFactory, DoubleConv

LEVELS = 4


class Encoder3D(nn.Module):
    """Four down-sampling levels and a bottleneck.

    Attributes:
        channels: Channels of the features, 32 times the first filters.
        stride: Input voxels per feature voxel along each axis: 16.
    """

    stride = 2**LEVELS

    def __init__(self, filters: int, *, conv: ConvFactory) -> None:
        super().__init__()
        f = filters
        self.channels = 2 ** (LEVELS + 1) * f
        inputs = [1, *(f * 2**level for level in range(1, LEVELS))]
        self.down = nn.ModuleList(
            DoubleConv(inputs[level], f * 2**level, f * 2 ** (level + 1), conv=conv, pool=level > 0)
            for level in range(LEVELS)
        )
        self.bottleneck = DoubleConv(f * 2**LEVELS, f * 2**LEVELS, self.channels, conv=conv, pool=True)

    def forward(self, volume_BCDHW: Tensor, *, last_relu: bool = True) -> Tensor:
        """Features of shape (B, 32f, D/16, H/16, W/16) from volumes of shape (B, 1, D, H, W)."""
        x = volume_BCDHW
        for block in self.down:
            x = block(x)
        features: Tensor = self.bottleneck(x, last_relu=last_relu)
        return features
