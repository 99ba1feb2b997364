"""The default engine: PyTorch's DistributedDataParallel over gloo or NCCL."""

import warnings
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcam_dist.config.schema import TrainingConfig
from dcam_dist.distributed.context import ProcessContext, before_leaving
from dcam_dist.distributed.engine import StepOutcome
from dcam_dist.distributed.engine_state import load_network, named_tensors, saved_state
from dcam_dist.distributed.loss_scale import LossScale
from dcam_dist.distributed.optimizer import build_optimizer, forget, fresh_state, set_rate
from dcam_dist.distributed.step_guard import StepGuard
from dcam_dist.models import ClusterNetwork


class DdpEngine:
    """Implements ``Engine`` with replicated parameters.

    Buffers are not broadcast: the running statistics come from the global batch and are equal on all ranks anyway.

    Attributes:
        network: See ``Engine``.
        optimizer: torch's, the same on every rank.
    """

    def __init__(
        self,
        network: ClusterNetwork,
        training: TrainingConfig,
        context: ProcessContext,
        scale: LossScale | None = None,
    ) -> None:
        self.network = network.to(context.device)
        self._clip_norm = training.clip_norm
        self.optimizer = build_optimizer(self.network, training.optimizer)
        forget(self.optimizer)
        self._guard = StepGuard(self.network, scale)
        self._replica: DistributedDataParallel | None = _replicate(self.network)
        before_leaving(self._close)

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor, *, last: bool = True) -> Tensor:
        """See ``Engine``."""
        assert self._replica is not None, "the processes have been left"  # noqa: S101
        self._guard.before_forward()
        # whether the backward pass exchanges gradients is decided by the forward pass
        with nullcontext() if last else self._replica.no_sync():
            logits: Tensor = self._replica(volume_BCDHW, lung_mask_BCDHW)
        return logits

    def _close(self) -> None:
        self._replica = None

    def backward(self, loss: Tensor) -> None:
        """See ``Engine``."""
        (loss * self._guard.factor(loss)).backward()  # type: ignore[no-untyped-call]

    def step(self, rate: float = 1.0) -> StepOutcome:
        """See ``Engine``."""
        parameters = list(self.network.parameters())
        norm = self._guard.unscaled_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        outcome = self._guard.judge(overflow=~norm.isfinite())
        if outcome is StepOutcome.TAKEN:
            if self._clip_norm is not None:
                torch.nn.utils.clip_grads_with_norm_(parameters, self._clip_norm, norm)
            set_rate(self.optimizer, rate)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)  # the gradients are views into the engine's buckets
        return outcome

    @torch.no_grad()
    def reset_head(self, generator: torch.Generator) -> None:
        """See ``Engine``; every rank draws from the same seed."""
        head = self.network.head.parameters()
        for parameter, value in zip(head, self.network.draw_head(generator), strict=True):
            parameter.copy_(value)
            self.optimizer.state[parameter] = fresh_state(self._group_of(parameter), parameter)

    def state(self) -> dict[str, Tensor]:
        """See ``Engine``; whole on every rank."""
        state_of = {name: self.optimizer.state[parameter] for name, parameter in self.network.named_parameters()}
        return named_tensors(self.network, state_of, self._guard.scale)

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """See ``Engine``.

        Raises:
            DataError: When the tensors belong to another network.
        """
        load_network(self.network, tensors, self._guard.scale)
        for name, parameter in self.network.named_parameters():
            fresh = fresh_state(self._group_of(parameter), parameter)
            self.optimizer.state[parameter] = saved_state(tensors, name, fresh)

    def _group_of(self, parameter: Tensor) -> dict[str, object]:
        groups = self.optimizer.param_groups
        return next(group for group in groups if any(parameter is other for other in group["params"]))


class _Rehearsed(nn.Module):
    """The network; without inputs, a zero whose backward pass visits the parameters from the last to the first."""

    def __init__(self, network: ClusterNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        if inputs:
            logits: Tensor = self.network(*inputs)
            return logits
        return torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0.0


def _replicate(network: ClusterNetwork) -> DistributedDataParallel:
    with warnings.catch_warnings():
        # newer releases rename broadcast_buffers, older ones know no other name
        warnings.simplefilter("ignore", FutureWarning)
        replica = DistributedDataParallel(_Rehearsed(network), broadcast_buffers=False, gradient_as_bucket_view=True)
    # After its first backward pass DDP makes its buckets anew, in the order in which the gradients came; from three
    # ranks on sums are then taken in another order. Let that be over before the first step, or a resumed run would
    # differ from an uninterrupted one in the last digits.
    replica().backward()
    return replica
