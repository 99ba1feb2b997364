"""Convolutions of one small volume: the same values, by the fast way."""

import pytest
import torch
from torch.nn import functional as F

from dcam_dist.models.convolution import convolve, convolve_upsampled

SLOW = "aten::slow_conv3d"


def volume(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), requires_grad=True)


def operators(work):
    with torch.profiler.profile() as profiler:
        work()
    return {event.name for event in profiler.events()}


def assert_same(found, expected, inputs):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    towards = torch.randn_like(expected)
    for one, other in zip(*(torch.autograd.grad(y, inputs, towards) for y in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 7, 16])
def test_one_small_volume_is_convolved_as_any_other(depth):
    x, weight = volume(1, 4, depth, 6, 8), volume(5, 4, 3, 3, 3)
    expected, found = F.conv3d(x, weight, padding=1), convolve(x, weight)
    assert_same(found, expected, (x, weight))


def test_one_small_volume_at_twice_its_size_is_convolved_as_any_other():
    x, weight, like = volume(1, 4, 3, 4, 5), volume(5, 4, 3, 3, 3), torch.empty(1, 1, 6, 8, 10)
    up = F.interpolate(x, size=(6, 8, 10), mode="trilinear", align_corners=True)
    expected, found = F.conv3d(up, weight, padding=1), convolve_upsampled(x, weight, like)
    assert_same(found, expected, (x, weight))


def test_it_is_not_unfolded():
    x, weight, like = volume(1, 8, 8, 16, 16), volume(8, 8, 3, 3, 3), torch.empty(1, 1, 16, 32, 32)

    def ours():
        convolve(x, weight).sum().backward()
        convolve_upsampled(x, weight, like).sum().backward()

    assert not any(name.startswith(SLOW) for name in operators(ours))
    plain = operators(lambda: F.conv3d(x, weight, padding=1))
    if not any(name.startswith(SLOW) for name in plain):
        pytest.fail("torch no longer unfolds such a volume: _in_two_halves has become needless")
