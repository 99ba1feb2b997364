import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.errors import UsageError
from dcam_dist.models import build_network, choose_precision
from dcam_dist.models.convolution import convolve
from dcam_dist.models.precision import cpu_processor, gpu_processor, look_at

AMX, AVX, OLD_CPU = (cpu_processor(amx=amx, avx512_bf16=avx) for amx, avx in ((1, 1), (0, 1), (0, 0)))
H100, V100 = gpu_processor((9, 0)), gpu_processor((7, 0))


def settings(precision):
    return load_config(None, [f"network.precision={precision}"]).network


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_weights_gradient_in_bf16_is_that_of_fp32_in_volumes_of_few_slices(depth):
    """oneDNN reads memory that was never written where there are two slices, on some processors."""
    generator = torch.Generator().manual_seed(depth)
    x, weight, grad = (
        torch.randn(*shape, generator=generator).bfloat16()
        for shape in ((2, 16, depth, 4, 4), (16, 16, 3, 3, 3), (2, 16, depth, 4, 4))
    )
    x = x.contiguous(memory_format=torch.channels_last_3d)
    for _ in range(4):
        spoilt = [torch.full((2 * 16 * 64 * 64,), 1e30) for _ in range(2)]  # what is in memory when it is freed
        del spoilt
        found, exact = weight.clone().requires_grad_(), weight.float().requires_grad_()
        convolve(x, found).backward(grad)
        convolve(x.float(), exact).backward(grad.float())
        torch.testing.assert_close(found.grad.float(), exact.grad, rtol=0.05, atol=0.05 * float(exact.grad.abs().max()))


@pytest.mark.parametrize(
    ("processor", "expected"), [(AMX, "bf16"), (AVX, "bf16"), (OLD_CPU, "fp32"), (H100, "bf16"), (V100, "fp32")]
)
def test_auto_is_bf16_where_the_processor_is_made_for_it(processor, expected):
    assert choose_precision(settings("auto"), processor.kind, processor).precision == expected


def test_the_first_gpus_with_bf16_are_those_of_capability_8():
    assert [gpu_processor(c).made_for_bf16 for c in ((7, 5), (8, 0), (8, 9), (12, 0))] == [False, True, True, True]


@pytest.mark.parametrize("processor", [AMX, OLD_CPU, H100, V100])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_named_precision_is_kept_on_every_processor(processor, precision):
    assert choose_precision(settings(precision), processor.kind, processor).precision == precision


@pytest.mark.parametrize(
    ("precision", "processor", "line"),
    [
        ("fp32", AMX, "fp32 convolutions as configured; this CPU has AMX: network.precision=bf16 is faster"),
        (
            "bf16",
            OLD_CPU,
            "bf16 convolutions as configured; this CPU has neither AMX nor AVX512-bf16: network.precision=fp32 is "
            "faster",
        ),
        ("auto", AVX, "bf16 convolutions (network.precision=auto); this CPU has AVX512-bf16"),
        ("bf16", H100, "bf16 convolutions as configured; this GPU has compute capability 9.0"),
        (
            "fp16",
            H100,
            "fp16 convolutions as configured; this GPU has compute capability 9.0: network.precision=bf16 is as fast "
            "and needs no loss scaling",
        ),
        ("fp16", V100, "fp16 convolutions as configured; this GPU has compute capability 7.0"),
    ],
)
def test_one_line_says_what_was_chosen_and_why(precision, processor, line):
    assert choose_precision(settings(precision), processor.kind, processor).reason == line


def test_fp16_is_refused_on_a_cpu_and_taken_on_a_gpu():
    with pytest.raises(UsageError, match="needs a GPU"):
        choose_precision(settings("fp16"), "cpu", AMX)
    assert choose_precision(settings("fp16"), "cuda:0", V100).precision == "fp16"


def test_this_machine_is_looked_at_where_no_processor_is_given():
    assert choose_precision(settings("auto"), "cpu") == choose_precision(settings("auto"), "cpu", look_at("cpu"))


def test_a_network_is_not_built_while_the_precision_is_open():
    with pytest.raises(UsageError, match=r"network\.precision=auto"):
        build_network(load_config(None, ["network.precision=auto", "network.filters=4"]))


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("method", ["dcam", "baseline"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_only_features_are_ever_in_a_short_type(precision, method, norm):
    overrides = [f"network.precision={precision}", f"network.norm={norm}", "network.filters=4", f"method={method}"]
    network = build_network(load_config(None, overrides))
    generator = torch.Generator().manual_seed(0)
    volume, mask = (torch.rand(2, 1, 16, 32, 32, generator=generator) for _ in range(2))
    seen = []
    for module in network.modules():
        module.register_forward_hook(lambda module, _, output: seen.append(output.dtype))
    logits = network(volume, mask > 0.5)
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    short = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert seen.pop() == logits.dtype == torch.float32  # the network itself
    assert set(seen) == {short}  # features of every block
    everything = [*network.parameters(), *network.buffers(), *(p.grad for p in network.parameters())]
    assert {tensor.dtype for tensor in everything} == {torch.float32}
    assert network.pooled_features(volume, mask > 0.5).dtype == torch.float32
    assert network.activation_maps(network.body(volume)).dtype == torch.float32
    assert all(torch.isfinite(tensor).all() for tensor in everything)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_short_types_stay_near_float32(precision):
    generator = torch.Generator().manual_seed(0)
    volume, mask = (torch.rand(2, 1, 16, 32, 32, generator=generator) for _ in range(2))
    logits = [
        build_network(load_config(None, [f"network.precision={p}", "network.filters=4"]))(volume, mask > 0.5)
        for p in ("fp32", precision)
    ]
    torch.testing.assert_close(logits[1], logits[0], rtol=0.1, atol=0.02)
    assert not torch.equal(logits[1], logits[0])
