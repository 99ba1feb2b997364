"""The mean over the lungs, in float32 and without a float32 copy of the features."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dcam_dist.models.passes import slabs


def pool_over_lungs(features_BCDHW: Tensor, lung_mask_BCDHW: Tensor, stride: int = 1) -> Tensor:
    """Mean of the features over the lungs, (B, C) float32.

    Args:
        features_BCDHW: Features, at ``1/stride`` of the mask's resolution.
        lung_mask_BCDHW: One channel, at the input's resolution.
        stride: For strided features, each voxel weighs by its share of lung.
    """
    weight = F.avg_pool3d(lung_mask_BCDHW.float(), stride) if stride > 1 else lung_mask_BCDHW
    total_B1 = weight.sum(dim=(2, 3, 4), dtype=torch.float32)
    total_BC: Tensor = _WeightedSum.apply(features_BCDHW, weight)  # type: ignore[no-untyped-call]
    return total_BC / total_B1


class _WeightedSum(torch.autograd.Function):
    """Σ features·weight over the voxels: linear, so its backward pass needs the weights alone."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.like = torch.empty_like(features, device="meta")  # shape, type and memory format
        sums = features.new_zeros(features.shape[:2], dtype=torch.float64)
        for slab in slabs(features.shape, features.device):
            sums[slab[0]] += (features[slab].float() * weight[slab]).sum(dim=(2, 3, 4))
        return sums.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BC: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        grad = torch.empty_like(ctx.like, device=weight.device)
        for slab in slabs(grad.shape, grad.device):
            grad[slab] = grad_BC[slab[0], :, None, None, None] * weight[slab]
        return grad, None
