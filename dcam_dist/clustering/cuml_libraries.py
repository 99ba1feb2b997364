"""The one module that imports cuML and CuPy. ``cuml_check`` imports it where they are to be used, and nowhere else.

Importing it takes seconds, and fails with whatever RAPIDS raises where it is broken.
"""

# isort: off
import torch  # first: its own wheel's CUDA libraries are then the ones that all share
import cupy
import cuml

# isort: on
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PCA: Any = cuml.PCA
KMeans: Any = cuml.KMeans
VERSIONS = f"cuML {cuml.__version__}, CuPy {cupy.__version__}"


def array_of(tensor: torch.Tensor) -> Any:
    """A CuPy array on a tensor's own memory."""
    return cupy.from_dlpack(tensor)


@contextmanager
def on_device(device: str) -> Iterator[None]:
    """Have CuPy and cuML work on a device: ``cuda:N``, or ``cuda`` for the present one."""
    with cupy.cuda.Device(torch.device(device).index):
        yield


def free_bytes(device: str) -> int:
    """Memory of a device that is free, once torch has given back what it only keeps at hand."""
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]
