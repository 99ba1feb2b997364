"""From the configuration to an initialized network; the baseline's filters are matched to the proposed network's."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from dcam_dist.config.schema import Config, NetworkConfig
from dcam_dist.errors import UsageError
from dcam_dist.models.blocks import ConvNorm
from dcam_dist.models.checkpointing import POLICIES
from dcam_dist.models.encoder3d import Encoder3D
from dcam_dist.models.memory_format import memory_format_of
from dcam_dist.models.network import ClusterNetwork, count_parameters
from dcam_dist.models.norm import GlobalBatchNorm3d, InstanceNorm3d
from dcam_dist.models.passes import BY_SLABS, compiled_passes
from dcam_dist.models.precision import compute_dtype
from dcam_dist.models.unet3d import UNet3D

PARAMETER_TOLERANCE = 0.10


def build_network(config: Config) -> ClusterNetwork:
    """Build the network of ``config.method`` with random weights that depend on the seed alone.

    Raises:
        UsageError: When the baseline's parameters are not within 10 % of the proposed network's.
    """
    body = build_body(config.network, baseline=config.method == "baseline")
    network = ClusterNetwork(body, config.classes, POLICIES[config.network.checkpointing])
    initialize(network, torch.Generator().manual_seed(config.seed))
    return network


def build_body(settings: NetworkConfig, *, baseline: bool) -> UNet3D | Encoder3D:
    """The feature network alone, its parameters uninitialized.

    Raises:
        UsageError: While ``network.precision`` is ``auto``.
        EnvironmentFault: When ``network.compile`` finds no compiler.
    """
    conv = partial(
        ConvNorm,
        dtype=compute_dtype(settings),
        memory_format=partial(memory_format_of, settings),
        norm=_norm_factory(settings),
    )
    return Encoder3D(baseline_filters(settings), conv=conv) if baseline else UNet3D(settings.filters, conv=conv)


def _norm_factory(settings: NetworkConfig) -> Callable[[int], nn.Module]:
    passes = compiled_passes() if settings.compile else BY_SLABS
    if settings.norm == "instance":
        return partial(InstanceNorm3d, passes=passes)
    return partial(GlobalBatchNorm3d, momentum=settings.norm_momentum, passes=passes)


def parameter_counts(settings: NetworkConfig) -> tuple[int, int]:
    """Parameters of the proposed network and of the baseline, without their heads."""
    settings = settings.model_copy(update={"precision": "fp32", "compile": False})  # neither changes the count
    with torch.device("meta"):
        return tuple(count_parameters(build_body(settings, baseline=b)) for b in (False, True))  # type: ignore[return-value]


def baseline_filters(settings: NetworkConfig) -> int:
    """The baseline's first filters: as configured, else those that match the parameters best.

    Raises:
        UsageError: When no whole number of filters comes within 10 %.
    """
    proposed, per_square = _approximate_parameters(settings.filters)
    chosen = settings.baseline_filters or max(1, round(math.sqrt(proposed / per_square)))
    difference = per_square * chosen**2 / proposed - 1
    if abs(difference) > PARAMETER_TOLERANCE:
        raise UsageError(
            f"network.baseline_filters={chosen}: {difference:+.0%} parameters against network.filters="
            f"{settings.filters}; within ±10 % are e.g. 3 for 4, 6 for 8, 9 for 12, 12 for 16, 24 for 32"
        )
    return chosen


def _approximate_parameters(filters: int) -> tuple[int, int]:
    # weights of the 3×3×3 convolutions in units of 27: 590 f² of UNet3D, 1022 f² of Encoder3D (first layer aside)
    return 27 * 590 * filters**2, 27 * 1022


@torch.no_grad()
def initialize(network: ClusterNetwork, generator: torch.Generator) -> None:
    """He initialization with fan-in for the convolutions, DeepCluster's for the head; drawn in a fixed order."""
    for module in network.modules():
        if isinstance(module, ConvNorm):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    weight, bias = network.draw_head(generator)
    network.head.weight.copy_(weight)
    assert network.head.bias is not None  # noqa: S101
    network.head.bias.copy_(bias)
