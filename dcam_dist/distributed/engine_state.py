"""The names under which every engine hands out its tensors, and what is checked when they come back.

``network.NAME`` parameters and buffers · ``optimizer.PARAMETER/KEY`` · ``loss_scale``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from dcam_dist.distributed.loss_scale import LossScale
from dcam_dist.errors import DataError
from dcam_dist.models import ClusterNetwork

Tensors = Mapping[str, Tensor]
_NETWORK, _OPTIMIZER, _LOSS_SCALE = "network.", "optimizer.", "loss_scale"


def named_tensors(
    network: ClusterNetwork, state_of: Mapping[str, Tensors], scale: LossScale | None
) -> dict[str, Tensor]:
    """Copies of everything on the CPU.

    Args:
        network: Whole on this rank.
        state_of: Optimizer state of each parameter, by its name in the network.
        scale: Of the loss, under float16.
    """
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for parameter, state in state_of.items():
        tensors |= {f"{_OPTIMIZER}{parameter}/{key}": value for key, value in state.items()}
    if scale:
        tensors[_LOSS_SCALE] = scale.state()
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}


def load_network(network: ClusterNetwork, tensors: Tensors, scale: LossScale | None) -> None:
    """Parameters, buffers and loss scale, in place.

    Raises:
        DataError: When the tensors belong to another network.
    """
    weights = {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise DataError("the checkpoint holds another network; was the configuration changed?") from None
    if scale and _LOSS_SCALE in tensors:
        scale.load(tensors[_LOSS_SCALE])


@torch.no_grad()
def saved_state(tensors: Tensors, parameter: str, fresh: Tensors) -> dict[str, Tensor]:
    """Optimizer state of one parameter: what was saved under the keys of its fresh state, else that.

    Another kind of optimizer has other keys and so starts afresh.

    Raises:
        DataError: When a shape differs.
    """
    state = {}
    for key, start in fresh.items():
        saved = tensors.get(f"{_OPTIMIZER}{parameter}/{key}", start)
        if saved.shape != start.shape:
            raise DataError(f"the checkpoint's optimizer state of {parameter} has another shape")
        state[key] = saved.to(start, copy=True)
    return state
