"""The same answers on a CUDA device as on the CPU. Selected with ``-m gpu``; fails, not skips, without a device."""

import pytest
import torch
from support.cohorts import settings
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.models import build_network, choose_precision
from dcam_dist.models.memory_format import memory_format_of
from dcam_dist.models.norm import GlobalBatchNorm3d
from dcam_dist.profiling import peak_memory_bytes
from dcam_dist.runs import latest_checkpoint
from dcam_dist.training import train

pytestmark = pytest.mark.gpu


def batch(device, size=2, shape=(16, 32, 32)):
    generator = torch.Generator().manual_seed(3)
    volume = torch.rand(size, 1, *shape, generator=generator)
    return volume.to(device), (torch.rand(size, 1, *shape, generator=generator) > 0.6).to(device)


def gradients(device, *overrides):
    network = build_network(load_config(None, ["network.filters=4", *overrides])).to(device)
    logits = network(*batch(device))
    F.cross_entropy(logits, torch.tensor([0, 3], device=device)).backward()
    return logits.detach().cpu(), [parameter.grad.cpu() for parameter in network.parameters()]


def test_normalization_agrees_with_the_cpu():
    results = []
    for device in ("cpu", "cuda"):
        norm = GlobalBatchNorm3d(5, momentum=0.1).to(device)
        x = torch.randn(3, 5, 4, 6, 7, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
        norm(x).square().mul(torch.arange(x.numel(), device=device).view(x.shape)).sum().backward()
        results.append((x.grad.cpu(), norm.running_mean.cpu(), norm.running_var.cpu()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["dcam", "baseline"])
def test_logits_and_gradients_agree_with_the_cpu(method):
    torch.backends.cudnn.allow_tf32 = False
    (logits, grads), (gpu_logits, gpu_grads) = (gradients(device, f"method={method}") for device in ("cpu", "cuda"))
    torch.testing.assert_close(logits, gpu_logits, rtol=1e-3, atol=1e-4)
    for one, other in zip(grads, gpu_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-3)


def test_bf16_is_close_to_fp32():
    logits, _ = gradients("cuda")
    torch.testing.assert_close(gradients("cuda", "network.precision=bf16")[0], logits, rtol=0.1, atol=0.02)


def test_fp16_is_close_to_fp32_and_keeps_float32_parameters():
    logits, grads = gradients("cuda", "network.precision=fp16")
    torch.testing.assert_close(logits, gradients("cuda")[0], rtol=0.05, atol=0.01)
    assert {grad.dtype for grad in grads} == {torch.float32}


def test_auto_precision_names_this_gpu():
    choice = choose_precision(load_config(None, ["network.precision=auto"]).network, "cuda:0")
    assert choice.precision == ("bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp32")
    assert "compute capability" in choice.reason


def peak_and_gradients(policy, *overrides):
    settings = ["network.filters=8", "network.precision=bf16", f"network.checkpointing={policy}", *overrides]
    network = build_network(load_config(None, settings)).to("cuda")
    torch.cuda.reset_peak_memory_stats()
    F.cross_entropy(network(*batch("cuda", shape=(64, 64, 64))), torch.tensor([0, 3], device="cuda")).backward()
    return peak_memory_bytes("cuda"), [tensor.cpu() for tensor in [p.grad for p in network.parameters()]]


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_each_policy_lowers_the_peak_and_keeps_the_gradients(norm):
    made = {name: peak_and_gradients(name, f"network.norm={norm}") for name in ("none", "conv", "block", "offload")}
    peaks = {name: peak for name, (peak, _) in made.items()}
    assert peaks["offload"] < peaks["block"] < peaks["none"]
    assert peaks["conv"] < peaks["none"]
    for _, grads in made.values():
        for one, other in zip(grads, made["none"][1], strict=True):
            # cuDNN may add up in another order, and the backward of the interpolation has no fixed one
            torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2 * float(other.abs().max()))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_compiled_network_gives_the_same_loss(norm):
    plain, compiled = (gradients("cuda", f"network.norm={norm}", f"network.compile={c}")[0] for c in ("false", "true"))
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_features_are_in_the_format_that_the_norm_wants(norm):
    network = build_network(load_config(None, ["network.filters=8", f"network.norm={norm}"])).to("cuda")
    features = network.body(batch("cuda")[0])
    assert features.is_contiguous(
        memory_format=memory_format_of(load_config(None, [f"network.norm={norm}"]).network, "cuda")
    )


def test_a_whole_training_runs_over_nccl_and_resumes(tmp_path, small_cohort):
    config = load_config(None, settings(small_cohort, output=tmp_path / "run"))
    train(config)
    assert latest_checkpoint(tmp_path / "run").finished
    assert train(config).epochs == 2
