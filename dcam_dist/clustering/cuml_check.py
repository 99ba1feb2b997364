"""Whether cuML can be used here. RAPIDS breaks in many ways, most of them at its first use, so it is tried out."""

from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from dcam_dist.clustering.nvidia_driver import DRIVER, driver_version
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

NEEDED = "extra gpu-cu13 (NVIDIA driver 580 or newer) or gpu-cu12 (535 or newer)"


class Libraries(Protocol):
    """What the backend takes from cuML and CuPy; the module ``cuml_libraries`` is one."""

    PCA: Any
    KMeans: Any
    VERSIONS: str

    def array_of(self, tensor: Tensor) -> Any:
        """A CuPy array on a tensor's own memory."""

    def on_device(self, device: str) -> AbstractContextManager[None]:
        """Have both work on a device."""

    def free_bytes(self, device: str) -> int:
        """Memory of a device that is free."""


def new_pca(libraries: Libraries, components: int) -> Any:
    """A PCA by the eigenvectors of the covariance."""
    return libraries.PCA(n_components=components, svd_solver="full", whiten=False, output_type="cupy")


def new_kmeans(libraries: Libraries, settings: ClusteringConfig, seed: int) -> Any:
    """A k-means as configured."""
    return libraries.KMeans(
        n_clusters=settings.clusters,
        init="random" if settings.init == "random" else "scalable-k-means++",
        n_init=settings.restarts,
        max_iter=settings.iterations,
        random_state=seed,
        output_type="cupy",
    )


def load_libraries(device: str) -> Libraries:
    """Import cuML and CuPy and try both out on a device; takes some seconds.

    Raises:
        EnvironmentFault: With what is missing or broken, what was found and what to do.
    """
    if not device.startswith("cuda"):
        raise EnvironmentFault(_line("this process has no CUDA device"))
    missing = [name for name in ("cuml", "cupy") if find_spec(name) is None]
    if missing:
        raise EnvironmentFault(_line(f"{' and '.join(missing)} not installed"))
    try:
        from dcam_dist.clustering import cuml_libraries

        try_out(cuml_libraries, device)
    except Exception as error:  # RAPIDS raises what it likes
        raise EnvironmentFault(_line(f"it is installed, but fails: {in_one_line(error)}")) from error
    return cuml_libraries


def try_out(libraries: Libraries, device: str) -> None:
    """Run a PCA and a k-means of a few rows, with all that the backend asks of them."""
    settings = ClusteringConfig(clusters=2, restarts=1, iterations=2)
    with libraries.on_device(device):
        rows_CN = torch.eye(2, 8, device=device)
        new_pca(libraries, 2).fit(libraries.array_of(rows_CN.T))
        new_kmeans(libraries, settings, 0).fit(libraries.array_of(rows_CN.T.contiguous()))


def in_one_line(error: Exception) -> str:
    """The first words of an error."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__


def _line(problem: str) -> str:
    return (
        f"cuML cannot be used: {problem}; it needs the {NEEDED}, found are {_found()}; "
        "install what is missing or set clustering.backend=torch"
    )


def _found() -> str:
    return ", ".join([f"torch {torch.__version__}", _driver(), *_packages()])


def _driver() -> str:
    version = driver_version(DRIVER)
    if version is None:
        return "no NVIDIA driver"
    return f"NVIDIA driver {version}" if version else "an NVIDIA driver of unknown version"


def _packages() -> list[str]:
    found = []
    for name in ("cuml-cu13", "cuml-cu12", "cupy-cuda13x", "cupy-cuda12x"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found
