"""Grad-CAM on a stage of a network, interpolated to the training grid."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from dcam_dist.maps.compute import tensors_of
from dcam_dist.models import ClusterNetwork, pool_over_lungs

Floats = NDArray[np.float32]


def grad_cam(
    network: ClusterNetwork, stage: nn.Module, volume_DHW: Floats, lung_mask_DHW: NDArray[np.bool_], class_id: int
) -> Floats:
    """Grad-CAM of one class: ReLU(Σ_c mean(∂ logit / ∂ A_c) · A_c), with A the stage's output (Selvaraju 2017, ICCV).

    On the last stage of the baseline, whose head is linear on the lung mean of that very output, the mean gradient is
    the head's weight over the number of voxels: there Grad-CAM is the CAM without its bias, cut off at 0.

    Args:
        network: In evaluation mode afterwards; its weights and their gradients stay as they were.
        stage: A module of ``network.body`` that gives (1, C, d, h, w).
        volume_DHW: The HU window mapped to 0…1, on the training grid.
        lung_mask_DHW: Same shape.
        class_id: 0-based.

    Returns:
        Not below 0, trilinear on the training grid.
    """
    network.eval()
    volume, mask = tensors_of(network, volume_DHW, lung_mask_DHW)
    kept: list[Tensor] = []
    handle = stage.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        with torch.enable_grad():
            features = network.body(volume)
            logit = network.classify(pool_over_lungs(features, mask, network.body.stride))[0, class_id]
            (gradient,) = torch.autograd.grad(logit, kept[0])
    finally:
        handle.remove()
    return combine(kept[0].detach().float(), gradient.float(), volume_DHW.shape)


def combine(activation_BCDHW: Tensor, gradient_BCDHW: Tensor, shape: tuple[int, ...]) -> Floats:
    """Channels weighed by the mean of their gradients, added up, cut off at 0 and interpolated to ``shape``."""
    weight = gradient_BCDHW.mean(dim=(2, 3, 4), keepdim=True)
    coarse = (weight * activation_BCDHW).sum(dim=1, keepdim=True).relu()
    dense = F.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)
    grid: Floats = dense[0, 0].cpu().numpy()
    return grid
