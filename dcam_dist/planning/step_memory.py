"""What one training step holds in memory, predicted: the step itself is run on tensors that have only shapes."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from dcam_dist.config import Config
from dcam_dist.distributed.optimizer import build_optimizer, forget
from dcam_dist.models import build_network
from dcam_dist.models.checkpointing import POLICIES
from dcam_dist.models.device_kind import as_if_on
from dcam_dist.profiling.storages import StorageMeter


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a training step holds on one device, by part.

    What an allocator rounds up and what a library needs inside an operator is not in it.

    Attributes:
        parameters: And the running statistics.
        gradients: Views into DDP's buckets: they stay.
        optimizer: Its state.
        inputs: Volumes and lung masks.
        retained: What the forward pass keeps for the backward pass.
        working: What is held beyond all of the above at the worst moment.
    """

    parameters: int
    gradients: int
    optimizer: int
    inputs: int
    retained: int
    working: int

    @property
    def peak(self) -> int:
        """The most that is held at once."""
        return self.parameters + self.gradients + self.optimizer + self.inputs + self.retained + self.working


def predict_step(config: Config, cases: int, kind: Literal["cpu", "cuda"]) -> StepMemory:
    """The memory of one step of one rank, DDP engine.

    Args:
        config: Network, grid, optimizer.
        cases: Of one part of a global batch on this rank.
        kind: For which kind of device it is laid out.

    Returns:
        The parts; a second or two to compute, whatever the size.
    """

    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = build_network(config)
        if config.network.checkpointing == "offload" and kind == "cuda":
            network.policy = replace(POLICIES["offload"], keeping=_kept_elsewhere)
        optimizer = build_optimizer(network, config.training.optimizer)
        forget(optimizer)
        return network, optimizer

    return predict_step_of(build, config, cases, kind)


def predict_extraction(config: Config, kind: Literal["cpu", "cuda"]) -> int:
    """Bytes that the extraction of one whole grid holds at once, with the parameters."""
    whole = config.model_copy(update={"data": config.data.model_copy(update={"patch": None})})
    with FakeTensorMode(), StorageMeter() as meter, as_if_on(kind), torch.no_grad():
        network, (volume_BCDHW, mask_BCDHW, _) = build_network(whole).eval(), make_inputs(whole, 1)
        network.pooled_features(volume_BCDHW, mask_BCDHW)
        peak: int = meter.peak_bytes
    return peak


def predict_step_of(
    build: Callable[[], tuple[nn.Module, torch.optim.Optimizer]],
    config: Config,
    cases: int,
    kind: Literal["cpu", "cuda"],
) -> StepMemory:
    """The same of any network.

    Args:
        build: Makes a network that gives logits of (volumes, lung masks), and its optimizer.
        config: Grid and number of classes.
        cases: Volumes of the step.
        kind: For which kind of device it is laid out.
    """
    with FakeTensorMode(), StorageMeter() as meter, as_if_on(kind):
        network, optimizer = build()
        return _held_by_parts(network, optimizer, make_inputs(config, cases), meter)


def make_inputs(config: Config, cases: int) -> tuple[Tensor, Tensor, Tensor]:
    """Volumes, lung masks and labels of a step; random."""
    shape = (cases, 1, *(config.data.patch or config.grid.shape))
    generator = torch.Generator().manual_seed(config.seed)
    volume_BCDHW = torch.rand(shape, generator=generator)
    return volume_BCDHW, torch.ones(shape, dtype=torch.bool), torch.arange(cases) % config.classes


def _held_by_parts(
    network: nn.Module, optimizer: torch.optim.Optimizer, inputs: tuple[Tensor, ...], meter: StorageMeter
) -> StepMemory:
    volume_BCDHW, mask_BCDHW, target_B = inputs
    parameters = _bytes_of([*network.parameters(), *network.buffers()])
    state = _bytes_of(value for one in optimizer.state.values() for value in one.values())
    given = _bytes_of(inputs)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients = _bytes_of(parameter.grad for parameter in network.parameters() if parameter.grad is not None)
    before = meter.held_bytes
    meter.forget_peak()
    loss = F.cross_entropy(network(volume_BCDHW, mask_BCDHW), target_B)
    retained = meter.held_bytes - before
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    working = meter.peak_bytes - before - retained
    return StepMemory(parameters, gradients, state, given, retained, working)


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _kept_elsewhere() -> AbstractContextManager[object]:
    """As ``models.offload`` on a GPU: what autograd keeps is in main memory until the backward pass asks for it."""
    return saved_tensors_hooks(_put_away, lambda bring_back: bring_back())


def _put_away(tensor: Tensor) -> Callable[[], Tensor]:
    if isinstance(tensor, torch.nn.Parameter):
        return lambda: tensor
    shape, stride, dtype = tensor.shape, tensor.stride(), tensor.dtype
    return lambda: torch.empty_strided(shape, stride, dtype=dtype)
