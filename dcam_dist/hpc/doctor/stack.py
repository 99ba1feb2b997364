"""Torch, the driver and the CUDA libraries: asked of a process that imports them, judged here."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

from dcam_dist.hpc.doctor.command import ask
from dcam_dist.hpc.doctor.driver import Driver, count_devices, is_hidden, judge_driver, kernel_driver
from dcam_dist.hpc.doctor.known_bad import judge_known_bad
from dcam_dist.hpc.doctor.libraries import Library, judge_copies
from dcam_dist.hpc.doctor.line import Line, fail, ok, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.probe import MARK

PROGRAM = "import sys; sys.path.append(sys.argv[1]); from dcam_dist.hpc.doctor.probe import main; main()"
"""This very package, and nothing that happens to lie in the current folder."""
PATIENCE_S = 120.0
"""A first import from a busy shared file system, and cuML's first kernels, take long."""


def stack_lines(machine: Machine) -> list[Line]:
    """Import the libraries elsewhere, and judge them."""
    command = [sys.executable, "-P", "-c", PROGRAM, str(Path(__file__).parents[3])]
    answer = ask(command, machine.variables, PATIENCE_S)
    facts = read_facts(answer.out) if answer is not None else {}
    trouble = "cannot be started" if answer is None else answer.trouble
    return judge_stack(facts, trouble, machine)


def read_facts(out: str) -> dict[str, Any]:
    """All that was said, the last word on each."""
    facts: dict[str, Any] = {}
    for line in out.splitlines():
        if line.startswith(MARK):
            facts |= json.loads(line.removeprefix(MARK))
    return facts


def judge_stack(facts: dict[str, Any], trouble: str, machine: Machine) -> list[Line]:
    """The lines on what a process found out.

    Args:
        facts: What it said; a part where it did not come to its end.
        trouble: How it ended; empty: well.
        machine: For its device files and driver.
    """
    if "torch" not in facts:
        said = facts.get("torch_error") or f"the process that imports it {trouble}"
        return [fail("torch", said, "install one of the sets in constraints/ anew; unset LD_LIBRARY_PATH first")]
    libraries = [Library(**one) for one in facts.get("libraries", [])]
    driver = Driver(
        devices=count_devices(machine),
        version=kernel_driver(machine),
        torch=facts["torch"],
        cuda=facts["cuda"],
        hip=facts["hip"],
        usable=facts["usable"],
        trouble=facts["trouble"],
        hidden=is_hidden(machine.variables),
    )
    return [
        judge_driver(driver),
        *judge_copies(libraries),
        *judge_known_bad(libraries, platform.machine()),
        *_judge_cuml(facts.get("cuml"), driver.usable, trouble),
    ]


def _judge_cuml(said: str | None, usable: bool, trouble: str) -> list[Line]:
    if said is None:
        return []
    if said:
        found = f"{said}; {trouble}" if trouble else said
        return [warn("cuML", found, "set clustering.backend=torch, or install one of the sets in constraints/ anew")]
    return [ok("cuML", "a PCA and a k-means work" if usable else "it loads; there is no GPU to try it on")]
