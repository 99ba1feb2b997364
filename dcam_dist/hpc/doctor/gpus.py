"""GPUs, their memory, errors and links, as ``nvidia-smi`` tells; AMD's are only named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dcam_dist.hpc.doctor.command import Answer, ask, is_there
from dcam_dist.hpc.doctor.driver import count_devices
from dcam_dist.hpc.doctor.line import Line, fail, ok, some, warn
from dcam_dist.hpc.doctor.machine import Machine
from dcam_dist.hpc.doctor.numbers import size

FIELDS = ("index", "memory.total", "memory.used", "ecc.errors.uncorrected.volatile.total")
PATIENCE_S = 20.0
"""A driver without persistence mode wakes each GPU up first."""
IN_USE = 2**30
"""More bytes than this are somebody's work, not the driver's own."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Card:
    """A line of ``nvidia-smi -L``.

    Attributes:
        index: Of the GPU.
        name: Its model.
        mig: Profiles of its MIG instances.
    """

    index: int
    name: str
    mig: tuple[str, ...] = ()


@dataclass(frozen=True)
class Health:
    """A line of ``nvidia-smi --query-gpu``; ``None`` is what it does not know.

    Attributes:
        index: Of the GPU.
        total: Bytes of memory.
        used: Bytes in use.
        errors: Uncorrected memory errors since the driver was loaded.
    """

    index: int
    total: int | None
    used: int | None
    errors: int | None


def gpu_lines(machine: Machine) -> list[Line]:
    """Ask for all GPUs."""
    lines = _amd(machine)
    listed = ask(["nvidia-smi", "-L"], machine.variables, PATIENCE_S)
    if listed is None or listed.trouble:
        return [*lines, *_unasked(listed, count_devices(machine))]
    cards = parse_list(listed.out)
    query = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    health = ask(query, machine.variables, PATIENCE_S)
    topology = ask(["nvidia-smi", "topo", "-m"], machine.variables, PATIENCE_S)
    told = parse_health(health.out) if health is not None and not health.trouble else []
    links = parse_topology(topology.out) if topology is not None and not topology.trouble else {}
    return [*lines, *judge_cards(cards, told), *judge_health(told), *judge_links(len(cards), links)]


def parse_list(text: str) -> list[Card]:
    """The cards of ``nvidia-smi -L``, each with its MIG instances below it."""
    cards: list[Card] = []
    for line in text.splitlines():
        if whole := re.match(r"GPU (\d+): (.+?) \(UUID: ", line):
            cards.append(Card(int(whole[1]), whole[2]))
        elif cards and (part := re.match(r"\s+MIG (\S+)\s+Device", line)):
            cards[-1] = Card(cards[-1].index, cards[-1].name, (*cards[-1].mig, part[1]))
    return cards


def parse_health(text: str) -> list[Health]:
    """The lines of a query of ``FIELDS``; memory is in MiB there."""
    rows = ([cell.strip() for cell in line.split(",")] for line in text.splitlines())
    return [
        Health(int(row[0]), _mebibytes(row[1]), _mebibytes(row[2]), _number(row[3]))
        for row in rows
        if len(row) == len(FIELDS) and _number(row[0]) is not None
    ]


def parse_topology(text: str) -> dict[tuple[int, int], str]:
    """Links between GPUs of ``nvidia-smi topo -m``: ``NV4`` is four NVLinks, ``PIX`` to ``SYS`` are ways over PCIe."""
    lines = [_COLOURS.sub("", line).split() for line in text.splitlines()]
    header = next((cells for cells in lines if cells[:1] == ["GPU0"] and "X" not in cells), [])
    links: dict[tuple[int, int], str] = {}
    for cells in lines:
        if cells and cells is not header and (row := _gpu(cells[0])) is not None:
            pairs = zip(header, cells[1:], strict=False)
            links |= {(row, other): link for name, link in pairs if (other := _gpu(name)) is not None and row < other}
    return links


