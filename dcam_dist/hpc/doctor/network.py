"""Network interfaces, InfiniBand, and what the variables of gloo and NCCL say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from dcam_dist.hpc.doctor.line import Line, fail, ok, some, warn
from dcam_dist.hpc.doctor.machine import Machine, text_of

GLOO, NCCL = "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"
LOOPBACK = "lo"


@dataclass(frozen=True)
class Interface:
    """A network interface.

    Attributes:
        name: As in ``/sys/class/net``.
        up: Whether it carries packets.
        mbit: Its speed in Mbit/s; ``None``: it does not say.
        addresses: IPv4 and IPv6.
    """

    name: str
    up: bool
    mbit: int | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port of an InfiniBand device.

    Attributes:
        name: ``mlx5_0/1``.
        state: ``ACTIVE``, ``DOWN``, …
        rate: In words.
    """

    name: str
    state: str
    rate: str


def network_lines(machine: Machine) -> list[Line]:
    """Look at all interfaces and devices."""
    interfaces = find_interfaces(machine)
    variables = [
        judge_variable(name, machine.variables[name], interfaces) for name in (GLOO, NCCL) if name in machine.variables
    ]
    return [judge_interfaces(interfaces), *variables, judge_infiniband(find_ports(machine))]


def find_interfaces(machine: Machine) -> list[Interface]:
    """By the kernel's folders; addresses by its tables of this network namespace."""
    addresses = _addresses()
    found = []
    for folder in sorted((machine.sys / "class/net").glob("*")):
        state, speed = (text_of(folder / name).strip() for name in ("operstate", "speed"))
        flags = text_of(folder / "flags").strip()
        up = state == "up" or (
            state in ("unknown", "") and bool(int(flags or "0", 16) & 1)
        )  # loopback does not know its state
        mbit = int(speed) if speed.isdecimal() else None
        if (folder / "operstate").exists():  # bonding leaves a file among the folders
            found.append(Interface(folder.name, up, mbit, addresses.get(folder.name, ())))
    return found


def find_ports(machine: Machine) -> list[Port]:
    """All ports of all InfiniBand devices, and of those that speak it over Ethernet."""
    return [
        Port(
            f"{folder.parts[-3]}/{folder.name}",
            text_of(folder / "state").partition(":")[2].strip() or "unknown",
            text_of(folder / "rate").strip(),
        )
        for folder in sorted((machine.sys / "class/infiniband").glob("*/ports/*"))
    ]


def judge_interfaces(interfaces: Sequence[Interface]) -> Line:
    """Whether there is a way to other nodes."""
    found = "; ".join(map(_spoken, interfaces)) or "none"
    if any(one.up and one.addresses and one.name != LOOPBACK for one in interfaces):
        return ok("network", found)
    return warn(
        "network",
        f"{found}: no way to other nodes",
        "one node only; else ask the administrators, or leave the container",
    )


def judge_variable(name: str, value: str, interfaces: Sequence[Interface]) -> Line:
    """Whether the interfaces that a variable names are there and up."""
    wanted, missing = chosen(name, value, interfaces)
    there = ", ".join(one.name for one in interfaces) or "none"
    if missing:
        return fail(
            name, f"{', '.join(missing)} is no interface here; there are {there}", f"unset {name}, or name one of these"
        )
    if not wanted:
        return fail(name, f"{value!r} leaves no interface", f"unset {name}, or name one of {there}")
    if down := [one.name for one in wanted if not one.up]:
        return warn(name, f"{some(down)} is down", f"unset {name}, or name one that is up")
    if all(one.name == LOOPBACK for one in wanted):
        return warn(name, f"{value}: this node only", f"for several nodes: unset {name}, or name another")
    return ok(name, f"{value}: {', '.join(one.name for one in wanted)}")


def chosen(name: str, value: str, interfaces: Sequence[Interface]) -> tuple[list[Interface], list[str]]:
    """The interfaces that a variable means, and the words of it that mean none.

    gloo takes names. NCCL takes the beginnings of names, names after ``=``, and after ``^`` those to leave out
    (https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html).
    """
    if name == GLOO:
        words, exact, without = value, True, False
    else:
        without = value.startswith("^")
        words = value.removeprefix("^")
        exact, words = words.startswith("="), words.removeprefix("=")
    listed = [word.strip() for word in words.split(",") if word.strip()]
    meant = {word: [one for one in interfaces if _fits(one.name, word, exact=exact)] for word in listed}
    if without:
        out = [one.name for ones in meant.values() for one in ones]
        return [one for one in interfaces if one.name not in [*out, LOOPBACK]], []
    together = list(dict.fromkeys(one for ones in meant.values() for one in ones))
    none = [word for word, ones in meant.items() if not ones]
    return together, none if name == GLOO or not together else []


def judge_infiniband(ports: Sequence[Port]) -> Line:
    """Whether its links are up."""
    if not ports:
        return ok("InfiniBand", "none")
    active = [port for port in ports if port.state == "ACTIVE"]
    idle = [f"{port.name} {port.state}" for port in ports if port.state != "ACTIVE"]
    if not active:
        return warn("InfiniBand", f"no port is active: {some(idle)}", "NCCL will use TCP; ask the administrators")
    rest = f"; not active: {some(idle)}" if idle else ""
    return ok("InfiniBand", f"{', '.join(f'{port.name} {port.rate}' for port in active)}{rest}")


def judge_host(host: str, addresses: Sequence[str]) -> Line:
    """Whether others find this machine under its name.

    Args:
        host: Its name.
        addresses: What that resolves to; none where it does not.
    """
    if not addresses:
        return warn(
            "host name", f"{host} does not resolve", "for several nodes: set MASTER_ADDR to an address; or ask for DNS"
        )
    if all(is_loopback(address) for address in addresses):
        return warn(
            "host name",
            f"{host} is {some(addresses)} only, which other nodes cannot reach",
            f"for several nodes: set MASTER_ADDR to an address of the network and {GLOO} to its interface, "
            "or have the administrators mend /etc/hosts",
        )
    return ok("host name", f"{host} is {some(addresses)}")


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's alone: 127.0.0.0/8 (Debian names hosts 127.0.1.1) and ::1."""
    try:
        return ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def host_lines(_: Machine) -> list[Line]:
    """Resolve this machine's name; a name server that is silent takes its time."""
    import socket

    host = socket.gethostname()
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return [judge_host(host, [])]
    return [judge_host(host, list(dict.fromkeys(str(one[4][0]) for one in found)))]


def _addresses() -> Mapping[str, tuple[str, ...]]:
    import socket

    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return {
        name: tuple(one.address.partition("%")[0] for one in ones if one.family in families)
        for name, ones in psutil.net_if_addrs().items()
    }


def _fits(name: str, word: str, *, exact: bool) -> bool:
    return name == word if exact else name.startswith(word)


def _spoken(one: Interface) -> str:
    parts = [one.name, "up" if one.up else "down", f"{one.mbit} Mbit/s" if one.mbit else "", " ".join(one.addresses)]
    return " ".join(filter(None, parts))
