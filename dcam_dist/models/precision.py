"""In which type the convolutions compute, and why.

Parameters, statistics, pooling, head and loss are float32 under every choice: a convolution casts its input and its
weight where it uses them. That is neither autocast, which is silently off without CUDA and promotes interpolations to
float32 with it, nor a cast of the parameters, which leaves the buffers of a normalization behind.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from dcam_dist.config.schema import NetworkConfig
from dcam_dist.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_CAPABILITY_WITH_BF16 = (8, 0)


@dataclass(frozen=True)
class PrecisionChoice:
    """What ``network.precision`` comes to on a machine.

    Attributes:
        precision: Takes the place of ``auto`` in the configuration.
        reason: One line for the log: what was chosen and why.
    """

    precision: Precision
    reason: str


@dataclass(frozen=True)
class Processor:
    """What computes, as far as the choice goes.

    Attributes:
        kind: ``cpu`` or ``cuda``.
        words: What it has, to end a sentence with.
        made_for_bf16: Whether it multiplies bfloat16 faster than float32.
    """

    kind: Literal["cpu", "cuda"]
    words: str
    made_for_bf16: bool


def choose_precision(settings: NetworkConfig, device: str, processor: Processor | None = None) -> PrecisionChoice:
    """Resolve ``network.precision`` for a device.

    Args:
        settings: The network's settings.
        device: ``cpu`` or ``cuda:N``.
        processor: What computes there; ``None``: this machine is looked at.

    Raises:
        UsageError: For fp16 on a CPU.
    """
    processor = processor or look_at(device)
    faster: Precision = "bf16" if processor.made_for_bf16 else "fp32"
    if settings.precision == "auto":
        return PrecisionChoice(faster, f"{faster} convolutions (network.precision=auto); {processor.words}")
    chosen: Precision = settings.precision
    if chosen == "fp16" and processor.kind == "cpu":
        raise UsageError("network.precision=fp16 needs a GPU; on a CPU choose bf16, fp32 or auto")
    return PrecisionChoice(chosen, f"{chosen} convolutions as configured; {processor.words}{_advice(chosen, faster)}")


def compute_dtype(settings: NetworkConfig) -> torch.dtype:
    """The type in which the convolutions compute.

    Raises:
        UsageError: While ``auto`` is unresolved: ``choose_precision`` comes first.
    """
    if settings.precision == "auto":
        raise UsageError("network.precision=auto: say fp32, bf16 or fp16 here; only a training resolves it")
    return _DTYPES[settings.precision]


def look_at(device: str) -> Processor:
    """What computes on a device of this machine."""
    if device.startswith("cuda"):
        return gpu_processor(torch.cuda.get_device_capability(device))
    return cpu_processor(amx=torch.cpu._is_amx_tile_supported(), avx512_bf16=torch.cpu._is_avx512_bf16_supported())


def gpu_processor(capability: tuple[int, int]) -> Processor:
    """A CUDA device of a compute capability; tensor cores take bfloat16 from 8.0 on."""
    words = f"this GPU has compute capability {capability[0]}.{capability[1]}"
    return Processor("cuda", words, capability >= _FIRST_CAPABILITY_WITH_BF16)


def cpu_processor(*, amx: bool, avx512_bf16: bool) -> Processor:
    """A CPU with or without the two instruction sets that multiply bfloat16."""
    has = "AMX" if amx else "AVX512-bf16" if avx512_bf16 else "neither AMX nor AVX512-bf16"
    return Processor("cpu", f"this CPU has {has}", amx or avx512_bf16)


def _advice(chosen: Precision, faster: Precision) -> str:
    if chosen == faster or (chosen == "fp16" and faster == "fp32"):
        return ""
    advantage = "is as fast and needs no loss scaling" if chosen == "fp16" else "is faster"
    return f": network.precision={faster} {advantage}"
