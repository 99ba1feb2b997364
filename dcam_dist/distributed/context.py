"""Who this process is among its peers, and the process groups' life."""

import gc
import math
import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist

from dcam_dist.distributed.control import Control, use_control
from dcam_dist.distributed.lost import end_when_lost, memory_fault, naming_silent_ranks
from dcam_dist.distributed.meeting import Meeting, alone, join
from dcam_dist.distributed.network import place
from dcam_dist.distributed.patience import Patience
from dcam_dist.distributed.roll_call import Watch
from dcam_dist.errors import DcamError, EnvironmentFault, FailedElsewhere, RankLost
from dcam_dist.launchers import Launch, read_launch
from dcam_dist.models.norm import use_statistics_group
from dcam_dist.parent_death import die_with_parent

INTERRUPTED = 130
_BOUND = {"SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK", "SLURM_GPU_BIND"}
NCCL_LATER_S = 60
"""NCCL waits so much longer than the others: its own end of a hang is an abort that names nobody."""
STORE_LATER_S = 15
"""So much longer than every exchange may the store take by which the ranks meet."""


@dataclass(frozen=True)
class ProcessContext:
    """This process.

    Beside the default group, NCCL on GPUs and gloo elsewhere, there are two more: one for the statistics of the
    normalization, and the control group, always gloo, for every small exchange (``control``).

    Attributes:
        rank: Index among all processes.
        local_rank: Index among the processes of this node.
        world_size: Number of processes.
        device: ``cpu`` or ``cuda:N``.
        node: Name of this node.
        restarted: Whether other ranks have met at the same place before, so the launcher has started all again.
    """

    rank: int
    local_rank: int
    world_size: int
    device: str
    node: str = ""
    restarted: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks to the console."""
        return self.rank == 0


@contextmanager
def open_processes(timeout_s: float = 600) -> Iterator[ProcessContext]:
    """Join the processes that torchrun, deepspeed or srun started, or be the only one; leave on exit.

    Args:
        timeout_s: Longest wait for another rank, in every exchange.

    Raises:
        UsageError: When the launcher's variables are incomplete or contradict each other.
        EnvironmentFault: When the ranks cannot meet, or memory is exhausted within.
        RankLost: When a rank is lost within. This process then ends in any case within a few seconds.
        FailedElsewhere: When another rank has left with an error of its own.
    """
    launch = read_launch()
    if launch.owned:
        die_with_parent()
    context = ProcessContext(
        launch.rank, launch.local_rank, launch.world_size, _device(launch.local_rank), socket.gethostname()
    )
    with _patience(launch, timeout_s) as patience:
        meeting = join(launch, timeout_s) if launch.world_size > 1 else None
        context = replace(context, restarted=meeting is not None and meeting.number > 1)
        patience.heard()
        control = _form_groups(context, meeting, timeout_s)
    watch = _watch(meeting, control, context, timeout_s) if meeting else None
    ended: BaseException | None = None
    try:
        guard = naming_silent_ranks(meeting, control, watch, timeout_s) if meeting and watch else nullcontext()
        with guard, _telling_of_full_memory(context):
            yield context
    except BaseException as error:
        ended = error
        raise
    finally:
        if not isinstance(ended, RankLost):  # taking groups apart would wait for the lost rank; this process ends soon
            own = not isinstance(ended, FailedElsewhere)
            if watch and not watch.leave(_exit_code(ended), own=own) and isinstance(ended, EnvironmentFault):
                ended.quiet = True  # several ranks have met the same
            _leave(ended, context)


def before_leaving(close: Callable[[], None]) -> None:
    """Have something closed while the process group still lives."""
    _closers.append(close)


_closers: list[Callable[[], None]] = []


def _patience(launch: Launch, timeout_s: float) -> Patience:
    # the exchanges have the timeout; the store itself, where its host is stopped or cut off, has none
    where = place(*launch.master) if launch.master else "this node"
    return Patience(
        timeout_s + STORE_LATER_S,
        f"rank {launch.rank} of {launch.world_size} on {socket.gethostname()}: {where}, where the ranks meet, does not "
        "answer: the launcher there is stopped or the network is cut; look at that node, then start again",
    )


def let_our_line_come_first(timeout_s: float, variables: MutableMapping[str, str] = os.environ) -> None:
    """Keep torch's own watch over NCCL from ending a process before the roll call has named who is missing.

    Args:
        timeout_s: Longest wait for another rank.
        variables: The environment; what the user has set stays.
    """
    # after 480 s without a sign of life of NCCL's thread torch aborts the process, and says nothing that a user reads
    variables.setdefault("TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", str(math.ceil(timeout_s) + 2 * NCCL_LATER_S))
    # a timeout would leave pickles of every rank in /tmp, and wait for the writing of them
    variables.setdefault("TORCH_NCCL_DUMP_ON_TIMEOUT", "0")


def _form_groups(context: ProcessContext, meeting: Meeting | None, timeout_s: float) -> Control:
    on_gpu = context.device.startswith("cuda")
    wait, longer = timedelta(seconds=timeout_s), timedelta(seconds=timeout_s + NCCL_LATER_S)
    if on_gpu:
        let_our_line_come_first(timeout_s)
        torch.cuda.set_device(context.device)
        # fp32 means float32: by default convolutions would compute in TF32, with 10 bits of mantissa
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=meeting.group if meeting else alone(),
            rank=context.rank,
            world_size=context.world_size,
            timeout=longer if on_gpu else wait,
        )
        use_statistics_group(dist.new_group(timeout=longer if on_gpu else wait))
        group = dist.new_group(backend="gloo", timeout=wait) if meeting else None
    except (RuntimeError, ValueError) as error:
        interface = os.environ.get("GLOO_SOCKET_IFNAME")
        over = f" over GLOO_SOCKET_IFNAME={interface}, by which all must reach each other" if interface else ""
        raise EnvironmentFault(
            f"rank {context.rank} of {context.world_size} on {context.node} cannot join its peers{over}: {error}"
        ) from None
    control = Control(group, context.rank, context.world_size)
    use_control(control)
    return control


def _watch(meeting: Meeting, control: Control, context: ProcessContext, timeout_s: float) -> Watch:
    alarm_s = _alarm_s(context.device, timeout_s)
    watch = Watch(meeting, control, alarm_s, partial(end_when_lost, meeting, control, timeout_s))
    watch.start()
    return watch


def _alarm_s(device: str, timeout_s: float) -> float:
    """How long a rank may be without an exchange before it asks who is there; on the CPU gloo notices by itself."""
    return timeout_s if device.startswith("cuda") else float("inf")


@contextmanager
def _telling_of_full_memory(context: ProcessContext) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        fault = memory_fault(error, context.rank, context.world_size)
        if fault is None:
            raise
        raise fault from error


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, DcamError) else 1


def _leave(error: BaseException | None, context: ProcessContext) -> None:
    while _closers:
        _closers.pop()()
    # what is left of an engine sits in reference cycles; were it collected only after the group is gone, the group's
    # destructor would run under the interpreter's lock, for which the group's own thread may be waiting: a hang
    gc.collect()
    use_statistics_group(None)
    use_control(Control())
    if dist.is_initialized() and not (error is not None and context.world_size > 1 and "cuda" in context.device):
        dist.destroy_process_group()


def _device(local_rank: int) -> str:
    if not torch.cuda.is_available():
        return "cpu"
    if torch.cuda.device_count() == 1 and _BOUND & os.environ.keys():
        return "cuda:0"  # srun shows each of its tasks the one device that is bound to it
    if local_rank >= torch.cuda.device_count():
        raise EnvironmentFault(  # this rank alone knows, so it must be one that is told on every rank
            f"local rank {local_rank} has no GPU: this node has {torch.cuda.device_count()}; lower --nproc_per_node"
        )
    return f"cuda:{local_rank}"
