"""The normalizations: over the global batch of all ranks, on gloo and NCCL alike, or of each scan for itself.

Why batch and not instance normalization: instance normalization subtracts each scan's own mean and so erases the mean
lung density, the very signal of emphysema. Why not torch's: ``SyncBatchNorm`` refuses CPU tensors, and statistics of
one rank's few scans change the loss with the number of ranks.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from dcam_dist.models.checkpointing import is_recomputing
from dcam_dist.models.normalize import Moments, Scope, moments, normalize
from dcam_dist.models.passes import BY_SLABS, Passes

EPS = 1e-5


class GlobalBatchNorm3d(nn.Module):
    """Batch normalization over the cases of all ranks and their voxels (Ioffe & Szegedy 2015).

    In training the mean and the biased variance of the global batch normalize; in evaluation the running statistics do.
    Statistics are float32 whatever the input's type, and the output has the input's type.

    Attributes:
        running_mean: (C,) float32, identical on all ranks.
        running_var: (C,) float32, unbiased.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, momentum: float, passes: Passes = BY_SLABS) -> None:
        super().__init__()
        self.momentum, self.scope = momentum, Scope(False, _sum_over_ranks, passes, EPS)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x_BCDHW: Tensor, *, relu: bool = False) -> Tensor:
        """Normalize; every rank must call this the same number of times while training."""
        if not self.training:
            y = F.batch_norm(x_BCDHW, self.running_mean, self.running_var, self.weight, self.bias, eps=EPS)
            return y.relu_() if relu else y
        of = moments(x_BCDHW, self.scope)
        if not is_recomputing():
            self._track(of)
        return normalize(x_BCDHW, self.weight, self.bias, of, self.scope, relu=relu)

    @torch.no_grad()
    def _track(self, of: Moments) -> None:
        mean_C, var_C = of.mean_GC[0], of.var_GC[0]
        unbiased_C = var_C * (of.count / (of.count - 1).clamp_min(1)).to(var_C.dtype)
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(unbiased_C, self.momentum)


class InstanceNorm3d(nn.Module):
    """Instance normalization (Ulyanov 2016): each channel of each scan by its own statistics, also in evaluation.

    Statistics are float32 whatever the input's type, and the output has the input's type. There are no buffers.
    """

    def __init__(self, channels: int, *, passes: Passes = BY_SLABS) -> None:
        super().__init__()
        self.scope = Scope(True, _sum_over_nobody, passes, EPS)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCDHW: Tensor, *, relu: bool = False) -> Tensor:
        """Normalize each scan for itself."""
        return normalize(x_BCDHW, self.weight, self.bias, moments(x_BCDHW, self.scope), self.scope, relu=relu)


def global_moments(x_BCDHW: Tensor) -> Moments:
    """Moments over the batch of all ranks, the same on all of them."""
    return moments(x_BCDHW, Scope(False, _sum_over_ranks, BY_SLABS, EPS))


def _sum_over_ranks(sums: Tensor) -> None:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(sums, group=_group)


def _sum_over_nobody(sums: Tensor) -> None:
    """One scan's statistics are complete."""


_group: dist.ProcessGroup | None = None


def use_statistics_group(group: dist.ProcessGroup | None) -> None:
    """The group that sums statistics; ``None`` for the default one.

    It should be a group of its own: in the backward pass the gradients' all-reduces are under way in the default one.
    """
    global _group  # noqa: PLW0603
    _group = group
