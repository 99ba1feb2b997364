import pytest
import torch

from dcam_dist.models import pool_over_lungs


def features(dtype, memory_format):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 5, 4, 6, 8, generator=generator).to(dtype).contiguous(memory_format=memory_format)
    return values.requires_grad_(), torch.rand(2, 1, 4, 6, 8, generator=generator) > 0.5


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("slab", [1, 2**19])
def test_the_gradient_is_the_share_of_each_voxel_in_the_mean(memory_format, slab, monkeypatch):
    monkeypatch.setattr("dcam_dist.models.passes._CPU_SLAB", slab)
    (x, mask), towards = features(torch.float32, memory_format), torch.tensor([[1.0, -2, 3, 0, 5], [4, 4, 0, 1, -1]])
    (pool_over_lungs(x, mask) * towards).sum().backward()
    expected = towards[..., None, None, None] * (mask / mask.sum(dim=(2, 3, 4), keepdim=True))
    torch.testing.assert_close(x.grad, expected)
    assert x.grad.stride() == x.stride()


def test_short_features_are_summed_in_float32_and_get_a_gradient_of_their_own_type():
    x, mask = features(torch.bfloat16, torch.contiguous_format)
    pooled = pool_over_lungs(x, mask)
    pooled.sum().backward()
    expected = torch.stack([x.detach()[b].double()[:, mask[b, 0]].mean(dim=1) for b in range(2)])
    assert (pooled.dtype, x.grad.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(pooled.detach().double(), expected, rtol=1e-6, atol=1e-6)
