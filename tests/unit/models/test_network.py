import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.errors import UsageError
from dcam_dist.models import build_network, parameter_counts, pool_over_lungs

METHODS = ("dcam", "baseline")


def build(*overrides, method="dcam"):
    return build_network(load_config(None, ["network.filters=4", f"method={method}", *overrides]))


def batch(size=2, shape=(16, 32, 32)):
    generator = torch.Generator().manual_seed(3)
    volume = torch.rand(size, 1, *shape, generator=generator)
    mask = torch.rand(size, 1, *shape, generator=generator) > 0.6
    return volume, mask


def trained_statistics(network):
    network.train()
    network(*batch())
    return network.eval()


def test_the_published_plan_layer_by_layer():
    network = build_network(load_config(None, ["network.filters=32"]))
    shapes = [tuple(p.shape[:2]) for n, p in network.body.named_parameters() if p.ndim == 5]
    assert shapes == [
        (32, 1), (64, 32), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256), (512, 256),
        (256, 768), (256, 256), (128, 384), (128, 128), (64, 192), (64, 64),
    ]  # fmt: skip
    assert network.body.channels == 64
    assert network.head.weight.shape == (6, 64, 1, 1, 1)


@pytest.mark.parametrize("filters", [4, 8, 12, 16, 32])
def test_the_baseline_has_as_many_parameters_within_ten_percent(filters):
    proposed, baseline = parameter_counts(load_config(None, [f"network.filters={filters}"]).network)
    assert abs(baseline / proposed - 1) < 0.10


def test_unequal_networks_are_refused():
    with pytest.raises(UsageError, match="baseline_filters=10"):
        build("network.baseline_filters=10", method="baseline")


def test_the_baseline_has_one_more_level_and_no_way_up():
    body = build(method="baseline").body
    assert (len(body.down), body.stride, hasattr(body, "up")) == (4, 16, False)
    assert body(batch()[0]).shape == (2, body.channels, 1, 2, 2)


def test_dense_features_have_the_inputs_resolution():
    assert build().body(batch()[0]).shape == (2, 8, 16, 32, 32)


@pytest.mark.parametrize("method", METHODS)
def test_the_lung_mean_of_the_maps_equals_the_logits(method):
    network, (volume, mask) = trained_statistics(build(method=method)), batch()
    with torch.no_grad():
        network.head.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
        network.head.weight.normal_(0, 1, generator=torch.Generator().manual_seed(0))
        maps, logits = network.activation_maps(network.body(volume)), network(volume, mask)
        pooled = pool_over_lungs(maps, mask, network.body.stride)
    torch.testing.assert_close(pooled, logits, rtol=1e-5, atol=1e-5)


def test_pooling_is_the_mean_over_the_lungs_alone():
    features, (_, mask) = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0)), batch()
    expected = torch.stack([features[b][:, mask[b, 0]].mean(dim=1) for b in range(2)])
    torch.testing.assert_close(pool_over_lungs(features, mask), expected, rtol=1e-5, atol=1e-6)


def test_strided_pooling_weighs_voxels_by_their_share_of_lung():
    mask = torch.zeros(1, 1, 16, 32, 16)
    mask[..., :16, :] = 1
    mask[:, :, :4, 16:, :] = 1
    features = torch.tensor([1.0, 5.0]).view(1, 1, 1, 2, 1)
    assert pool_over_lungs(features, mask, 16).item() == pytest.approx((1 + 5 * 0.25) / 1.25)


def test_what_lies_outside_the_lungs_beyond_the_receptive_field_does_not_reach_the_logits():
    network, (volume, mask) = trained_statistics(build()), batch(1, (16, 16, 160))
    mask[..., 40:] = False
    other = volume.clone()
    other[..., 120:] = 0
    with torch.no_grad():
        torch.testing.assert_close(network(volume, mask), network(other, mask), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_checkpointing_changes_neither_gradients_nor_buffers(method, precision):
    results = []
    for policy in ("none", "block"):
        network = build(f"network.checkpointing={policy}", f"network.precision={precision}", method=method)
        for _ in range(2):
            F.cross_entropy(network(*batch()), torch.tensor([0, 3])).backward()
        results.append([*(p.grad for p in network.parameters()), *network.buffers()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    one, same, other = (build(f"seed={seed}").state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["body.up.2.convs.second.weight"], other["body.up.2.convs.second.weight"])


def test_features_do_not_depend_on_the_cases_beside_them():
    network, (volume, mask) = trained_statistics(build()), batch()
    with torch.no_grad():
        together = network.pooled_features(volume, mask)
        alone = torch.cat([network.pooled_features(volume[i : i + 1], mask[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_leaving_the_last_relu_out_lets_features_be_negative():
    network, (volume, _) = trained_statistics(build()), batch()
    with torch.no_grad():
        before, after = network.body(volume, last_relu=False), network.body(volume)
    assert before.min() < 0
    torch.testing.assert_close(F.relu(before), after)


def test_bf16_casts_at_use_and_keeps_parameters_and_head_in_fp32():
    network, (volume, mask) = build("network.precision=bf16"), batch()
    logits = network(volume, mask)
    assert logits.dtype == torch.float32
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert network.body(volume).dtype == torch.bfloat16
    torch.testing.assert_close(logits, build()(volume, mask), rtol=0.1, atol=0.02)
