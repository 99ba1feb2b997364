"""Whether driver, torch and GPUs go together.

The oldest drivers are those of NVIDIA's tables "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor Version
Compatibility" and "CUDA Toolkit and Corresponding Driver Versions" in the CUDA Toolkit release notes
(https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/), of which https://docs.nvidia.com/deploy/cuda-compatibility/
has the branches: 525 and newer for CUDA 12.x, 580 and newer for CUDA 13.x.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dcam_dist.clustering.nvidia_driver import driver_version
from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.numbers import numbers_of

NAME = "GPU driver"
OLDEST: Mapping[int, str] = MappingProxyType({12: "525.60.13", 13: "580.65.06"})
"""CUDA's major version → the oldest driver for all its minor ones, on Linux."""
SETS: Mapping[int, str] = MappingProxyType({12: "gpu-cu12", 13: "gpu-cu13"})


@dataclass(frozen=True)
class Driver:
    """What must go together.

    Attributes:
        devices: NVIDIA device files of this machine.
        version: Of the driver; empty: unknown; ``None``: there is none.
        torch: Its version.
        cuda: What torch was built for; empty: the CPU.
        hip: AMD's version that torch was built for.
        usable: Whether torch can use a CUDA device.
        trouble: What torch says where it cannot.
        hidden: Whether ``CUDA_VISIBLE_DEVICES`` hides all devices.
    """

    devices: int
    version: str | None
    torch: str
    cuda: str
    hip: str = ""
    usable: bool = False
    trouble: str = ""
    hidden: bool = False


def count_devices(machine: Machine) -> int:
    """NVIDIA GPUs by their device files, which are there before any program of NVIDIA's is."""
    return sum(file.name.removeprefix("nvidia").isdecimal() for file in machine.dev.glob("nvidia*"))


def kernel_driver(machine: Machine) -> str | None:
    """The driver that the kernel has; ``None``: none."""
    return driver_version(machine.proc / "driver/nvidia/version")


def is_hidden(variables: Mapping[str, str]) -> bool:
    """Whether all devices are hidden from CUDA."""
    return variables.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")


def judge_driver(facts: Driver) -> Line:
    """Whether they do."""
    if not facts.devices and facts.version is None:
        return _without_gpu(facts)
    if facts.hip:
        return warn(NAME, f"an NVIDIA machine, but torch {facts.torch} is for AMD GPUs", _install(facts.version))
    if not facts.cuda:
        found = f"torch {facts.torch} is a build for the CPU, though an NVIDIA GPU or driver is here"
        return warn(NAME, found, _install(facts.version))
    if facts.version is None:
        return fail(NAME, "GPUs are here, but no driver is loaded", "ask the administrators for the NVIDIA driver")
    return _with_driver(facts)


def _without_gpu(facts: Driver) -> Line:
    if facts.hip:
        return warn(
            NAME, f"torch {facts.torch} for AMD GPUs (ROCm {facts.hip})", "not tried; set clustering.backend=torch"
        )
    if not facts.cuda:
        return ok(NAME, f"no NVIDIA GPU; torch {facts.torch} for the CPU")
    return warn(
        NAME,
        f"torch {facts.torch} is built for CUDA {facts.cuda}, but there is no NVIDIA GPU or driver",
        "on a login node: run this in a job with a GPU; in a container: start it with --nv (Apptainer) or --gpus all",
    )


def _with_driver(facts: Driver) -> Line:
    here, oldest = facts.version or "of unknown version", OLDEST.get(numbers_of(facts.cuda)[0])
    found = f"{here}; torch {facts.torch} for CUDA {facts.cuda}"
    too_old = bool(facts.version and oldest) and numbers_of(here) < numbers_of(oldest or "")
    if facts.usable and too_old:
        return warn(
            NAME, f"{found} wants {oldest} and runs by forward compatibility only", f"ask for driver {oldest} or newer"
        )
    if too_old:
        return fail(NAME, f"{found} needs {oldest} or newer", _install(facts.version))
    if facts.usable:
        return ok(NAME, found)
    if facts.hidden:
        return warn(
            NAME, f"{found}; CUDA_VISIBLE_DEVICES hides all GPUs", "unset CUDA_VISIBLE_DEVICES, or ask for a GPU"
        )
    said = facts.trouble or "no CUDA device can be used"
    return fail(
        NAME, f"{found}; {said}", "does nvidia-smi work here? if not, ask the administrators; in a job, ask for a GPU"
    )


def _install(version: str | None) -> str:
    fitting = [major for major, oldest in OLDEST.items() if numbers_of(version or "") >= numbers_of(oldest)]
    if not fitting:
        return f"ask for NVIDIA driver {OLDEST[12]} or newer for the extra gpu-cu12, {OLDEST[13]} or newer for gpu-cu13"
    best = max(fitting)
    return f"python -m pip install -c constraints/cuda{best}.txt -e '.[{SETS[best]}]'"
