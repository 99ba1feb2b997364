import pytest
import torch
from torch import nn

from dcam_dist.models.norm import GlobalBatchNorm3d, InstanceNorm3d, global_moments


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
    mean, var, count = found.mean_GC[0], found.var_GC[0], found.count
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


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("training", [True, False])
def test_instance_normalization_gives_what_torch_gives(memory_format, training):
    ours, reference = InstanceNorm3d(5).train(training), nn.InstanceNorm3d(5, affine=True)
    with torch.no_grad():
        for one, other in zip(ours.parameters(), reference.parameters(), strict=True):
            one.copy_(torch.rand(5) + 0.5)
            other.copy_(one)
    (x, weight), results = data(), []
    for norm in (ours, reference):
        y = norm(x.contiguous(memory_format=memory_format))
        (y * weight).sum().backward()
        results.append((y.detach(), x.grad.clone(), norm.weight.grad, norm.bias.grad))
        x.grad = None
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert list(ours.buffers()) == []


def test_instance_normalization_of_a_scan_does_not_depend_on_the_others():
    norm, (x, _) = InstanceNorm3d(5), data()
    assert torch.equal(norm(x)[1:2], norm(x[1:2]))


@pytest.mark.parametrize("kind", [lambda: GlobalBatchNorm3d(5, momentum=0.1), lambda: InstanceNorm3d(5)])
def test_the_relu_of_a_normalization_is_that_of_torch(kind):
    (x, weight), norm, results = data(), kind(), []
    for y in (norm(x, relu=True), torch.relu(norm(x))):
        (y * weight).sum().backward()
        results.append((y.detach(), x.grad.clone(), norm.weight.grad.clone(), norm.bias.grad.clone()))
        x.grad = norm.weight.grad = norm.bias.grad = None
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [lambda: GlobalBatchNorm3d(5, momentum=0.1), lambda: InstanceNorm3d(5)])
def test_the_size_of_the_slabs_changes_rounding_alone(kind, monkeypatch):
    results = []
    for elements in (1, 200, 2**19):
        monkeypatch.setattr("dcam_dist.models.passes._CPU_SLAB", elements)
        (x, weight), norm = data(), kind()
        y = norm(x, relu=True)
        (y * weight).sum().backward()
        results.append((y.detach(), x.grad, norm.weight.grad, norm.bias.grad))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_bfloat16_statistics_and_gradients_are_those_of_float32_within_its_rounding():
    for kind in (lambda: GlobalBatchNorm3d(5, momentum=0.1), lambda: InstanceNorm3d(5)):
        (x, weight), results = data(offset=3.0), []
        x = x.detach().bfloat16()
        for dtype in (torch.float32, torch.bfloat16):
            norm, leaf = kind(), x.to(dtype, copy=True).requires_grad_()
            (norm(leaf).float() * weight.to(dtype).float()).sum().backward()
            results.append((leaf.grad.float(), norm.weight.grad, norm.bias.grad))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=2e-2, atol=1e-2 * float(one.abs().max()))
