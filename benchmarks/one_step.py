"""One training step of the bare network on random volumes in memory: no store, no engine, one rank."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from dcam_dist.config import Config
from dcam_dist.models import ClusterNetwork


def make_step(network: ClusterNetwork, config: Config, cases: int) -> Callable[[], dict[str, torch.Tensor]]:
    """A function that takes one step of SGD, always on the same cases, and returns the network's state."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(config.seed)
    volume, mask = (torch.rand(cases, 1, *config.grid.shape, generator=generator) for _ in range(2))
    target = torch.arange(cases) % config.classes

    def step() -> dict[str, torch.Tensor]:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(volume, mask > 0.5), target))
        optimizer.step()
        return network.state_dict()

    return step
