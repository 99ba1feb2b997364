"""Dynamic loss scaling for float16, whose smallest numbers would otherwise swallow the gradients."""

import torch
from torch import Tensor

FIRST, LOWEST, HIGHEST = 2.0**16, 1.0, 2.0**24
STEPS_TO_DOUBLE = 2000


class LossScale:
    """The factor of the loss: halved when gradients overflow, doubled after many steps without (Micikevicius 2018).

    Powers of two, so scaling and its inverse round nothing.

    Attributes:
        factor: The loss is multiplied with it, the gradients are divided by it.
    """

    def __init__(self) -> None:
        self.factor = FIRST
        self._steps = 0

    @property
    def lowest(self) -> bool:
        """Whether it cannot fall further: what overflows now would overflow in float32 too."""
        return self.factor <= LOWEST

    def halve(self) -> None:
        """After gradients that overflowed."""
        self.factor, self._steps = max(LOWEST, self.factor / 2), 0

    def count_step(self) -> None:
        """After gradients that did not."""
        self._steps += 1
        if self._steps == STEPS_TO_DOUBLE:
            self.factor, self._steps = min(HIGHEST, self.factor * 2), 0

    def state(self) -> Tensor:
        """(2,) float32: the factor and the steps since it last changed."""
        return torch.tensor([self.factor, float(self._steps)])

    def load(self, state: Tensor) -> None:
        """The inverse of ``state``."""
        factor, steps = state.tolist()
        self.factor, self._steps = factor, int(steps)
