"""Who this process is among its peers, and the process group's life."""

import gc
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import torch
import torch.distributed as dist

from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.models.norm import use_statistics_group


@dataclass(frozen=True)
class ProcessContext:
    """This process.

    Attributes:
        rank: Index among all processes.
        local_rank: Index among the processes of this node.
        world_size: Number of processes.
        device: ``cpu`` or ``cuda:N``.
    """

    rank: int
    local_rank: int
    world_size: int
    device: str

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the console."""
        return self.rank == 0


@contextmanager
def open_processes(timeout_s: int = 600) -> Iterator[ProcessContext]:
    """Join the processes that torchrun started, or be the only one; leave on exit.

    Raises:
        UsageError: When torchrun's variables are incomplete or contradict each other.
        EnvironmentFault: When the group cannot be formed.
    """
    rank, local_rank, world_size = (_variable(name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    context = ProcessContext(rank, local_rank, world_size or 1, _device(local_rank))
    backend = "nccl" if context.device.startswith("cuda") else "gloo"
    if context.device.startswith("cuda"):
        torch.cuda.set_device(context.device)
    try:
        _join(context, backend, timedelta(seconds=timeout_s))
        use_statistics_group(dist.new_group(timeout=timedelta(seconds=timeout_s)))
    except (RuntimeError, ValueError) as error:
        raise EnvironmentFault(f"rank {rank} of {world_size}: cannot join its peers: {error}") from None
    try:
        yield context
    finally:
        _leave()


def before_leaving(close: Callable[[], None]) -> None:
    """Have something closed while the process group still lives."""
    _closers.append(close)


_closers: list[Callable[[], None]] = []


def _leave() -> None:
    while _closers:
        _closers.pop()()
    # what is left of an engine sits in reference cycles; were it collected only after the group is gone, the group's
    # destructor would run under the interpreter's lock, for which the group's own thread may be waiting: a hang
    gc.collect()
    use_statistics_group(None)
    if dist.is_initialized():
        dist.destroy_process_group()


def _join(context: ProcessContext, backend: str, timeout: timedelta) -> None:
    if context.world_size == 1:
        store = torch._C._distributed_c10d.HashStore()  # in this process: no port, no file
        dist.init_process_group(backend, store=store, rank=0, world_size=1, timeout=timeout)
    elif _variable("LOCAL_WORLD_SIZE") == context.world_size:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        dist.init_process_group(
            backend, init_method=_meeting_file(), rank=context.rank, world_size=context.world_size, timeout=timeout
        )
    else:
        dist.init_process_group(backend, timeout=timeout)


_meetings = itertools.count()


def _meeting_file() -> str:
    # torch's TCP store listens on all interfaces even when told 127.0.0.1, so one node meets in a file. The launcher
    # is the parent of all ranks; with its start time it names this very launch, so a stale file is never met. Nor is
    # the file of an earlier meeting of this launch, which the slower ranks may not have left yet.
    launcher = psutil.Process(os.getppid())
    folder = Path(tempfile.gettempdir()) / f"dcam-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise EnvironmentFault(f"{folder}: belongs to somebody else; set TMPDIR to a folder of your own")
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return f"file://{folder}/{launcher.pid}-{launcher.create_time():.2f}-{attempt}-{next(_meetings)}"


def _variable(name: str) -> int:
    text = os.environ.get(name, "0")
    if not text.isdecimal():
        raise UsageError(f"environment variable {name}={text!r} is not a number; start under torchrun, or unset it")
    return int(text)


def _device(local_rank: int) -> str:
    if not torch.cuda.is_available():
        return "cpu"
    if local_rank >= torch.cuda.device_count():
        raise EnvironmentFault(  # this rank alone knows, so it must be one that is told on every rank
            f"local rank {local_rank} has no GPU: this node has {torch.cuda.device_count()}; lower --nproc_per_node"
        )
    return f"cuda:{local_rank}"
