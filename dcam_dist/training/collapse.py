"""Deep clustering's trivial end: a network that gives all cases the same features, and one cluster that holds them."""

import logging

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import Collapsed, DataError
from dcam_dist.runs.metrics_lines import CROWDED_SHARE

log = logging.getLogger(__name__)

STOP_SHARE = 0.99


def refuse_collapse(size_K: NDArray[np.int64], epoch: int, *, tell: bool) -> None:
    """Look at how the cases are spread over the clusters. Warns above ``CROWDED_SHARE``.

    Args:
        size_K: Cases of each cluster.
        epoch: The epoch that the clustering opens.
        tell: Whether this rank warns.

    Raises:
        DataError: When one cluster holds more than ``STOP_SHARE`` of the cases under the first, random weights.
        Collapsed: When it does so later; what to do depends on the checkpoints that are left.
    """
    share = size_K.max() / size_K.sum()
    if share <= CROWDED_SHARE:
        return
    found = f"epoch {epoch + 1}: one cluster holds {share:.0%} of the cases (sizes {'/'.join(map(str, size_K))})"
    if share > STOP_SHARE and epoch == 0:
        raise DataError(
            f"{found}: the untrained network gives all of them nearly the same features; look at the volumes (the "
            "cohort's quality.html, data.window_hu), or begin anew with --fresh and another seed"
        )
    if share > STOP_SHARE:
        raise Collapsed(f"{found}: the network gives all of them nearly the same features")
    if tell:
        log.warning("%s", found)
