"""Cards that a plan can be made for."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

CONTEXT_GIB = 1.5
"""Kept for the CUDA context, NCCL and the libraries' workspaces; an assumption."""
FREE = 0.05
"""Share of the rest that is kept for what the allocator rounds up and cannot use; an assumption."""


@dataclass(frozen=True)
class Gpu:
    """A card.

    Attributes:
        name: For people.
        memory_gib: What torch finds as its total memory.
        tflops: What a 3D U-Net is known to reach in training in mixed precision, TFLOP/s; ``None``: not known.
        source: Of that figure.
        kind: For which a step is laid out; a processor needs no CUDA context.
    """

    name: str
    memory_gib: float
    tflops: float | None
    source: str = ""
    kind: Literal["cpu", "cuda"] = "cuda"

    @property
    def reserve_gib(self) -> float:
        """Kept for what is not tensors."""
        return CONTEXT_GIB if self.kind == "cuda" else 0.5

    @property
    def tensor_bytes(self) -> int:
        """Bytes that tensors may take."""
        return int((self.memory_gib - self.reserve_gib) * (1 - FREE) * 2**30)


_MLPERF = "MLPerf Training's 3D U-Net in mixed precision"
GPUS: Mapping[str, Gpu] = MappingProxyType(
    {
        "a100-40": Gpu("NVIDIA A100 40 GB", 39.4, 110, _MLPERF),
        "a100-80": Gpu("NVIDIA A100 80 GB", 79.2, 110, _MLPERF),
        "h100": Gpu("NVIDIA H100 80 GB", 79.1, 203, _MLPERF),
        "24gb": Gpu("a card of 24 GB", 23.6, None),
    }
)


def this_machine() -> Gpu:
    """The card of this process, or its processor with what memory is free."""
    import psutil
    import torch

    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        return Gpu(found.name, found.total_memory / 2**30, None)
    return Gpu("this machine's processor", psutil.virtual_memory().available / 2**30, None, kind="cpu")
