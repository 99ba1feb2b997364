"""One optimizer for the network and its head, the same under every engine."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dcam_dist.config.schema import OptimizerConfig
from dcam_dist.models import ClusterNetwork

Group = Mapping[str, Any]


def build_optimizer(network: ClusterNetwork, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """One optimizer with the body and the head as its two groups, its state written out."""
    body: dict[str, Any] = {"params": list(network.body.parameters()), "lr": settings.lr}
    head: dict[str, Any] = {"params": list(network.head.parameters()), "lr": settings.head_lr}
    optimizer: torch.optim.Optimizer
    if settings.name == "adam":
        optimizer = torch.optim.Adam([body, head], weight_decay=settings.weight_decay)
    else:
        groups = [{**body, "momentum": settings.momentum}, {**head, "momentum": 0.0}]
        optimizer = torch.optim.SGD(groups, lr=settings.lr, weight_decay=settings.weight_decay)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Make the learning rate of each group ``rate`` times the configured one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["initial_lr"]


def fresh_state(group: Group, parameter: Tensor) -> dict[str, Tensor]:
    """What an optimizer knows of a parameter before its first step, written out.

    torch writes it at the first step. Written out beforehand the numbers are the same, and a state has the same names
    whether a parameter was stepped or not.
    """
    if "betas" in group:
        moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
        return {"step": torch.tensor(0.0), **moments}
    return {"momentum_buffer": torch.zeros_like(parameter)} if group["momentum"] else {}


def forget(optimizer: torch.optim.Optimizer) -> None:
    """Make the state of every parameter a fresh one."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = fresh_state(group, parameter)


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Size of the optimizer's state on this rank."""
    return sum(value.nbytes for state in optimizer.state.values() for value in state.values())
