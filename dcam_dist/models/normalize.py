"""y = (x − μ)/σ·w + b and the ReLU after it, with the gradient through μ and σ; whose μ and σ is the caller's choice.

Kept for the backward pass are x and y, each in the type of the convolutions. y is the next convolution's input, which
is kept in any case, so the ReLU costs no memory of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from dcam_dist.models.passes import Passes, per_channel

_aten = torch.ops.aten
_ALL_BUT_CHANNELS = (0, 2, 3, 4)


@dataclass(frozen=True)
class Moments:
    """Statistics of some features, in one row for all cases or in one row for each (G = B).

    Attributes:
        mean_GC: float32.
        var_GC: float32, biased.
        count: Values per row and channel, a float64 scalar.
    """

    mean_GC: Tensor
    var_GC: Tensor
    count: Tensor


@dataclass(frozen=True)
class Scope:
    """Over whom a normalization's sums go, and how they are taken.

    Attributes:
        per_case: Whether each case has statistics of its own.
        exchange: Sums a tensor in place over all who share the statistics.
        passes: How the passes over the features are run.
        eps: Added to the variance.
    """

    per_case: bool
    exchange: Callable[[Tensor], None]
    passes: Passes
    eps: float

    def groups(self, x_BCDHW: Tensor) -> int:
        """Rows of the statistics."""
        return len(x_BCDHW) if self.per_case else 1


@torch.no_grad()
def moments(x_BCDHW: Tensor, scope: Scope) -> Moments:
    """Moments over the voxels of the batch, or of each case, of all who share the statistics.

    Each contributes its count n, n·mean and n·(variance + mean²), summed in float64 so that the difference of large
    sums keeps its digits; the sum does not need equal counts.
    """
    groups = scope.groups(x_BCDHW)
    sums = scope.passes.total(_moment_sums, (x_BCDHW,), (), groups).flatten()
    sums = torch.cat([sums, sums.new_tensor([x_BCDHW.numel() / x_BCDHW.shape[1] / groups])])
    scope.exchange(sums)
    count = sums[-1]
    first_GC, second_GC = (sums[:-1] / count).view(groups, -1).chunk(2, dim=1)
    return Moments(first_GC.float(), (second_GC - first_GC.square()).clamp_min(0).float(), count)


def normalize(
    x_BCDHW: Tensor, weight_C: Tensor, bias_C: Tensor, of: Moments, scope: Scope, *, relu: bool = False
) -> Tensor:
    """Normalize by the moments that x had a part in; the result has the type of x.

    Its backward pass sums its own two moments over all who share the statistics. The parameters' gradients stay local:
    the engine adds them up over the ranks like all others.
    """
    y_BCDHW: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
        x_BCDHW, weight_C, bias_C, of.mean_GC, of.var_GC, of.count, scope, relu
    )
    return y_BCDHW


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Tensor:
        mean, var, count, scope, relu = rest
        y: Tensor = scope.passes.whole(_output, (x,), (mean, var, weight[None], bias[None]), scope.eps, relu)
        ctx.save_for_backward(x, y if relu else None, weight, mean, var, count)
        ctx.scope = scope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, var, count = ctx.saved_tensors
        scope: Scope = ctx.scope
        volumes, piece = ((x, grad), _gradient_sums) if y is None else ((x, grad, y), _gradient_sums_relu)
        sums = scope.passes.total(piece, volumes, (mean, var), scope.groups(x), scope.eps)
        grad_weight, grad_bias = sums.sum(dim=0).float().chunk(2)
        scope.exchange(sums)
        towards_x_hat, towards_one = (sums / count).float().chunk(2, dim=1)
        inverse_std = torch.rsqrt(var + scope.eps)
        vectors = mean, inverse_std * towards_x_hat, towards_one, inverse_std * weight
        grad_x = scope.passes.mapped(_gradient if y is None else _gradient_relu, volumes, vectors)
        return grad_x, grad_weight, grad_bias, None, None, None, None, None


def _moment_sums(x: Tensor) -> Tensor:
    x = x.float()
    n = x.numel() / x.shape[1]
    mean = x.mean(dim=_ALL_BUT_CHANNELS)
    squares = (x - per_channel(mean)).square_().sum(dim=_ALL_BUT_CHANNELS).double()
    mean = mean.double()
    return torch.cat([mean * n, squares + mean.square() * n])


def _output(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, eps: float, relu: bool) -> Tensor:
    y = F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
    return y.relu_() if relu else y


def _gradient_sums(x: Tensor, grad: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    # ∂/∂weight and ∂/∂bias of an affine map with fixed statistics: Σ grad·x̂ and Σ grad
    wanted = [False, True, True]
    _, weight, bias = _aten.native_batch_norm_backward(
        grad, x, torch.ones_like(mean), mean, var, None, None, False, eps, wanted
    )
    return torch.cat([weight, bias]).double()


def _gradient_sums_relu(x: Tensor, grad: Tensor, y: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return _gradient_sums(x, _aten.threshold_backward(grad, y, 0), mean, var, eps)


def _gradient(x: Tensor, grad: Tensor, mean: Tensor, along: Tensor, constant: Tensor, scale: Tensor) -> Tensor:
    # scale·(grad − constant − along·(x − μ)), in float32: the vectors promote what they meet
    centred = (x - per_channel(mean)).mul_(per_channel(along))
    return (grad - per_channel(constant)).sub_(centred).mul_(per_channel(scale)).to(x.dtype)


def _gradient_relu(x: Tensor, grad: Tensor, y: Tensor, *vectors: Tensor) -> Tensor:
    return _gradient(x, _aten.threshold_backward(grad, y, 0), *vectors)
