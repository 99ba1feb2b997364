"""The learning rates over a run, as a function of how far it has come: nothing to save, nothing to restore."""

import math

from dcam_dist.config.schema import OptimizerConfig


def rate_factor(settings: OptimizerConfig, epochs_done: float, epochs: int) -> float:
    """What both learning rates are multiplied with.

    Args:
        settings: Schedule and warm-up.
        epochs_done: Epochs trained so far, with a fraction for the steps of the one in hand.
        epochs: Of the whole run.

    Returns:
        Above 0 and at most 1. The warm-up rises linearly and is not 0 at the first step; ``cosine`` is
        (1 + cos(π·t)) / 2 over the run (Loshchilov & Hutter 2017, without restarts).
    """
    factor = 1.0
    if settings.warmup_epochs > 0:
        factor = min(1.0, (epochs_done + 0.01) / (settings.warmup_epochs + 0.01))
    if settings.schedule == "cosine":
        factor *= 0.5 * (1.0 + math.cos(math.pi * epochs_done / epochs))
    return factor
