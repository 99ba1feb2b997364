"""The network against one written down independently: concatenation, torch's layers, nothing recomputed or split."""

import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.models import build_network


class Reference:
    """Computes with the parameters of a network, in float64."""

    def __init__(self, network, norm):
        self.parameters = {name: p.detach().double().requires_grad_() for name, p in network.named_parameters()}
        self.norm = norm

    def conv(self, x, name):
        y = F.conv3d(x, self.parameters[f"{name}.weight"], padding=1)
        dims = (0, 2, 3, 4) if self.norm == "batch" else (2, 3, 4)
        var, mean = torch.var_mean(y, dim=dims, correction=0, keepdim=True)
        weight, bias = (self.parameters[f"{name}.norm.{key}"].view(1, -1, 1, 1, 1) for key in ("weight", "bias"))
        return F.relu((y - mean) / (var + 1e-5).sqrt() * weight + bias)

    def double(self, x, name):
        return self.conv(self.conv(x, f"{name}.first"), f"{name}.second")

    def dcam(self, x):
        skips = []
        for level in range(3):
            skips.append(self.double(x, f"body.down.{level}"))
            x = F.max_pool3d(skips[-1], 2)
        x = self.double(x, "body.bottleneck")
        for level in range(3):
            skip = skips.pop()
            up = F.interpolate(x, size=skip.shape[2:], mode="trilinear", align_corners=True)
            x = self.double(torch.cat([up, skip], dim=1), f"body.up.{level}.convs")
        return x

    def baseline(self, x):
        for level in range(4):
            x = F.max_pool3d(self.double(x, f"body.down.{level}"), 2)
        return self.double(x, "body.bottleneck")

    def logits(self, method, volume, mask):
        features, weight = getattr(self, method)(volume.double()), mask.double()
        if method == "baseline":
            weight = F.avg_pool3d(weight, 16)
        pooled = (features * weight).sum(dim=(2, 3, 4)) / weight.sum(dim=(2, 3, 4))
        return F.linear(pooled, self.parameters["head.weight"].flatten(1), self.parameters["head.bias"])


def batch():
    generator = torch.Generator().manual_seed(3)
    volume, mask = (torch.rand(2, 1, 32, 32, 48, generator=generator) for _ in range(2))
    return volume, mask > 0.6


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("method", ["dcam", "baseline"])
def test_logits_and_gradients_are_those_of_the_reference_within_float32_rounding(method, norm):
    network = build_network(load_config(None, ["network.filters=4", f"method={method}", f"network.norm={norm}"]))
    reference = Reference(network, norm)
    target = torch.tensor([0, 3])
    logits, expected = network(*batch()), reference.logits(method, *batch())
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-6)
    F.cross_entropy(logits, target).backward()
    F.cross_entropy(expected, target).backward()
    pairs = [(p.grad.double().flatten(), reference.parameters[n].grad.flatten()) for n, p in network.named_parameters()]
    # a normalization's bias sums 10⁵ voxels that nearly cancel, and a ReLU's kink turns rounding into a voxel's share
    assert max(relative_error(*pair) for pair in pairs) < 1e-2
    assert relative_error(*(torch.cat(side) for side in zip(*pairs, strict=True))) < 2e-4


def relative_error(found, exact):
    return float((found - exact).norm() / exact.norm())
