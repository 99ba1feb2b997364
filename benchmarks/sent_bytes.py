"""Bytes that a process hands over to collectives, and bytes that it sends by TCP."""

import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

COUNTERS = struct.Struct("<200x2Q")
"""``tcpi_bytes_sent`` and ``tcpi_bytes_retrans`` of Linux's ``struct tcp_info`` (linux/tcp.h, since 4.19)."""


class Handed(TorchDispatchMode):
    """Counts what all-reduces and all-gathers are given while it is entered, those of DDP's reducer too.

    Attributes:
        reduced: Bytes of all-reduces.
        gathered: Bytes of all-gathers, of this rank's part.
        calls: Collectives of either kind.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reduced = self.gathered = self.calls = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count and go on.

        Raises:
            AssertionError: On a collective of another kind, which would be left out of the count.
        """
        if func.namespace == "c10d":
            self._count(func.overloadpacket.__name__, args)
        return func(*args, **(kwargs or {}))

    def _count(self, name: str, args: Sequence[Any]) -> None:
        self.calls += 1
        if name == "allreduce_":
            self.reduced += _bytes(args[0])
        elif name == "allgather_":
            self.gathered += _bytes(args[1])
        else:
            raise AssertionError(f"c10d.{name} is not counted")


def sent_bytes() -> int:
    """Bytes that were sent over the TCP connections that this process has open, as the kernel counts them.

    With what the connection's protocol adds to the data (gloo's frames), without TCP's and IP's headers, and without
    what TCP sent again: on busy cores it now and then gives up on an answer that is only late.

    Raises:
        OSError: Where the kernel does not count them.
    """
    total = 0
    for connection in _connections():
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, COUNTERS.size)
        if len(info) < COUNTERS.size:
            raise OSError("this kernel does not count the bytes of a connection")
        sent, again = COUNTERS.unpack(info)
        total += sent - again
    return total


def _connections() -> Iterator[socket.socket]:
    for entry in [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_socket()]:
        with socket.socket(fileno=os.dup(int(entry.name))) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM:
                yield found


def _bytes(tensors: Any) -> int:
    return sum(one.nbytes for one in tree_leaves(tensors) if isinstance(one, Tensor))
