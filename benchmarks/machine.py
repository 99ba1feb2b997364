"""What the figures were made on and with, and how many cores they may use."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers import find

PACKAGES = (
    "dcam-dist",
    "torch",
    "zarr",
    "numcodecs",
    "dask",
    "numpy",
    "scikit-learn",
    "faiss-cpu",
    "SimpleITK",
    "pydicom",
    "nibabel",
    "monai",
    "torchio",
    "deepspeed",
    "cuml-cu12",
    "cuml-cu13",
    "cupy-cuda12x",
    "cupy-cuda13x",
)
ISA = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
DRIVER = Path("/proc/driver/nvidia/version")


def machine() -> dict[str, Any]:
    """Processor, cores, memory, cards, system and the versions of the packages that are installed."""
    info = dict(_cpu_lines())
    flags = info.get("flags", "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "isa": [name for name in ISA if name in flags],
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        **({"cards": cards} if (cards := _cards()) else {}),
    }


def _cards() -> dict[str, Any]:
    """Names of the cards, their driver, and the libraries that torch has loaded for them; empty without one."""
    import torch

    if not torch.cuda.is_available():
        return {}
    driver = DRIVER.read_text().splitlines()[0] if DRIVER.is_file() else "not told"
    return {
        "names": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "driver": " ".join(driver.split()),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),
    }


def load_average() -> float:
    """Runnable processes over the last minute: above the cores used, the figures are of a busy machine."""
    return round(os.getloadavg()[0], 2)


@contextmanager
def pinned(cores: int) -> Iterator[int]:
    """Keep this process, its threads and its children on so many cores, and the libraries to as many threads.

    Yields:
        The cores in use; no more than there are.
    """
    import torch

    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    readers, variable = find("SimpleITK"), os.environ.get("OMP_NUM_THREADS")
    reading = readers.ProcessObject.GetGlobalDefaultNumberOfThreads() if readers else 0
    allowed = set(sorted(before)[: max(1, cores)])
    try:
        _bind(allowed)
        os.environ["OMP_NUM_THREADS"] = str(len(allowed))
        if readers:
            readers.ProcessObject.SetGlobalDefaultNumberOfThreads(len(allowed))
        torch.set_num_threads(len(allowed))
        yield len(allowed)
    finally:
        _bind(before)
        os.environ.pop("OMP_NUM_THREADS") if variable is None else os.environ.update(OMP_NUM_THREADS=variable)
        if readers:
            readers.ProcessObject.SetGlobalDefaultNumberOfThreads(reading)
        torch.set_num_threads(threads)


def _bind(cores: set[int]) -> None:
    """Bind the threads that exist; later ones inherit it from the thread that starts them."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)


def _cpu_lines() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return []
    return [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
