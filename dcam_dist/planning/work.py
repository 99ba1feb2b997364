"""Floating-point operations of a step, counted operator by operator on tensors that have only shapes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from dcam_dist.config import Config
from dcam_dist.models import build_network
from dcam_dist.models.device_kind import as_if_on
from dcam_dist.planning.step_memory import make_inputs
from dcam_dist.profiling.storages import TrafficMeter


@dataclass(frozen=True)
class Work:
    """Operations of the convolutions for one case; a multiplication and an addition are two.

    Attributes:
        extract: Forward pass alone.
        train: Forward and backward pass, with what the checkpointing policy computes again.
        moved: Bytes that the operators of these two passes read and write.
    """

    extract: float
    train: float
    moved: float


def work_of_a_case(config: Config, kind: Literal["cpu", "cuda"] = "cuda") -> Work:
    """Count it; a second or a few.

    Args:
        config: Network and grid.
        kind: Of device for which it is laid out: the bytes moved depend on it, the operations do not.
    """
    return _work(config.model_dump_json(), kind)


@lru_cache
def _work(config_json: str, kind: str) -> Work:
    config = Config.model_validate_json(config_json)
    with FakeTensorMode(), as_if_on(kind):
        network, (volume_BCDHW, mask_BCDHW, target_B) = build_network(config), make_inputs(config, 1)
        with FlopCounterMode(display=False) as forward, torch.no_grad():
            network.eval()(volume_BCDHW, mask_BCDHW)
        with FlopCounterMode(display=False) as both, TrafficMeter() as traffic:
            F.cross_entropy(network.train()(volume_BCDHW, mask_BCDHW), target_B).backward()  # type: ignore[no-untyped-call]
    return Work(float(forward.get_total_flops()), float(both.get_total_flops()), float(traffic.moved_bytes))
