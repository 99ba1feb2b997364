import pytest
import torch
from torch.nn import functional as F

from dcam_dist.config import load_config
from dcam_dist.errors import EnvironmentFault
from dcam_dist.models import build_network
from dcam_dist.models.checkpointing import POLICIES, use_deepspeed

TOLERANCE = 1e-5  # of the loss after three steps, float32


def build(*overrides):
    return build_network(load_config(None, ["network.filters=4", *overrides]))


def losses(network):
    generator = torch.Generator().manual_seed(3)
    volume, mask = (torch.rand(2, 1, 16, 32, 32, generator=generator) for _ in range(2))
    optimizer, made = torch.optim.SGD(network.parameters(), lr=0.05), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(volume, mask > 0.6), torch.tensor([0, 3]))
        loss.backward()
        optimizer.step()
        made.append(loss.item())
    return made


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_loss_under_every_policy():
    use_deepspeed(lambda compute, *inputs: torch.utils.checkpoint.checkpoint(compute, *inputs, use_reentrant=True))
    try:
        expected, compiled = losses(build()), {}
        for policy in POLICIES:
            compiled[policy] = losses(build("network.compile=true", f"network.checkpointing={policy}"))
    finally:
        use_deepspeed(None)
    assert compiled["none"] == pytest.approx(expected, rel=0, abs=TOLERANCE)
    assert all(made == compiled["none"] for made in compiled.values())
    assert len(set(expected)) == 3


def test_compiling_changes_no_name_of_the_state():
    assert list(build("network.compile=true").state_dict()) == list(build().state_dict())


def test_a_missing_compiler_is_one_line(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(EnvironmentFault, match=r"network\.compile=true: no C\+\+ compiler no-such-compiler"):
        build("network.compile=true")
