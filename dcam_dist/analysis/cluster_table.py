"""``clusters.csv``: where cases stand among the clusters, a line a case."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcam_dist.clustering.axes import Doubles
from dcam_dist.clustering.outliers import LEVEL
from dcam_dist.clustering.placing import Placement
from dcam_dist.runs.run_config import replace_file

COLUMNS = ("case_id", "cluster", "distance", "margin", "p_value", "outlier")


@dataclass(frozen=True, eq=False)
class ClusterTable:
    """Cases among the clusters.

    Attributes:
        case_id_N: The cases.
        placed: Where they stand.
        p_value_N: How usual they are among the training rows; ``None`` where that is not known.
        smallest_p: No p-value can be smaller.
        level: From which p-value down a case is an outlier.
    """

    case_id_N: tuple[str, ...]
    placed: Placement
    p_value_N: Doubles | None
    smallest_p: float
    level: float = LEVEL

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Whether each case is one; none where that is not known."""
        none = np.zeros(len(self.case_id_N), dtype=np.bool_)
        return none if self.p_value_N is None else self.p_value_N <= self.level

    def write(self, path: Path) -> None:
        """Write the table; clusters are counted from 1, and what is not known is left empty.

        Raises:
            OSError: When it cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        writer.writerows(self._row(row) for row in range(len(self.case_id_N)))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.getvalue().encode())

    def outliers_in_words(self) -> str:
        """How many there are, and what cannot be found out from so few training rows."""
        if self.p_value_N is None:
            return "outliers: not known, the clustering holds no rule for them"
        found = f"outliers: {self.flagged.sum()} of {len(self.case_id_N)} at level {self.level:g}"
        if self.smallest_p > self.level:
            rows = round(1 / self.smallest_p) - 1
            return f"{found}; with {rows} training rows no p-value is below {self.smallest_p:.3g}, so none can be found"
        return found

    def _row(self, row: int) -> Sequence[str | int]:
        known = self.p_value_N is not None
        return (
            self.case_id_N[row],
            int(self.placed.label_N[row]) + 1,
            f"{self.placed.distance_N[row]:.6g}",
            f"{self.placed.margin_N[row]:.6g}",
            f"{self.p_value_N[row]:.6g}" if self.p_value_N is not None else "",
            int(self.flagged[row]) if known else "",
        )
