"""Which engine a configuration asks for."""

from dcam_dist.config.schema import NetworkConfig, TrainingConfig
from dcam_dist.distributed.context import ProcessContext
from dcam_dist.distributed.ddp import DdpEngine
from dcam_dist.distributed.engine import Engine
from dcam_dist.distributed.loss_scale import LossScale
from dcam_dist.errors import UsageError
from dcam_dist.models import ClusterNetwork


def build_engine(
    network: ClusterNetwork, training: TrainingConfig, settings: NetworkConfig, context: ProcessContext
) -> Engine:
    """The engine of ``training.engine`` around a network; all ranks call it.

    Args:
        network: On any device; moved to the context's.
        training: Engine, optimizer, parts, clipping.
        settings: The network's: fp16 needs loss scaling, DeepSpeed's activation checkpointing needs DeepSpeed.
        context: This process.

    Raises:
        UsageError: When the settings do not fit together, or DeepSpeed's JSON cannot be used.
        EnvironmentFault: When DeepSpeed is asked for and not installed.
    """
    scale = LossScale() if settings.precision == "fp16" else None
    if training.engine == "deepspeed":
        from dcam_dist.distributed.deepspeed import DeepSpeedEngine

        return DeepSpeedEngine(network, training, context, scale)
    if settings.checkpointing == "deepspeed":
        raise UsageError(
            "network.checkpointing=deepspeed needs training.engine=deepspeed; with ddp choose block, conv or offload"
        )
    if training.deepspeed_config is not None:
        raise UsageError(
            f"training.deepspeed_config={training.deepspeed_config} needs training.engine=deepspeed; or leave it out"
        )
    return DdpEngine(network, training, context, scale)
