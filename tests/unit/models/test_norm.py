import pytest
import torch
from torch import nn

from dcam_dist.models.norm import GlobalBatchNorm3d, global_moments


def pair(channels=5):
    ours, reference = GlobalBatchNorm3d(channels, momentum=0.1), nn.BatchNorm3d(channels)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in ("weight", "bias"):
            value = torch.rand(channels, generator=generator) + 0.5
            getattr(ours, name).copy_(value)
            getattr(reference, name).copy_(value)
    return ours, reference


def data(offset=1.0):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(3, 5, 4, 6, 7, generator=generator) * 2 + offset
    return x.requires_grad_(), torch.randn(3, 5, 4, 6, 7, generator=generator)


def test_one_process_gives_what_torch_gives_forward_backward_and_running():
    ours, reference = pair()
    (x, weight), results = data(), []
    for norm in (ours, reference):
        y = norm(x)
        (y * weight).sum().backward()
        results.append(
            (y.detach(), x.grad.clone(), norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
        )
        x.grad = None
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_gradient_agrees_with_finite_differences():
    norm = GlobalBatchNorm3d(2, momentum=0.1)
    x = torch.randn(2, 2, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    (norm(x) * weight).sum().backward()
    step = 1e-2
    with torch.no_grad():
        for index in [(0, 0, 0, 0, 0), (1, 1, 1, 2, 1), (0, 1, 0, 1, 0)]:
            shifted = [x.detach().clone() for _ in range(2)]
            shifted[0][index] += step
            shifted[1][index] -= step
            up, down = ((norm(s) * weight).double().sum() for s in shifted)
            assert float(x.grad[index]) == pytest.approx(float((up - down) / (2 * step)), abs=2e-3)


def test_evaluation_uses_the_running_statistics_and_changes_nothing():
    ours, reference = pair()
    x, _ = data()
    for norm in (ours, reference):
        norm(x)
        norm.eval()
    before = ours.running_mean.clone()
    torch.testing.assert_close(ours(x[:1]), reference(x[:1]), rtol=1e-5, atol=1e-5)
    assert torch.equal(ours.running_mean, before)


def test_moments_keep_their_digits_far_from_zero():
    x = torch.randn(2, 3, 8, 8, 8, generator=torch.Generator().manual_seed(0)) + 1000
    found = global_moments(x)
    mean, var, count = found.mean_C, found.var_C, found.count
    torch.testing.assert_close(var, x.double().var(dim=(0, 2, 3, 4), correction=0).float(), rtol=1e-3, atol=0)
    torch.testing.assert_close(mean, x.double().mean(dim=(0, 2, 3, 4)).float())
    assert count.item() == 2 * 8**3


def test_a_scans_mean_density_survives_it():
    # instance normalization would map both scans to the same output
    norm = GlobalBatchNorm3d(1, momentum=0.1)
    x = torch.randn(2, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.1
    x[1] += 1
    means = norm(x).mean(dim=(1, 2, 3, 4))
    assert means[1] - means[0] > 1
    instance = nn.InstanceNorm3d(1)(x).mean(dim=(1, 2, 3, 4))
    assert abs(instance[1] - instance[0]) < 1e-3


def test_bfloat16_input_keeps_float32_statistics():
    norm = GlobalBatchNorm3d(5, momentum=0.1)
    x, _ = data(offset=3.0)
    y = norm(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean, 0.1 * x.bfloat16().float().mean(dim=(0, 2, 3, 4)))