def judge_cards(cards: Sequence[Card], told: Sequence[Health]) -> list[Line]:
    """What there is, and whether it is cut up."""
    if not cards:
        return [ok("GPUs", "none")]
    names = [card.name for card in cards]
    memory = {card.name: one.total for card in cards for one in told if one.index == card.index}
    kinds = [f"{names.count(name)} × {name}{_of(memory.get(name))}" for name in dict.fromkeys(names)]
    lines = [ok("GPUs", ", ".join(kinds))]
    if len(kinds) > 1:
        remedy = "all ranks wait for the slowest: ask for GPUs of one kind, or name them in CUDA_VISIBLE_DEVICES"
        lines.append(warn("GPUs", "of different kinds", remedy))
    if cut := [f"GPU {card.index}: {', '.join(card.mig)}" for card in cards if card.mig]:
        remedy = "a process sees one instance: train on one GPU, or ask the administrators for whole ones"
        lines.append(warn("GPUs", f"MIG is on: {some(cut)}", remedy))
    return lines


def judge_health(told: Sequence[Health]) -> list[Line]:
    """Memory errors, and memory that others use."""
    broken = [f"GPU {one.index}: {one.errors}" for one in told if one.errors]
    busy = [f"GPU {one.index}: {size(one.used)}" for one in told if one.used is not None and one.used > IN_USE]
    lines = []
    if broken:
        remedy = "ask the administrators to drain the node; leave these GPUs out until then"
        lines.append(warn("GPU memory", f"uncorrected errors on {some(broken)}", remedy))
    if busy:
        remedy = (
            "see whose with nvidia-smi; choose others with CUDA_VISIBLE_DEVICES, or ask the scheduler for them alone"
        )
        lines.append(warn("GPU memory", f"in use already: {some(busy)}", remedy))
    return lines


def judge_links(cards: int, links: dict[tuple[int, int], str]) -> list[Line]:
    """How GPUs reach each other; nothing of it is a fault, the network of this work sends little."""
    if cards < 2:
        return []
    if not links:
        return [warn("GPU links", "cannot be told", "look at nvidia-smi topo -m")]
    kinds = [f"{list(links.values()).count(kind)} × {kind}" for kind in sorted(set(links.values()))]
    over = [link.startswith("NV") for link in links.values()]
    kind = "NVLink between all" if all(over) else "NVLink between some" if any(over) else "PCIe only"
    return [ok("GPU links", f"{kind} ({', '.join(kinds)} of {len(links)} pairs)")]


def _unasked(answer: Answer | None, devices: int) -> list[Line]:
    if not devices:
        return [ok("GPUs", "no NVIDIA GPU")]
    if answer is None:
        remedy = "start the container with --nv (Apptainer) or --gpus all, or add nvidia-smi to PATH"
        return [warn("GPUs", f"{devices} device files, but no nvidia-smi", remedy)]
    return [
        fail("GPUs", f"nvidia-smi: {answer.trouble}", "ask the administrators: driver and GPU do not work together")
    ]


def _amd(machine: Machine) -> list[Line]:
    if not (machine.dev / "kfd").exists():
        return []
    tool = "rocm-smi"
    answer = (
        ask([tool, "--showproductname"], machine.variables, PATIENCE_S) if is_there(tool, machine.variables) else None
    )
    series = re.findall(r"Card [Ss]eries:\s*(.+)", answer.out) if answer is not None else []
    names = some(dict.fromkeys(name.strip() for name in series)) or "of unknown kind"
    return [warn("GPUs", f"AMD: {names}", "not tried: torch's build for ROCm, and clustering.backend=torch")]


def _of(memory: int | None) -> str:
    return f" of {size(memory)}" if memory else ""


def _gpu(name: str) -> int | None:
    found = re.fullmatch(r"GPU(\d+)", name)
    return int(found[1]) if found else None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() else None


def _mebibytes(text: str) -> int | None:
    number = _number(text)
    return None if number is None else number * 2**20
