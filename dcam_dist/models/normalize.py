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
    """Statistics of some features.

    Attributes:
        mean_C: float32.
        var_C: float32, biased.
        count: Values per channel, a float64 scalar.
    """

    mean_C: Tensor
    var_C: Tensor
    count: Tensor


@dataclass(frozen=True)
class Scope:
    """Over whom a normalization's sums go, and how they are taken.

    Attributes:
        exchange: Sums a tensor in place over all who share the statistics.
        passes: How the passes over the features are run.
        eps: Added to the variance.
    """

    exchange: Callable[[Tensor], None]
    passes: Passes
    eps: float


@torch.no_grad()
def moments(x_BCDHW: Tensor, scope: Scope) -> Moments:
    """Moments over the batch and the voxels of all who share the statistics.

    Each contributes its count n, n·mean and n·(variance + mean²), summed in float64 so that the difference of large
    sums keeps its digits; the sum does not need equal counts.
    """
    sums_2C = scope.passes.total(_moment_sums, (x_BCDHW,))
    sums = torch.cat([sums_2C, sums_2C.new_tensor([x_BCDHW.numel() / x_BCDHW.shape[1]])])
    scope.exchange(sums)
    count = sums[-1]
    first_C, second_C = (sums[:-1] / count).chunk(2)
    return Moments(first_C.float(), (second_C - first_C.square()).clamp_min(0).float(), count)


def normalize(
    x_BCDHW: Tensor, weight_C: Tensor, bias_C: Tensor, of: Moments, scope: Scope, *, relu: bool = False
) -> Tensor:
    """Normalize by the moments that x had a part in; the result has the type of x.

    Its backward pass sums its own two moments over all who share the statistics. The parameters' gradients stay local:
    the engine adds them up over the ranks like all others.
    """
    y_BCDHW: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
        x_BCDHW, weight_C, bias_C, of.mean_C, of.var_C, of.count, scope, relu
    )
    return y_BCDHW


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Tensor:
        mean, var, count, scope, relu = rest
        y: Tensor = scope.passes.whole(_output, (x,), mean, var, weight, bias, scope.eps, relu)
        ctx.save_for_backward(x, y if relu else None, weight, mean, var, count)
        ctx.scope = scope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, var, count = ctx.saved_tensors
        scope: Scope = ctx.scope
        volumes = (x, grad) if y is None else (x, grad, y)
        sums_2C = scope.passes.total(
            _gradient_sums if y is None else _gradient_sums_relu, volumes, mean, var, scope.eps
        )
        grad_weight, grad_bias = sums_2C.float().chunk(2)
        scope.exchange(sums_2C)
        towards_x_hat, towards_one = (sums_2C / count).float().chunk(2)
        inverse_std = torch.rsqrt(var + scope.eps)
        vectors = mean, inverse_std * towards_x_hat, towards_one, inverse_std * weight
        grad_x = scope.passes.mapped(_gradient if y is None else _gradient_relu, volumes, *vectors)
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
