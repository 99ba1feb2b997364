"""Run under torchrun: two training steps under every checkpointing policy; rank 0 writes what each has made."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dcam_dist.config import load_config
from dcam_dist.distributed import open_processes
from dcam_dist.models import build_network
from dcam_dist.models.checkpointing import POLICIES, use_deepspeed


def two_steps(policy: str, rank: int, ranks: int) -> dict[str, torch.Tensor]:
    network = build_network(load_config(None, ["network.filters=4", f"network.checkpointing={policy}"]))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(5)
    volume, mask = (torch.rand(3, 1, 16, 32, 32, generator=generator) for _ in range(2))
    share, target = slice(rank, None, ranks), torch.tensor([0, 3, 5])  # 2 cases and 1
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(network(volume[share], mask[share] > 0.6), target[share], reduction="sum").div(3).backward()
        for parameter in network.parameters():
            dist.all_reduce(parameter.grad)
        optimizer.step()
    return network.state_dict()


if __name__ == "__main__":
    use_deepspeed(lambda compute, *inputs: checkpoint(compute, *inputs, use_reentrant=True, preserve_rng_state=False))
    with open_processes() as context:
        for policy in POLICIES:
            made = two_steps(policy, context.rank, context.world_size)
            if context.is_main:
                save_file(made, Path(sys.argv[1]) / f"{policy}.safetensors")
