"""How much each grade's loss weighs in supervised training."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def class_weights(
    grade_N: NDArray[np.int64], classes: int, mode: Literal["none", "balanced"]
) -> NDArray[np.float32] | None:
    """The weight of each grade in the cross entropy.

    ``balanced`` is w_k = N / (K' n_k) with the K' grades that occur (King & Zeng 2001, Political Analysis 9:137, in
    scikit-learn's form). The weights of the N training cases then have a mean of 1, so a step divides the weighted
    sum by the size of the global batch: on average over batches, its gradient is that of the weighted mean over all
    cases. Divided by the sum of the batch's own weights, as torch's mean does, they would cancel in every batch of one
    grade, as many small batches are.

    Args:
        grade_N: The training cases' grades, int64; negative ones are not counted.
        classes: Number of grades, K.
        mode: ``none`` or ``balanced``.

    Returns:
        Weights of shape (K,), 0 for a grade without a case; ``None`` where every case weighs the same.
    """
    if mode == "none":
        return None
    count_K = np.bincount(grade_N[grade_N >= 0], minlength=classes)
    present_K = count_K > 0
    weight_K = np.zeros(classes, dtype=np.float32)
    weight_K[present_K] = count_K.sum() / (present_K.sum() * count_K[present_K])
    return weight_K
