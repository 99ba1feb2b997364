"""A step that must not be taken is taken by no rank and leaves no trace."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dcam_dist.distributed.control import meet
from dcam_dist.distributed.engine import StepOutcome
from dcam_dist.distributed.loss_scale import LossScale


class StepGuard:
    """What both engines do around a step so that a loss or gradient that is not finite changes nothing.

    Args:
        network: Its buffers, the running statistics, are moved by a forward already: they are kept from before.
        scale: Of the loss, under float16.
    """

    def __init__(self, network: nn.Module, scale: LossScale | None) -> None:
        self._buffers = list(network.buffers())
        self._kept: list[Tensor] | None = None
        self._bad_loss = torch.zeros((), dtype=torch.bool, device=next(network.parameters()).device)
        self.scale = scale

    def before_forward(self) -> None:
        """Keep the buffers as they are before the first part of a step."""
        if self._kept is None:
            self._kept = [buffer.clone() for buffer in self._buffers]

    def factor(self, loss: Tensor) -> Tensor:
        """What a loss is to be multiplied with: the loss scale, or NaN where the loss is not finite.

        Such a loss may have finite gradients. With NaN none is, on this rank, and after their exchange on every other.
        """
        finite = loss.detach().isfinite()
        self._bad_loss |= ~finite
        return torch.where(finite, self.scale.factor if self.scale else 1.0, torch.nan).to(loss.dtype)

    @torch.no_grad()
    def unscaled_norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Take the loss scale out of whole gradients, in place; their norm, float32."""
        if self.scale:
            torch._foreach_mul_(list(gradients), 1 / self.scale.factor)
        return torch.nn.utils.get_total_norm(gradients)

    def judge(self, *, overflow: Tensor) -> StepOutcome:
        """Agree on what becomes of the step; unless it is taken, the buffers are as before it. All ranks call it.

        Args:
            overflow: Bool scalar, whether a gradient of this rank is not finite.
        """
        mine = self._bad_loss + 2 * overflow.to(self._bad_loss.device)
        everyones = meet("judging a step", int(mine.item()))
        outcome = self._outcome(bad_loss=any(one & 1 for one in everyones), overflow=any(one & 2 for one in everyones))
        if outcome is not StepOutcome.TAKEN and self._kept is not None:
            for buffer, kept in zip(self._buffers, self._kept, strict=True):
                buffer.copy_(kept)
        self._kept = None
        self._bad_loss.zero_()
        return outcome

    def _outcome(self, *, bad_loss: bool, overflow: bool) -> StepOutcome:
        if not (bad_loss or overflow):
            if self.scale:
                self.scale.count_step()
            return StepOutcome.TAKEN
        if bad_loss or self.scale is None or self.scale.lowest:
            return StepOutcome.NOT_FINITE
        self.scale.halve()
        return StepOutcome.SCALED_DOWN
