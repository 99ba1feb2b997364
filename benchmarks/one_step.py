"""One training step of the bare network on random volumes in memory: no store, no engine, one rank."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from dcam_dist.config import Config
from dcam_dist.models import ClusterNetwork


def make_step(
    network: ClusterNetwork, config: Config, cases: int, device: str = "cpu"
) -> Callable[[], dict[str, torch.Tensor]]:
    """A function that takes one step of SGD, always on the same cases, and returns the network's state.

    Args:
        network: On the device.
        config: Grid, seed and number of classes.
        cases: Volumes of the step.
        device: Where it is computed.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(config.seed)
    drawn = (torch.rand(cases, 1, *config.grid.shape, generator=generator) for _ in range(2))
    volume, mask = (one.to(device) for one in drawn)
    target = (torch.arange(cases) % config.classes).to(device)

    def step() -> dict[str, torch.Tensor]:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(volume, mask > 0.5), target))
        optimizer.step()
        return network.state_dict()

    return step
