import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.models import build_network
from dcam_dist.models.memory_format import in_format, memory_format_of

FIRST, LAST = torch.contiguous_format, torch.channels_last_3d


def settings(norm):
    return load_config(None, [f"network.norm={norm}"]).network


@pytest.mark.parametrize(
    ("norm", "device", "expected"),
    [("batch", "cpu", LAST), ("batch", "cuda", LAST), ("instance", "cpu", LAST), ("instance", "cuda", FIRST)],
)
def test_the_norm_and_the_device_decide(norm, device, expected):
    assert memory_format_of(settings(norm), device) is expected


@pytest.mark.parametrize("channels", [1, 2, 16])
@pytest.mark.parametrize("memory_format", [FIRST, LAST])
def test_a_convolution_answers_in_the_format_that_its_operands_are_in(channels, memory_format):
    x = in_format(torch.rand(2, channels, 4, 6, 5), memory_format)
    weight = in_format(torch.rand(3, channels, 3, 3, 3), memory_format)
    assert F.conv3d(x, weight, padding=1).is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_format_reaches_all_features_and_changes_rounding_alone(norm, precision, monkeypatch):
    generator = torch.Generator().manual_seed(3)
    volume, mask = (torch.rand(2, 1, 16, 32, 32, generator=generator) for _ in range(2))
    results = []
    for memory_format in (FIRST, LAST):
        monkeypatch.setattr("dcam_dist.models.build.memory_format_of", lambda *_, f=memory_format: f)
        overrides = ["network.filters=4", f"network.norm={norm}", f"network.precision={precision}"]
        network, features = build_network(load_config(None, overrides)), []
        for module in network.body.modules():
            module.register_forward_hook(lambda _, __, y, kept=features: kept.append(y))
        logits = network(volume, mask > 0.6)
        F.cross_entropy(logits, torch.tensor([0, 3])).backward()
        assert all(y.is_contiguous(memory_format=memory_format) for y in features)
        assert all(tensor.is_contiguous() for tensor in network.state_dict().values())
        assert all(parameter.grad.is_contiguous() for parameter in network.parameters())
        results.append((logits.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])))
    tolerance = {"fp32": 1e-5, "bf16": 5e-2}[precision]
    torch.testing.assert_close(results[1][0], results[0][0], rtol=tolerance, atol=tolerance)
    gradients = [gradient for _, gradient in results]
    assert (gradients[1] - gradients[0]).norm() < {"fp32": 1e-3, "bf16": 0.3}[precision] * gradients[0].norm()
