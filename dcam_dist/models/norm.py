"""Batch normalization whose statistics span the global batch of all ranks, on gloo and NCCL alike.

Why batch and not instance normalization: instance normalization subtracts each scan's own mean and so erases the mean
lung density, the very signal of emphysema. Why not torch's: ``SyncBatchNorm`` refuses CPU tensors, and statistics of
one rank's few scans change the loss with the number of ranks.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dcam_dist.models.checkpointing import is_recomputing


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

    def __init__(self, channels: int, *, momentum: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Normalize; every rank must call this the same number of times while training."""
        if not self.training:
            return _affine(x_BCDHW, self.weight, self.bias, self.running_mean, self.running_var, self.eps)
        mean_C, var_C, count = global_moments(x_BCDHW)
        if not is_recomputing():
            self._track(mean_C, var_C, count)
        moments = mean_C, var_C, count
        y_BCDHW: Tensor = _Normalize.apply(x_BCDHW, self.weight, self.bias, *moments, self.eps)  # type: ignore[no-untyped-call]
        return y_BCDHW

    @torch.no_grad()
    def _track(self, mean_C: Tensor, var_C: Tensor, count: Tensor) -> None:
        unbiased_C = var_C * (count / (count - 1).clamp_min(1)).to(var_C.dtype)
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(unbiased_C, self.momentum)


@torch.no_grad()
def global_moments(x_BCDHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, biased variance (float32, (C,)) and count (float64, scalar) over the batch of all ranks.

    Each rank contributes its count n, n·mean and n·(variance + mean²), summed in float64 so that the difference of
    large sums keeps its digits; the sum does not need equal counts on the ranks.
    """
    var_C, mean_C = torch.var_mean(x_BCDHW.float(), dim=(0, 2, 3, 4), correction=0)
    mean_C, var_C = mean_C.double(), var_C.double()
    n = x_BCDHW.numel() / x_BCDHW.shape[1]
    sums = torch.cat([mean_C * n, (var_C + mean_C.square()) * n, mean_C.new_tensor([n])])
    _sum_over_ranks(sums)
    count = sums[-1]
    first_C, second_C = (sums[:-1] / count).chunk(2)
    return first_C.float(), (second_C - first_C.square()).clamp_min(0).float(), count


class _Normalize(torch.autograd.Function):
    """y = (x − μ)/σ·w + b with μ and σ of the global batch; the backward pass sums its two moments over all ranks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, count: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps), count)
        return _affine(x, weight, bias, mean, var, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std, count = ctx.saved_tensors
        channels = (1, -1, 1, 1, 1)
        x_hat = (x.float() - mean.view(channels)).mul_(inverse_std.view(channels))
        grad = grad.float()
        grad_bias = grad.sum(dim=(0, 2, 3, 4))
        grad_weight = torch.einsum("bcdhw,bcdhw->c", grad, x_hat)
        sums = torch.cat([grad_bias, grad_weight]).double()
        _sum_over_ranks(sums)
        mean_grad, mean_grad_x_hat = ((sums / count).float().view(2, *channels)).unbind(0)
        inner = grad.sub(mean_grad).sub_(x_hat.mul_(mean_grad_x_hat))
        grad_x = inner.mul_((weight * inverse_std).view(channels)).to(x.dtype)
        # the parameters' gradients stay local sums: the engine adds them up over the ranks like all others
        return grad_x, grad_weight, grad_bias, None, None, None, None


def _affine(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return torch.nn.functional.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)


def _sum_over_ranks(sums: Tensor) -> None:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(sums, group=_group)


_group: dist.ProcessGroup | None = None


def use_statistics_group(group: dist.ProcessGroup | None) -> None:
    """The group that sums statistics; ``None`` for the default one.

    It should be a group of its own: in the backward pass the gradients' all-reduces are under way in the default one.
    """
    global _group  # noqa: PLW0603
    _group = group
