"""The choice among the backends. Each is imported only when it is taken."""

import logging
from importlib.util import find_spec
from typing import Literal

from dcam_dist.clustering.backend import ClusterBackend
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

MANY_ROWS = 100_000
"""From here on a GPU pays for k-means on some dozens of channels."""

log = logging.getLogger(__name__)


def choose_backend(settings: ClusteringConfig, rows: int, device: str = "cpu") -> ClusterBackend:
    """The backend that the configuration names; ``auto`` decides by rows and device.

    Args:
        settings: Of the clustering.
        rows: Rows of all ranks; the same on every rank.
        device: ``cpu`` or ``cuda:N``, this rank's.

    Raises:
        EnvironmentFault: When cuML is asked for and cannot be used here.
    """
    name = _automatic(rows, device) if settings.backend == "auto" else settings.backend
    if name == "sklearn":
        from dcam_dist.clustering.sklearn_backend import SklearnBackend

        return SklearnBackend()
    if name == "torch":
        from dcam_dist.clustering.torch_backend import TorchBackend

        return TorchBackend(device)
    return _cuml(device, required=settings.backend == "cuml")


def _cuml(device: str, *, required: bool) -> ClusterBackend:
    from dcam_dist.clustering.cuml_backend import CumlBackend
    from dcam_dist.clustering.cuml_check import load_libraries

    try:
        return CumlBackend(device, load_libraries(device))
    except EnvironmentFault as fault:
        if required:
            raise
        log.warning("torch clusters: %s", fault)
        return CumlBackend(device, None)  # whether it is broken on rank 0 too decides for all ranks


def _automatic(rows: int, device: str) -> Literal["sklearn", "torch", "cuml"]:
    if rows < MANY_ROWS:
        return "sklearn"
    return "cuml" if device.startswith("cuda") and find_spec("cuml") and find_spec("cupy") else "torch"
