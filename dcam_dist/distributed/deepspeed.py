"""The DeepSpeed engine: ZeRO stages 0, 1 and 2. The only file that imports deepspeed."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from dcam_dist.config.schema import TrainingConfig
from dcam_dist.distributed.context import ProcessContext, before_leaving
from dcam_dist.distributed.deepspeed_settings import read_settings
from dcam_dist.distributed.engine import StepOutcome
from dcam_dist.distributed.engine_state import load_network, named_tensors, saved_state
from dcam_dist.distributed.loss_scale import LossScale
from dcam_dist.distributed.optimizer import build_optimizer, forget, fresh_state, set_rate
from dcam_dist.distributed.step_guard import StepGuard
from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.models import ClusterNetwork, count_parameters
from dcam_dist.models.checkpointing import use_deepspeed


class DeepSpeedEngine:
    """Implements ``Engine`` with DeepSpeed, which from stage 1 on divides the optimizer's state among the ranks.

    The parameters of a group (body, head) then lie in one flat tensor, of which each rank owns a part, as float32 copy
    with its optimizer state; what a forward uses is overwritten with these copies by every step. So whoever changes a
    parameter must change both. DeepSpeed's own casts to half precision stay off: the convolutions cast where they
    compute.

    Attributes:
        network: See ``Engine``.
        optimizer: torch's; from stage 1 on of this rank's parts.

    Raises:
        EnvironmentFault: When DeepSpeed is not installed.
        UsageError: When its JSON cannot be used.
    """

    def __init__(
        self,
        network: ClusterNetwork,
        training: TrainingConfig,
        context: ProcessContext,
        scale: LossScale | None = None,
    ) -> None:
        self.network = network.to(context.device)
        path = training.deepspeed_config
        settings = read_settings(path, training, context.world_size, count_parameters(network))
        self._parted = settings["zero_optimization"]["stage"] > 0
        self._context, self._deepspeed = context, _import_deepspeed(context)
        self.optimizer = build_optimizer(self.network, training.optimizer)
        self._engine: Any = None
        before_leaving(self._close)
        self._initialize(settings, path)
        forget(self.optimizer)
        if self._parted:
            self._link_state()
        self._guard = StepGuard(self.network, scale)

    def _initialize(self, settings: dict[str, Any], path: object) -> None:
        ds = self._deepspeed
        # else it makes a group of its own, in which a hang is noticed after torch's 30 minutes and not after ours
        ds.utils.groups._WORLD_GROUP = torch.distributed.group.WORLD
        try:
            with _local_rank(self._context):
                ds.init_distributed(dist_init_required=False, verbose=False)
                self._engine, *_ = ds.initialize(
                    model=self.network, optimizer=self.optimizer, config=settings, dist_init_required=False
                )
            ds.checkpointing.configure(None, deepspeed_config=settings)
        except (ValueError, AssertionError) as error:
            raise UsageError(f"{path}: DeepSpeed refuses it: {' '.join(str(error).split())}") from None
        use_deepspeed(ds.checkpointing.checkpoint)

    def forward(self, volume_BCDHW: Tensor, lung_mask_BCDHW: Tensor, *, last: bool = True) -> Tensor:
        """See ``Engine``."""
        self._guard.before_forward()
        self._engine.set_gradient_accumulation_boundary(last)
        logits: Tensor = self._engine(volume_BCDHW, lung_mask_BCDHW)
        return logits

    def backward(self, loss: Tensor) -> None:
        """See ``Engine``."""
        self._engine.backward(loss * self._guard.factor(loss), scale_wrt_gas=False)

    def step(self, rate: float = 1.0) -> StepOutcome:
        """See ``Engine``."""
        set_rate(self.optimizer, rate)
        return self._step_parted() if self._parted else self._step_whole()

    def _step_whole(self) -> StepOutcome:
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        outcome = self._guard.judge(overflow=~self._guard.unscaled_norm(gradients).isfinite())
        if outcome is StepOutcome.TAKEN:
            self._engine.step()
        self._engine.zero_grad()
        return outcome

    def _step_parted(self) -> StepOutcome:
        zero = self._engine.optimizer
        if self._guard.scale:
            zero.override_loss_scale(self._guard.scale.factor)  # which it takes out before it clips
        self._engine.step()  # leaves everything as it is where a gradient of any rank is not finite
        zero.custom_loss_scaler = False  # the next loss is scaled here, and not once more there
        return self._guard.judge(overflow=torch.tensor(not self._engine.was_step_applied()))

    @torch.no_grad()
    def reset_head(self, generator: torch.Generator) -> None:
        """See ``Engine``; every rank draws from the same seed."""
        for name, value in zip(("weight", "bias"), self.network.draw_head(generator), strict=True):
            parameter = self.network.head.get_parameter(name)
            parameter.copy_(value)
            self._write(f"head.{name}", parameter, self._fresh(f"head.{name}", parameter))

    def state(self) -> dict[str, Tensor]:
        """See ``Engine``; whole on every rank."""
        state_of = {name: self._read(name, parameter) for name, parameter in self.network.named_parameters()}
        return named_tensors(self.network, state_of, self._guard.scale)

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """See ``Engine``.

        Raises:
            DataError: When the tensors belong to another network.
        """
        load_network(self.network, tensors, self._guard.scale)
        for name, parameter in self.network.named_parameters():
            self._write(name, parameter, saved_state(tensors, name, self._fresh(name, parameter)))

    def _group_of(self, name: str) -> dict[str, Any]:
        return self.optimizer.param_groups[int(name.startswith("head."))]

    def _fresh(self, name: str, parameter: Tensor) -> dict[str, Tensor]:
        return fresh_state(self._group_of(name), parameter)

    def _link_state(self) -> None:
        zero = self._engine.optimizer
        for parameters, flat in zip(zero.bit16_groups, zero.single_partition_of_fp32_groups, strict=True):
            self._deepspeed.utils.lazy_init_hp_params_optimizer_state(parameters, flat, self.optimizer.state)

    def _read(self, name: str, parameter: Tensor) -> dict[str, Tensor]:
        """Whole optimizer state of a parameter; collective where it is divided among the ranks."""
        if not self._parted:
            own: dict[str, Tensor] = self.optimizer.state[parameter]
            return own
        whole = self._deepspeed.utils.safe_get_full_optimizer_state
        return {
            key: self._steps_of(name) if key == "step" else whole(parameter, key)
            for key in self._fresh(name, parameter)
        }

    def _write(self, name: str, parameter: Tensor, state: dict[str, Tensor]) -> None:
        """Make a parameter's own copy what the parameter is now, and its optimizer state the one given."""
        if not self._parted:
            self.optimizer.state[parameter] = state
            return
        self._deepspeed.utils.safe_set_full_fp32_param(parameter, parameter.detach())
        for key, value in state.items():
            if key == "step":
                self._steps_of(name).copy_(value)
            else:
                self._deepspeed.utils.safe_set_full_optimizer_state(parameter, value, key)

    def _steps_of(self, name: str) -> Tensor:
        (flat,) = self._group_of(name)["params"]
        steps: Tensor = self.optimizer.state[flat]["step"]
        return steps

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.destroy()
            self._engine = None
        use_deepspeed(None)
        for parameter in self.network.parameters():
            # DeepSpeed hangs its own things on the parameters, the process group among them
            for name in list(vars(parameter)):
                delattr(parameter, name)
        self._deepspeed.utils.groups._release_process_group_references()


def _import_deepspeed(context: ProcessContext) -> ModuleType:
    if context.device == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    try:
        import deepspeed
    except ImportError:
        raise EnvironmentFault(
            "training.engine=deepspeed needs the package deepspeed: pip install 'dcam-dist[deepspeed]'"
        ) from None
    # its all-reduce in shared memory would be compiled first, for a minute, by a compiler that a node may not have
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.utils.logger.setLevel("ERROR")
    warnings.filterwarnings("ignore", ".*all_gather_into_tensor.*", FutureWarning)  # its call, on every rank
    module: ModuleType = deepspeed
    return module


@contextmanager
def _local_rank(context: ProcessContext) -> Iterator[None]:
    """DeepSpeed reads the local rank from the environment, where not every launcher puts it."""
    before = os.environ.get("LOCAL_RANK")
    os.environ["LOCAL_RANK"] = str(context.local_rank)
    try:
        yield
    finally:
        del os.environ["LOCAL_RANK"]
        if before is not None:
            os.environ["LOCAL_RANK"] = before
