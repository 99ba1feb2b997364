"""Under every checkpointing policy two ranks, whose normalizations exchange sums, make the same weights."""

import pytest
import torch
from safetensors.torch import load_file
from support.trainings import run_ranks

from dcam_dist.models.checkpointing import POLICIES

pytestmark = pytest.mark.distributed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    run_ranks(2, "tests/support/policy_jobs.py", folder, log=folder / "log.txt")
    return {policy: load_file(folder / f"{policy}.safetensors") for policy in POLICIES}


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "none"])
def test_two_ranks_make_the_same_weights_and_buffers_bit_for_bit(made, policy):
    assert made[policy].keys() == made["none"].keys()
    for name, expected in made["none"].items():
        assert torch.equal(made[policy][name], expected), name
