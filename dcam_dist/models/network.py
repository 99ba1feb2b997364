"""f_θ and the head g_W together, and the three ways of using them: pooled features, logits, activation maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcam_dist.models.checkpointing import CheckpointPolicy, apply_policy
from dcam_dist.models.encoder3d import Encoder3D
from dcam_dist.models.pooling import pool_over_lungs
from dcam_dist.models.unet3d import UNet3D

HEAD_STD = 0.01  # DeepCluster's N(0, 0.01)


class ClusterNetwork(nn.Module):
    """A feature network and a 1×1×1 convolution with bias as the head.

    Attributes:
        body: f_θ.
        head: g_W, one output channel a cluster.
        policy: What the body's forward stores and what its backward computes again.
    """

    def __init__(self, body: UNet3D | Encoder3D, classes: int, policy: CheckpointPolicy) -> None:
        super().__init__()
        self.body, self.head, self.policy = body, nn.Conv3d(body.channels, classes, kernel_size=1), policy
        apply_policy(body, policy)

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor) -> Tensor:
        """Logits of shape (B, K): the head on the lung mean of the features."""
        return self.classify(self.pooled_features(volume_BCDHW, lung_mask_BCDHW))

    def pooled_features(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor, *, last_relu: bool = True) -> Tensor:
        """Lung-pooled features of shape (B, C), float32."""
        with self.policy.keeping():
            features_BCDHW = self.body(volume_BCDHW, last_relu=last_relu)
        return pool_over_lungs(features_BCDHW, lung_mask_BCDHW, self.body.stride)

    def classify(self, pooled_BC: Tensor) -> Tensor:
        """The head on pooled features: logits of shape (B, K)."""
        return F.linear(pooled_BC, self.head.weight.flatten(1), self.head.bias)

    def activation_maps(self, features_BCDHW: Tensor) -> Tensor:
        """Dense clustering activation maps: the head on the body's features of every voxel, (B, K, D, H, W) float32.

        The head is linear, so the lung mean of a map equals the scan's logit for that cluster. For the baseline the
        maps have the resolution of its features, 1/16 of the input.
        """
        return F.conv3d(features_BCDHW.float(), self.head.weight, self.head.bias)

    @torch.no_grad()
    def draw_head(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A new random head, N(0, 0.01) weights and zero bias (DeepCluster), as (weight, bias) on the CPU."""
        weight = torch.empty(self.head.weight.shape).normal_(0.0, HEAD_STD, generator=generator)
        return weight, torch.zeros(self.head.out_channels)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
