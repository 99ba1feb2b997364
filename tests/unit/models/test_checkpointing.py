from functools import cache

import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dcam_dist.config import load_config
from dcam_dist.errors import UsageError
from dcam_dist.models import build_network
from dcam_dist.models.checkpointing import POLICIES, Unit, apply_policy, is_recomputing, use_deepspeed
from dcam_dist.models.offload import from_main_memory, to_pinned

RECOMPUTING = ("block", "conv", "offload", "deepspeed")
SHAPE = (16, 32, 32)


@pytest.fixture(autouse=True)
def reentrant():
    """In DeepSpeed's place torch's reentrant checkpoint, which computes without gradients first, as that one does."""
    use_deepspeed(lambda compute, *inputs: checkpoint(compute, *inputs, use_reentrant=True, preserve_rng_state=False))
    yield
    use_deepspeed(None)


def build(policy, *overrides):
    return build_network(load_config(None, ["network.filters=4", f"network.checkpointing={policy}", *overrides]))


def batch():
    generator = torch.Generator().manual_seed(3)
    volume, mask = (torch.rand(2, 1, *SHAPE, generator=generator) for _ in range(2))
    return volume, mask > 0.6


def two_steps(network):
    """Everything that two training steps make: losses, gradients, weights, buffers."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    made = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(*batch()), torch.tensor([0, 3]))
        loss.backward()
        made += [loss.detach(), *(p.grad.clone() for p in network.parameters())]
        optimizer.step()
    return [*made, *(value.clone() for value in network.state_dict().values())]


@cache
def stored(*overrides):
    return two_steps(build("none", *overrides))


@pytest.mark.parametrize("policy", RECOMPUTING)
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["dcam", "baseline"])
def test_two_steps_are_the_same_bit_for_bit_under_every_policy(policy, norm, precision, method):
    overrides = f"network.norm={norm}", f"network.precision={precision}", f"method={method}"
    expected, found = stored(*overrides), two_steps(build(policy, *overrides))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_draws_from_or_sets_the_global_generator(policy):
    network = build(policy)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    loss = F.cross_entropy(network(*batch()), torch.tensor([0, 3]))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)  # what others draw between forward and backward stays drawn
    between = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), between)


def kept_bytes(policy):
    """What autograd keeps between forward and backward, each storage once, without the parameters."""
    network, kept = build(policy), {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive = network(*batch())
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    del alive
    return sum(size for address, size in kept.items() if address not in parameters)


def test_each_policy_keeps_less_than_none_and_blocks_less_than_convolutions():
    none, conv, block = (kept_bytes(policy) for policy in ("none", "conv", "block"))
    assert block < conv < 0.75 * none


@pytest.mark.parametrize(("policy", "computed"), [("none", 14), ("block", 28), ("conv", 28), ("deepspeed", 28)])
def test_every_convolution_is_computed_once_more_where_a_policy_says_so(policy, computed):
    network, seen = build(policy), []
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.register_forward_pre_hook(lambda *_: seen.append(is_recomputing()))
    network(*batch()).sum().backward()
    assert len(seen) == computed
    assert sum(seen) == computed - 14


@pytest.mark.parametrize("policy", RECOMPUTING)
def test_nothing_is_recomputed_without_gradients(policy):
    network, calls = build(policy), []
    use_deepspeed(None)  # not even missed
    network.body.bottleneck.register_forward_hook(lambda *_: calls.append(is_recomputing()))
    with torch.no_grad():
        network(*batch())
    assert calls == [False]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_names_of_the_state_do_not_depend_on_the_policy(policy):
    assert list(build(policy).state_dict()) == list(build("none").state_dict())


def test_a_policy_can_be_applied_in_place_of_another():
    network = build("block")
    apply_policy(network, POLICIES["conv"])
    recomputed = {
        module.size for module in network.modules() if isinstance(module, Unit) and module.run != POLICIES["none"].run
    }
    assert recomputed == {"conv"}


def test_the_first_block_gets_its_gradient_from_a_reentrant_checkpoint():
    network = build("deepspeed")
    network(*batch()).sum().backward()
    assert network.body.down[0].first.weight.grad.abs().max() > 0


def test_a_checkpoint_function_may_overwrite_its_arguments():
    # DeepSpeed's moves the data of its arguments to main memory, or a part of it to every rank
    def overwriting(compute, *inputs):
        result = checkpoint(compute, *[tensor.clone() for tensor in inputs], use_reentrant=True)
        for tensor in inputs:
            tensor.data = torch.empty(0)
        return result

    expected = stored()
    use_deepspeed(overwriting)
    for one, other in zip(two_steps(build("deepspeed")), expected, strict=True):
        assert torch.equal(one, other)


def test_deepspeeds_policy_without_its_engine_says_what_to_do():
    use_deepspeed(None)
    with pytest.raises(UsageError, match=r"training\.engine=deepspeed"):
        build("deepspeed")(*batch())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_what_waits_in_main_memory_comes_back_as_it_was(memory_format):
    tensor = torch.rand(2, 4, 3, 5, 6).bfloat16().contiguous(memory_format=memory_format)
    back = from_main_memory(to_pinned(tensor))
    assert torch.equal(back, tensor)
    assert back.stride() == tensor.stride()
    assert back.data_ptr() != tensor.data_ptr()


def test_gradients_are_the_same_when_all_that_is_kept_is_moved():
    # as on a GPU, where this machine may have none: every kept tensor goes through main memory
    network = build("block")
    with torch.autograd.graph.saved_tensors_hooks(to_pinned, from_main_memory):
        loss = F.cross_entropy(network(*batch()), torch.tensor([0, 3]))
    loss.backward()
    for parameter, expected in zip(network.parameters(), stored()[1:], strict=False):
        assert torch.equal(parameter.grad, expected)


@pytest.mark.slow
def test_deepspeeds_own_checkpoint_makes_the_same_weights(monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    from deepspeed.runtime.activation_checkpointing import checkpointing as own

    expected = stored()
    use_deepspeed(own.checkpoint)
    for one, other in zip(two_steps(build("deepspeed")), expected, strict=True):
        assert torch.equal(one, other)
