"""How often two cases come together when the cases are resampled (Monti et al. 2003, Machine Learning 52:91)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.model import Floats

AMBIGUOUS = 0.1, 0.9
"""Two cases are neither together nor apart when they share a cluster in a share of the resamples between these."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """The consensus matrix of some cases.

    Attributes:
        share_MM: Share, of the resamples that have drawn both cases, in which they share a cluster; NaN where none has.
        row_M: Rows of these cases among all.
    """

    share_MM: Floats
    row_M: NDArray[np.int64]

    @property
    def ambiguous_share(self) -> float:
        """Share of the pairs that are neither together nor apart (Șenbabaoğlu et al. 2014, Sci. Rep. 4:6207).

        NaN without a pair that was drawn together.
        """
        pairs = self.share_MM[np.triu_indices(len(self.share_MM), 1)]
        pairs = pairs[~np.isnan(pairs)]
        low, high = AMBIGUOUS
        return float(((pairs > low) & (pairs < high)).mean()) if len(pairs) else float("nan")


class CountedPairs:
    """Counts how often two of some cases were drawn together, and fell together."""

    def __init__(self, row_M: NDArray[np.int64]) -> None:
        self._row_M = row_M
        self._drawn_MM, self._together_MM = (np.zeros((len(row_M), len(row_M)), np.float32) for _ in range(2))

    def add(self, label_N: NDArray[np.int64], was_drawn_N: NDArray[np.bool_]) -> None:
        """Count one resample.

        Args:
            label_N: Clusters of all cases.
            was_drawn_N: Which of them it has drawn.
        """
        label_M, drawn_M = label_N[self._row_M], was_drawn_N[self._row_M]
        both_MM = np.outer(drawn_M, drawn_M)
        self._drawn_MM += both_MM
        self._together_MM += both_MM & (label_M[:, None] == label_M)

    def consensus(self) -> Consensus:
        """What was counted."""
        never_MM = np.full_like(self._drawn_MM, np.nan)
        share_MM: Floats = np.divide(self._together_MM, self._drawn_MM, out=never_MM, where=self._drawn_MM > 0)
        return Consensus(share_MM, self._row_M)
