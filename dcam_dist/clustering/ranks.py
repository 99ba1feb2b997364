"""What a clustering asks of the other processes. Arrays are NumPy's: where there are no others, no torch is needed."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Ranks(Protocol):
    """The processes that cluster together, each with rows of its own; all of them call together.

    The rows of all ranks, in the order of the ranks, are the data. Where they are cut into ranks changes nothing but
    the order of sums.
    """

    @property
    def rank(self) -> int:
        """Index of this process."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over all ranks of an array of the same shape on each."""

    def all_rows(self, rows_NC: NDArray[Any]) -> NDArray[Any]:
        """Everyone's rows in the order of the ranks; ranks may have different numbers of them."""

    def first(self, values: NDArray[Any]) -> NDArray[Any]:
        """Rank 0's array; all pass one of the same shape and type."""


@dataclass(frozen=True)
class Alone:
    """One process."""

    rank: int = 0
    size: int = 1

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``Ranks``."""
        return values

    def all_rows(self, rows_NC: NDArray[Any]) -> NDArray[Any]:
        """See ``Ranks``."""
        return rows_NC

    def first(self, values: NDArray[Any]) -> NDArray[Any]:
        """See ``Ranks``."""
        return values


ALONE = Alone()
