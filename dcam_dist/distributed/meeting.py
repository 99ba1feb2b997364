"""Where the ranks of one start meet: in a file on one node, at a TCP port on several.

A launcher may start its ranks again (``--max_restarts``, a node that joins), while the store at the port lives on with
all keys of the rounds before; nothing in a rank's environment names its round, for launchers of several nodes may count
their restarts differently. So rank 0 draws the number of a new round from the store and hands it to each process that
knocks, under a key that this process alone has chosen; everything else lies under that number.
"""

import itertools
import json
import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
from torch._C._distributed_c10d import FileStore, HashStore, PrefixStore, Store, TCPStore

from dcam_dist.distributed.network import DOOR_S, place, use_interface_towards, wait_for_door
from dcam_dist.errors import EnvironmentFault
from dcam_dist.launchers import Launch

LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Peer:
    """One process, as it introduces itself.

    Attributes:
        node: Name of its node.
        pid: Its number there.
        namespace: In which numbers of processes mean the same.
    """

    node: str
    pid: int
    namespace: str


@dataclass(frozen=True)
class Meeting:
    """The ranks of one start, all of which have come.

    Attributes:
        group: The store by which process groups are formed.
        roll: A second connection, for roll calls alone: a connection serves one thread at a time.
        where: The meeting place in words.
        number: Which round of ranks this is at the same meeting place, from 1.
    """

    group: Store
    roll: Store
    peers: tuple[Peer, ...]
    where: str
    number: int = 1


def alone() -> Store:
    """A store for a process without peers: no port, no file."""
    return HashStore()


def join(launch: Launch, timeout_s: float) -> Meeting:
    """Meet all ranks of this start.

    Raises:
        EnvironmentFault: When some do not come in time, or the place cannot be reached.
    """
    wait, deadline = timedelta(seconds=timeout_s), time.monotonic() + timeout_s
    if launch.one_node:
        use_interface_towards("localhost")
        path = _meeting_file()
        group: Store = FileStore(path, launch.world_size)
        roll: Store = FileStore(f"{path}.roll", launch.world_size)
        where = "a file on this node"
    else:
        assert launch.master is not None  # noqa: S101
        group, roll = _stores_over_tcp(launch, launch.master, wait)
        where = place(*launch.master)
    door = PrefixStore(f"door/{launch.world_size}", roll)
    number = roll.add("rounds", 1) if launch.rank == 0 else _knock(door, launch, wait, where)
    group, roll = PrefixStore(f"{number}", group), PrefixStore(f"{number}", roll)
    me = Peer(socket.gethostname(), os.getpid(), _pid_namespace())
    roll.set(f"here/{launch.rank}", json.dumps([me.node, me.pid, me.namespace]))
    if launch.rank == 0:
        _let_in(door, roll, number, launch.world_size, deadline)
    _wait_for_all(roll, launch, wait, deadline, where)
    peers = tuple(Peer(*json.loads(roll.get(f"here/{rank}"))) for rank in range(launch.world_size))
    return Meeting(group, roll, peers, where, number)


def _knock(door: Store, launch: Launch, wait: timedelta, where: str) -> int:
    """Ask rank 0 for the number of this round."""
    mine = uuid.uuid4().hex
    door.set(f"knock/{launch.rank}", mine)
    try:
        door.wait([f"enter/{mine}"], wait)
    except RuntimeError:
        lower = any(door.check([f"knock/{rank}"]) for rank in range(1, launch.rank))
        raise _absent([0], launch, wait, where, quiet=lower) from None
    return int(door.get(f"enter/{mine}"))


def _let_in(door: Store, roll: Store, number: int, world_size: int, deadline: float) -> None:
    """Answer whoever knocks until all are in; one that knocked in an earlier round does not hear it."""
    answered: set[bytes] = set()
    outside = set(range(1, world_size))
    while outside and time.monotonic() < deadline:
        for rank in outside:
            name = door.get(f"knock/{rank}") if door.check([f"knock/{rank}"]) else b""
            if name and name not in answered:
                door.set(f"enter/{name.decode()}", str(number))
                answered.add(name)
        outside = {rank for rank in outside if not roll.check([f"here/{rank}"])}
        time.sleep(LOOK_EVERY_S)


