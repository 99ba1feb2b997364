"""The default engine: PyTorch's DistributedDataParallel over gloo or NCCL."""

import warnings

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from dcam_dist.config.schema import OptimizerConfig, TrainingConfig
from dcam_dist.distributed.context import ProcessContext, before_leaving
from dcam_dist.errors import DataError
from dcam_dist.models import ClusterNetwork


class DdpEngine:
    """Implements ``Engine`` with replicated parameters.

    Buffers are not broadcast: the running statistics come from the global batch and are equal on all ranks anyway.
    """

    def __init__(self, network: ClusterNetwork, training: TrainingConfig, context: ProcessContext) -> None:
        self.network = network.to(context.device)
        self._clip_norm = training.clip_norm
        self._optimizer = build_optimizer(self.network, training.optimizer)
        with warnings.catch_warnings():
            # newer releases rename broadcast_buffers, older ones know no other name
            warnings.simplefilter("ignore", FutureWarning)
            replica = DistributedDataParallel(self.network, broadcast_buffers=False, gradient_as_bucket_view=True)
        self._replica: DistributedDataParallel | None = replica
        before_leaving(self._close)

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor) -> Tensor:
        """See ``Engine``."""
        assert self._replica is not None, "the processes have been left"  # noqa: S101
        logits: Tensor = self._replica(volume_BCDHW, lung_mask_BCDHW)
        return logits

    def _close(self) -> None:
        self._replica = None

    def backward(self, loss: Tensor) -> None:
        """See ``Engine``."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """See ``Engine``."""
        if self._clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)  # the gradients are views into the engine's buckets

    @torch.no_grad()
    def reset_head(self, generator: torch.Generator) -> None:
        """See ``Engine``; every rank draws from the same seed."""
        weight, bias = self.network.draw_head(generator)
        for parameter, value in zip(self.network.head.parameters(), (weight, bias), strict=True):
            parameter.copy_(value)
            self._optimizer.state.pop(parameter, None)

    def state(self) -> dict[str, Tensor]:
        """See ``Engine``."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"optimizer.{name}/{key}"] = value
        return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """See ``Engine``.

        Raises:
            DataError: When the tensors belong to another network.
        """
        weights = _with_prefix(tensors, "network.")
        try:
            self.network.load_state_dict(weights)
        except RuntimeError:
            raise DataError("the checkpoint holds another network; was the configuration changed?") from None
        parameters = dict(self.network.named_parameters())
        for name, value in _with_prefix(tensors, "optimizer.").items():
            parameter_name, key = name.rsplit("/", 1)
            parameter = parameters[parameter_name]
            target = value if key == "step" else value.to(parameter.device)
            self._optimizer.state[parameter][key] = target.clone()


def build_optimizer(network: ClusterNetwork, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """One optimizer with the body and the head as its two groups."""
    body = {"params": list(network.body.parameters()), "lr": settings.lr}
    head = {"params": list(network.head.parameters()), "lr": settings.head_lr}
    if settings.name == "adam":
        return torch.optim.Adam([body, head], weight_decay=settings.weight_decay)
    groups = [{**body, "momentum": settings.momentum}, {**head, "momentum": 0.0}]
    return torch.optim.SGD(groups, lr=settings.lr, weight_decay=settings.weight_decay)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
