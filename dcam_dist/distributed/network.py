"""Names, addresses, interfaces and ports: what this machine knows of its network. Without torch."""

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil

from dcam_dist.errors import EnvironmentFault

DOOR_S = 45.0
"""How long a port may stay closed before a launcher or a rank gives up; torch itself would wait 60 s."""
_TRY_S, _PAUSE_S = 5.0, 0.25
_ANY_PORT = 9
_BEYOND = ("192.0.2.1", "2001:db8::1")
"""Addresses of documentation, which no machine has: the default route leads there."""
_REASONS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.EHOSTUNREACH: "there is no route to it",
    errno.ENETUNREACH: "there is no route to it",
    errno.EADDRNOTAVAIL: "there is no route to it",
    errno.ETIMEDOUT: "there was no answer",
}
_WHAT_TO_DO = {
    "the connection was refused": "nothing listens there: look whether the first node has started and uses this port",
    "there is no route to it": "look at the address, and whether this node is in that network",
    "there was no answer": "look at the address, and whether a firewall drops what is sent to this port",
}


def place(host: str, port: int) -> str:
    """Host and port as one writes them: ``gpu07:29400``, ``[fd77::1]:29400``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses_of(host: str) -> tuple[str, ...]:
    """The IPv4 and IPv6 addresses of a name, or an address itself; the preferred one first.

    Raises:
        EnvironmentFault: When the name has none here.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EnvironmentFault(
            f"no address is known of {host} on {socket.gethostname()}; look at the spelling, and whether this network "
            "needs a suffix to the names of its nodes"
        ) from None
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


def own_address_towards(host: str) -> str:
    """The address of this machine from which packets to ``host`` leave. Sends nothing.

    Raises:
        EnvironmentFault: When the name has no address, or none to which a route leads.
    """
    known = addresses_of(host)
    for address in sorted(known, key=is_loopback):  # a machine's own name often leads to 127.0.1.1 as well
        version = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(version, socket.SOCK_DGRAM) as probe:
                probe.connect((address, _ANY_PORT))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    named = "" if host in known else f" ({', '.join(known)})"
    raise EnvironmentFault(
        f"{socket.gethostname()} has no route to {host}{named}; look at the address, and whether this "
        "node is in that network"
    )


def is_loopback(address: str) -> bool:
    """Whether an address leads to the machine that uses it, whichever that is."""
    return ipaddress.ip_address(_bare(address)).is_loopback


def interface_of(address: str) -> str | None:
    """The interface of this machine that has an address, or ``None``."""
    return next((name for name, own in _interfaces().items() if _bare(address) in own), None)


def interface_towards(host: str) -> str | None:
    """The interface through which the nodes of a meeting at ``host`` reach this one; ``None`` where that is unknown.

    A machine's own name may lead to loopback on the machine itself and to its real address elsewhere: then it is
    the interface of the default route, or the only one there is, through which the others come.

    Raises:
        EnvironmentFault: When the name has no address, or none to which a route leads.
    """
    own = own_address_towards(host)
    if is_loopback(own) and not _means_loopback(host):
        return _interface_outward() or interface_of(own)
    return interface_of(own)


def use_interface_towards(host: str) -> None:
    """Let gloo and NCCL use the interface that leads to ``host``; one that the user has named stays.

    Raises:
        EnvironmentFault: When the name has no address, or none to which a route leads.
    """
    if name := interface_towards(host):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={name}")  # NCCL takes a bare name for a beginning


def require_named_interfaces() -> None:
    """Refuse names in ``GLOO_SOCKET_IFNAME`` and ``NCCL_SOCKET_IFNAME`` that lead nowhere on this machine.

    Raises:
        EnvironmentFault: Names the interfaces that it has.
    """
    gloo, nccl = (os.environ.get(f"{who}_SOCKET_IFNAME", "") for who in ("GLOO", "NCCL"))
    for name in filter(None, gloo.split(",")):
        require_interface(name)
    if nccl.startswith("="):
        for name in nccl[1:].split(","):
            require_interface(name)
    elif nccl and not nccl.startswith("^"):  # beginnings, of which any may do
        beginnings = tuple(nccl.split(","))
        if not any(name.startswith(beginnings) for name in _interfaces()):
            require_interface(nccl)


def is_own(host: str) -> bool:
    """Whether ``host`` is this machine: one of its addresses is an address of an interface, or loopback.

    Raises:
        EnvironmentFault: When the name has no address.
    """
    return any(is_loopback(address) or interface_of(address) for address in addresses_of(host))


def require_interface(name: str) -> None:
    """Refuse a network interface that this machine does not have.

    Raises:
        EnvironmentFault: Names those that it has.
    """
    if name not in _interfaces():
        raise EnvironmentFault(
            f"{socket.gethostname()} has no network interface {name!r}; it has {', '.join(sorted(_interfaces()))}"
        )


def wait_for_door(host: str, port: int, timeout_s: float = DOOR_S) -> None:
    """Wait until somebody listens at a TCP port.

    Args:
        host: Name or address.
        port: Its number.
        timeout_s: How long to try, in seconds; the other side may start later than this one.

    Raises:
        EnvironmentFault: When it stays closed: says whether it was refused, has no route, or does not answer.
    """
    addresses_of(host)
    deadline, reason = time.monotonic() + timeout_s, ""
    while True:
        try:
            socket.create_connection((host, port), min(_TRY_S, max(deadline - time.monotonic(), _PAUSE_S))).close()
            return
        except OSError as error:  # the last try may have been cut short: what was said before counts
            reason = _REASONS.get(error.errno or 0, error.strerror or reason or "there was no answer")
        if time.monotonic() + _PAUSE_S > deadline:
            break
        time.sleep(_PAUSE_S)
    hint = _WHAT_TO_DO.get(reason, "look at the address and the port")
    raise EnvironmentFault(
        f"{socket.gethostname()} cannot reach {place(host, port)} within {timeout_s:.0f} s: {reason}; {hint}"
    )


def _means_loopback(host: str) -> bool:
    try:
        return is_loopback(host)
    except ValueError:  # a name
        return host == "localhost"


def _interface_outward() -> str | None:
    for beyond in _BEYOND:
        with suppress(EnvironmentFault):
            return interface_of(own_address_towards(beyond))
    up = [name for name, state in psutil.net_if_stats().items() if state.isup]
    others = [name for name in up if any(map(_leads_out, _interfaces().get(name, ())))]
    return others[0] if len(others) == 1 else None


def _leads_out(address: str) -> bool:
    try:
        return not is_loopback(address)
    except ValueError:  # an Ethernet address
        return False


def _interfaces() -> dict[str, set[str]]:
    """Addresses by interface; one without an address has an Ethernet address at least."""
    return {name: _without_scope(one.address for one in own) for name, own in psutil.net_if_addrs().items()}


def _without_scope(addresses: Iterable[str]) -> set[str]:
    return {_bare(address) for address in addresses}


def _bare(address: str) -> str:
    """Without the ``%eth0`` of a link-local address."""
    return address.partition("%")[0]