def _wait_for_all(store: Store, launch: Launch, wait: timedelta, deadline: float, where: str) -> None:
    keys = {rank: f"here/{rank}" for rank in range(launch.world_size)}
    try:
        store.wait(list(keys.values()), timedelta(seconds=max(deadline - time.monotonic(), LOOK_EVERY_S)))
    except RuntimeError:
        missing = [rank for rank, key in keys.items() if not store.check([key])]
        present = [rank for rank in keys if rank not in missing]
        if missing:
            raise _absent(missing, launch, wait, where, quiet=launch.rank != present[0]) from None


def _absent(missing: Sequence[int], launch: Launch, wait: timedelta, where: str, *, quiet: bool) -> EnvironmentFault:
    return EnvironmentFault(
        f"rank{'s' * (len(missing) > 1)} {', '.join(map(str, missing))} of {launch.world_size} did not come to "
        f"{where} within {wait.total_seconds():.0f} s; look at what they say, or raise training.timeout_s",
        quiet=quiet,
    )


_meetings = itertools.count()


def _meeting_file() -> str:
    # torch's TCP store listens on all interfaces even when told 127.0.0.1, so one node meets in a file. The launcher
    # is the ancestor of all ranks; with its start time it names this very launch, so a stale file is never met. Nor is
    # the file of an earlier meeting of this launch, which the slower ranks may not have left yet.
    folder = Path(tempfile.gettempdir()) / f"dcam-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise EnvironmentFault(f"{folder}: belongs to somebody else; set TMPDIR to a folder of your own")
    _sweep(folder)
    launcher = _launcher()
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"{folder}/{_here()}{launcher.pid}-{launcher.create_time():.2f}-{attempt}-{next(_meetings)}"


def _here() -> str:
    """Where numbers of processes mean the same: the folder may be shared by nodes and containers."""
    return f"{socket.gethostname()}-{_pid_namespace()}-"


def _pid_namespace() -> str:
    return re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))


def _launcher() -> psutil.Process:
    # a shell may stand between srun's daemon and the rank
    above = psutil.Process().parents()
    return next((process for process in above if process.name() == "slurmstepd"), above[0])


def _sweep(folder: Path) -> None:
    """Remove the files of launches that are over; ranks that had to leave at once leave theirs."""
    for file in folder.glob(f"{_here()}*"):
        pid, started = file.name.removeprefix(_here()).split("-")[:2]
        with suppress(OSError, ValueError, psutil.Error):
            if not psutil.pid_exists(int(pid)) or f"{psutil.Process(int(pid)).create_time():.2f}" != started:
                file.unlink()


def _stores_over_tcp(launch: Launch, master: tuple[str, int], wait: timedelta) -> tuple[Store, Store]:
    host, port = master
    agents_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
    hosts_it = launch.rank == 0 and not agents_store
    try:
        use_interface_towards(host)
        if not hosts_it:  # the launcher's store is open before the first rank starts
            wait_for_door(host, port, min(wait.total_seconds(), DOOR_S) if agents_store else wait.total_seconds())
    except EnvironmentFault as fault:
        raise EnvironmentFault(
            f"rank {launch.rank} cannot meet the others: {fault}; MASTER_ADDR must be one that all nodes reach"
        ) from None
    try:
        store = TCPStore(host, port, is_master=hosts_it, timeout=wait, wait_for_workers=False, multi_tenant=True)
        roll: Store = store.clone()  # type: ignore[attr-defined]
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentFault(
            f"rank {launch.rank} on {socket.gethostname()} cannot reach {place(host, port)}, where the ranks meet: "
            f"{reason}"
        ) from None
    meeting = next(_meetings)  # of this process; the keys of an earlier one must not be met again
    return PrefixStore(f"{meeting}/group", store), PrefixStore(f"{meeting}/roll", roll)


def named(ranks: Sequence[int], peers: Sequence[Peer]) -> str:
    """Ranks in words, with their nodes where there are several: ``rank 1 on b, ranks 2, 3 on c``."""
    several = len({peer.node for peer in peers}) > 1
    by_node: dict[str, list[str]] = {}
    for rank in ranks:
        by_node.setdefault(peers[rank].node if several else "", []).append(str(rank))
    return ", ".join(
        f"rank{'s' * (len(who) > 1)} {', '.join(who)}" + (f" on {node}" if node else "")
        for node, who in by_node.items()
    )
