"""The proposed feature network f_θ: a 3D U-Net whose last up-sampling level gives dense features."""

from torch import Tensor, nn

from dcam_dist.models.blocks import ConvFactory, DoubleConv, UpConv

LEVELS = 3


class UNet3D(nn.Module):
    """Three down-sampling levels, a bottleneck that doubles the filters, three up-sampling levels.

    With ``f`` filters (paper's group, public network: f = 32): down 1→f→2f, 2f→2f→4f, 4f→4f→8f, each followed by
    max-pooling; bottleneck 8f→8f→16f; up (16f+8f)→8f→8f, (8f+4f)→4f→4f, (4f+2f)→2f→2f. Filters double before the
    pooling (Çiçek 2016).

    Attributes:
        channels: Channels of the dense features, 2f.
        stride: Input voxels per feature voxel along each axis: 1, the features are dense.
    """

    stride = 1

    def __init__(self, filters: int, *, conv: ConvFactory) -> None:
        super().__init__()
        f = filters
        self.channels = 2 * f
        self.down = nn.ModuleList(
            [
                DoubleConv(1, f, 2 * f, conv=conv),
                DoubleConv(2 * f, 2 * f, 4 * f, conv=conv, pool=True),
                DoubleConv(4 * f, 4 * f, 8 * f, conv=conv, pool=True),
            ]
        )
        self.bottleneck = DoubleConv(8 * f, 8 * f, 16 * f, conv=conv, pool=True)
        self.up = nn.ModuleList(
            [
                UpConv(16 * f, 8 * f, 8 * f, conv=conv),
                UpConv(8 * f, 4 * f, 4 * f, conv=conv),
                UpConv(4 * f, 2 * f, 2 * f, conv=conv),
            ]
        )

    def forward(self, volume_BCDHW: Tensor, *, last_relu: bool = True) -> Tensor:
        """Dense features of shape (B, 2f, D, H, W) from volumes of shape (B, 1, D, H, W), sizes divisible by 8."""
        x, skips = volume_BCDHW, []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.bottleneck(x)
        last = len(self.up) - 1
        for level, block in enumerate(self.up):
            x = block(x, skips.pop(), last_relu=last_relu or level < last)
        features: Tensor = x
        return features
