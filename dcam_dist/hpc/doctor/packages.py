"""Python and the installed packages against what this package asks for and what it was tested with."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from dcam_dist.hpc.doctor.line import Line, fail, ok, some, warn
from dcam_dist.hpc.doctor.machine import Machine, text_of

TRIED = ((3, 11), (3, 13))
"""Pythons that the tests have run on, first and last."""
EXTRAS = ("gpu-cu12", "gpu-cu13")
SHARED = ("nvidia-nccl", "nvidia-cudnn", "nvidia-nvshmem", "nvidia-cusparselt")
"""Wheels whose builds for CUDA 12 and CUDA 13 write into one folder, so that the later one overwrites the other; torch
then fails on import (https://github.com/pytorch/pytorch/issues/186591)."""


def package_lines(machine: Machine) -> list[Line]:
    """Look at this interpreter and its packages."""
    found, wanted = installed(), own_requirements()
    return [
        judge_python(platform.python_version()),
        judge_requirements(wanted, found),
        judge_extra(wanted, found),
        *judge_doubles(found),
        judge_sets(pinned_sets(machine.pins), found),
    ]


def installed() -> dict[str, str]:
    """Versions of all packages that this interpreter sees."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:  # a broken one has none
            found.setdefault(canonicalize_name(name), distribution.version)
    return found


def own_requirements() -> list[str]:
    """What this package asks for, with its extras; nothing where it runs from a bare folder."""
    try:
        return requires("dcam-dist") or []
    except PackageNotFoundError:
        return []


def pinned_sets(folder: Path) -> dict[str, dict[str, str]]:
    """The pinned sets by name, each as package → version."""
    return {file.stem: _pins(text_of(file)) for file in sorted(folder.glob("*.txt"))}


def judge_python(version: str) -> Line:
    """Whether this Python is one of those that were tried."""
    first, last = (".".join(map(str, tried)) for tried in TRIED)
    if TRIED[0] <= Version(version).release[:2] <= TRIED[1]:
        return ok("python", version)
    return warn("python", f"{version}; tried are {first} to {last}", f"make the environment with Python {last}")


def judge_requirements(requirements: Sequence[str], found: Mapping[str, str]) -> Line:
    """Whether each package is there in a version that is allowed."""
    if not requirements:
        return warn("packages", "this package runs without being installed", "python -m pip install -e .")
    wrong = [problem for wanted in requirements if (problem := unmet(Requirement(wanted), found))]
    if wrong:
        return fail(
            "packages", some(wrong), "python -m pip install -c constraints/cpu.txt -e . (or cuda12.txt, cuda13.txt)"
        )
    return ok("packages", f"all within bounds; torch {found.get('torch', '?')}, numpy {found.get('numpy', '?')}")


def unmet(wanted: Requirement, found: Mapping[str, str], extra: str = "") -> str:
    """What is wrong with one requirement; empty where it is met or does not apply."""
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
        return ""
    version = found.get(canonicalize_name(wanted.name))
    if version is None:
        return f"{wanted.name} is missing"
    if wanted.specifier.contains(version, prereleases=True):
        return ""
    return f"{wanted.name} {version} is not {wanted.specifier}"


def extra_of(requirements: Sequence[str], found: Mapping[str, str]) -> tuple[str, list[str]]:
    """The GPU extra that is installed, or empty, and what is wrong with it."""
    for extra in EXTRAS:
        wanted = [one for one in map(Requirement, requirements) if _belongs(one, extra)]
        if any(canonicalize_name(one.name) in found for one in wanted if one.name.startswith("cuml")):
            return extra, [problem for one in wanted if (problem := unmet(one, found, extra))]
    return "", []


def judge_extra(requirements: Sequence[str], found: Mapping[str, str]) -> Line:
    """Which GPU extra is installed, and whether it is whole."""
    extra, wrong = extra_of(requirements, found)
    if not extra:
        return ok("GPU extra", "none; clustering by scikit-learn or torch")
    if wrong:
        return warn("GPU extra", f"{extra}, but {some(wrong)}", _install(extra.replace("gpu-cu", "cuda")))
    return ok("GPU extra", extra)


def judge_doubles(found: Mapping[str, str]) -> list[Line]:
    """A line for each CUDA library that is installed for both CUDA 12 and CUDA 13."""
    return [
        fail(
            "packages",
            f"{name}-cu12 {found[f'{name}-cu12']} and {name}-cu13 {found[f'{name}-cu13']} overwrite each other",
            f"python -m pip uninstall {name}-cu12 {name}-cu13, then install one of the sets in constraints/ anew",
        )
        for name in SHARED
        if {f"{name}-cu12", f"{name}-cu13"} <= found.keys()
    ]


def judge_sets(sets: Mapping[str, Mapping[str, str]], found: Mapping[str, str]) -> Line:
    """Which pinned set this is, or how far it is from the nearest; first of all a set has this torch."""
    if not sets:
        return ok("pinned set", "cannot be told: there is no folder constraints/ beside the package")
    same_torch = {name: pins for name, pins in sets.items() if _same(found.get("torch", ""), pins.get("torch", ""))}
    distances = {name: _differences(pins, found) for name, pins in (same_torch or sets).items()}
    nearest = min(distances, key=lambda name: len(distances[name]))
    if not distances[nearest]:
        return ok("pinned set", f"{nearest}: all as in constraints/{nearest}.txt")
    return warn(
        "pinned set",
        f"none; {len(distances[nearest])} differ from {nearest}: {some(distances[nearest])}",
        f"for the tested versions: {_install(nearest)}",
    )


def _install(pinned: str) -> str:
    extra = pinned.replace("cuda", "gpu-cu")
    what = f"'.[{extra}]'" if extra in EXTRAS else "."
    return f"python -m pip install -c constraints/{pinned}.txt -e {what}"


def _pins(text: str) -> dict[str, str]:
    pairs = (line.split("#")[0].strip().partition("==") for line in text.splitlines())
    return {canonicalize_name(name): version for name, equals, version in pairs if equals}


def _belongs(wanted: Requirement, extra: str) -> bool:
    marker = wanted.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _differences(pins: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    common = [(name, found[name], pin) for name, pin in pins.items() if name in found]
    return [f"{name} {here} (set: {pin})" for name, here, pin in common if not _same(here, pin)]


def _same(here: str, pin: str) -> bool:
    try:
        return Version(here).public == Version(pin).public  # +cpu and +cu128 are builds of one version
    except InvalidVersion:
        return here == pin
