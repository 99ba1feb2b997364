"""Deep clustering's trivial end: a network that gives all cases the same features, and one cluster that holds them."""

import logging

import numpy as np
from numpy.typing import NDArray

from dcam_dist.errors import DataError

log = logging.getLogger(__name__)

TELL_SHARE, STOP_SHARE = 0.90, 0.99


def refuse_collapse(label_N: NDArray[np.int64], clusters: int, epoch: int) -> None:
    """Look at how the cases are spread over the clusters; for rank 0, which clusters. Warns above ``TELL_SHARE``.

    Args:
        label_N: Cluster of each clustered case.
        clusters: How many there are.
        epoch: The epoch that the clustering opens.

    Raises:
        DataError: When one cluster holds more than ``STOP_SHARE`` of the cases.
    """
    size_K = np.bincount(label_N, minlength=clusters)
    share = size_K.max() / size_K.sum()
    if share <= TELL_SHARE:
        return
    found = f"epoch {epoch + 1}: one cluster holds {share:.0%} of the cases (sizes {'/'.join(map(str, size_K))})"
    if share > STOP_SHARE:
        raise DataError(
            f"{found}: the network gives all of them nearly the same features; lower training.optimizer.lr (a run goes "
            "on with --change training.optimizer.lr), or begin anew with another seed"
        )
    log.warning("%s", found)
