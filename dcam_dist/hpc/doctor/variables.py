"""Variables of the environment that were left over or copied, and change what a training does."""

from collections.abc import Mapping
from pathlib import PurePath

from dcam_dist.hpc.doctor.driver import count_devices
from dcam_dist.hpc.doctor.line import Line, ok, some, warn
from dcam_dist.hpc.doctor.machine import Machine, text_of
from dcam_dist.hpc.doctor.network import NCCL
from dcam_dist.hpc.doctor.resources import processors

LAUNCHER = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "LOCAL_SIZE",
    "CROSS_SIZE",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
)
LAUNCHERS = {
    "torchrun",
    "torch.distributed.run",
    "torch.distributed.launch",
    "dcam_dist.launch",
    "deepspeed",
    "deepspeed.launcher.launch",
}
"""Program or module of a process that starts ranks."""
HARMLESS = (NCCL, "NCCL_DEBUG", "NCCL_DEBUG_FILE", "NCCL_DEBUG_SUBSYS", "NCCL_VERSION")
"""The first is judged with the interfaces, the others change no traffic; images of NVIDIA set the last."""


def variable_lines(machine: Machine) -> list[Line]:
    """Look at all of them."""
    variables = machine.variables
    return [
        judge_launcher(variables, launched=is_launched(machine)),
        judge_threads(variables.get("OMP_NUM_THREADS"), processors(machine).usable),
        *judge_accelerator(variables.get("DS_ACCELERATOR"), count_devices(machine)),
        judge_tuning(variables),
    ]


def is_launched(machine: Machine) -> bool:
    """Whether this is a task of srun, or a launcher is among the processes that it descends from."""
    if "SLURM_STEP_NUM_TASKS" in machine.variables:
        return True
    process = "self"
    for _ in range(8):  # srun, a shell, apptainer and the like may be in between
        stat = text_of(machine.proc / process / "stat").rpartition(")")[2].split()
        if len(stat) < 2 or stat[1] in ("0", "1"):
            return False
        process = stat[1]
        called = text_of(machine.proc / process / "cmdline").split("\0")
        if any(PurePath(word).name in LAUNCHERS for word in called[:6]):
            return True
    return False


def judge_launcher(variables: Mapping[str, str], *, launched: bool) -> Line:
    """Whether a start would take itself for a rank of a launch that is over."""
    there = [f"{name}={variables[name]}" for name in LAUNCHER if name in variables]
    if not there:
        return ok("launcher's variables", "none")
    if launched:
        return ok("launcher's variables", f"of the launcher that started this: {some(there)}")
    names = " ".join(name for name in LAUNCHER if name in variables)
    return warn("launcher's variables", f"left over, no launcher started this: {some(there)}", f"unset {names}")


def judge_threads(value: str | None, usable: float) -> Line:
    """Threads of a process against the processors that it may use."""
    name, fair = "OMP_NUM_THREADS", max(1, int(usable))
    if value is None:
        return ok(name, f"not set: {fair} for a process alone, 1 for each rank under torchrun")
    first = value.split(",")[0].strip()
    if not (first.isascii() and first.isdecimal() and int(first) > 0):
        return warn(name, f"{value!r} is no number", f"unset {name}, or export {name}={fair}")
    if int(first) > fair:
        return warn(
            name,
            f"{value}, but {usable:g} processors may be used",
            f"export {name}={fair}, divided by the ranks of a node",
        )
    return ok(name, value)


def judge_accelerator(value: str | None, devices: int) -> list[Line]:
    """DeepSpeed's choice of device, against the devices that are there."""
    name = "DS_ACCELERATOR"
    if value is None:
        return []
    if (value == "cpu" and devices) or (value == "cuda" and not devices):
        here = f"{devices} NVIDIA GPUs are here" if devices else "no NVIDIA GPU is here"
        return [warn(name, f"{value}, but {here}", f"unset {name}")]
    return [ok(name, value)]


def judge_tuning(variables: Mapping[str, str]) -> Line:
    """Settings of NCCL, which were right for the machine that they were measured on."""
    found = [
        f"{name}={value}"
        for name, value in sorted(variables.items())
        if name.startswith("NCCL_") and name not in HARMLESS
    ]
    if not found:
        return ok("NCCL tuning", "none")
    names = " ".join(one.partition("=")[0] for one in found)
    return warn("NCCL tuning", some(found), f"unless they were measured on this very machine: unset {names}")
