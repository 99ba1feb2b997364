"""Networks whose weights are given back to chance, stage after stage: does a map notice?"""

from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn

from dcam_dist.config import Config
from dcam_dist.models import ClusterNetwork, build_network

HEAD = "head"


def stages(network: ClusterNetwork) -> dict[str, nn.Module]:
    """The network's parts from the head down to the first block, by name."""
    body = network.body
    levels = [f"up {index + 1}" for index in range(len(getattr(body, "up", ())))]
    upwards = dict(zip(levels, getattr(body, "up", ()), strict=True))
    downwards = {f"down {index + 1}": block for index, block in enumerate(body.down)}
    return {
        HEAD: network.head,
        **dict(reversed(upwards.items())),
        "bottleneck": body.bottleneck,
        **dict(reversed(downwards.items())),
    }


def cascade(network: ClusterNetwork, config: Config, seed: int) -> Iterator[tuple[str, ClusterNetwork]]:
    """Randomize from the head down to the first block, one stage more each time (Adebayo 2018, NeurIPS).

    A stage that is given back to chance is as in a network that was never trained: weights, normalization and its
    running statistics.

    Args:
        network: The trained network, which is not touched.
        config: It was built with.
        seed: Decides the random weights.

    Yields:
        The name of the stage that was randomized last, and the network so far, the same object each time.
    """
    fresh = stages(build_network(config.model_copy(update={"seed": seed})))
    worse = deepcopy(network)
    for name, stage in stages(worse).items():
        stage.load_state_dict(fresh[name].state_dict())
        yield name, worse


@torch.no_grad()
def with_shuffled_head(network: ClusterNetwork, seed: int) -> ClusterNetwork:
    """A copy whose head has each class's weights at other channels: no channel keeps its weight's place.

    Args:
        network: Is not touched.
        seed: Decides the order, a cycle through all channels.
    """
    shuffled = deepcopy(network)
    weight = shuffled.head.weight
    order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(seed)).tolist()
    source = dict(pairwise([*order, order[0]]))
    weight.copy_(weight[:, [source[channel] for channel in range(len(order))]])
    return shuffled
