"""Who this process is among its peers, as its launcher says: torchrun, deepspeed, srun, or none of them.

Needs no torch: the command line asks before anything heavy is imported.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dcam_dist.errors import UsageError

_FIRST_PORT, _PORTS = 12_000, 20_000
"""Below the ports that Linux gives to outgoing connections."""


@dataclass(frozen=True)
class Launch:
    """This process among those that one launcher started.

    Attributes:
        launcher: ``torchrun``, ``deepspeed``, ``srun``, ``variables`` (set by hand), or ``""``: alone.
        rank: Index among all processes.
        local_rank: Index among the processes of this node.
        world_size: Number of processes.
        local_world_size: Those of this node; 1 where the launcher does not say.
        master: Host and port where the ranks of several nodes meet, where known.
    """

    launcher: str = ""
    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    master: tuple[str, int] | None = None

    @property
    def one_node(self) -> bool:
        """Whether all processes are on this node."""
        return self.local_world_size == self.world_size

    @property
    def owned(self) -> bool:
        """Whether the parent is a launcher without which this process must not go on."""
        return self.launcher in {"torchrun", "deepspeed"}


def read_launch(variables: Mapping[str, str] = os.environ) -> Launch:
    """Who this process is.

    torchrun and deepspeed set ``RANK`` and its kin, and those go first. ``srun`` is understood within a step of several
    tasks only, so that a plain call in a batch script stays a single process.

    Raises:
        UsageError: When variables are incomplete or contradict each other.
    """
    if "RANK" in variables or "WORLD_SIZE" in variables:
        launch = _from_ranks(variables)
    elif _number(variables, "SLURM_STEP_NUM_TASKS", 1) > 1 and "SLURM_PROCID" in variables:
        launch = _from_step(variables)
    else:
        return Launch()
    _check(launch, variables)
    return launch


def first_node(node_list: str) -> str:
    """The first name of a Slurm node list: ``gpu[07-09,12],login`` gives ``gpu07``."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,]*))?", node_list)
    if found is None:
        raise UsageError(f"environment variable SLURM_STEP_NODELIST={node_list!r} names no node; set MASTER_ADDR")
    return "".join(part or "" for part in found.groups())


def _from_ranks(variables: Mapping[str, str]) -> Launch:
    rank, world_size = (_number(variables, name) for name in ("RANK", "WORLD_SIZE"))
    local_rank = _number(variables, "LOCAL_RANK", None if world_size > 1 else 0)
    local_size = _number(variables, "LOCAL_WORLD_SIZE", _number(variables, "LOCAL_SIZE", 1))
    launcher = "variables"
    if "TORCHELASTIC_RUN_ID" in variables:
        launcher = "torchrun"
    elif "CROSS_SIZE" in variables:
        launcher = "deepspeed"
    master = None
    if local_size != world_size:
        if "MASTER_ADDR" not in variables:
            raise UsageError(
                "environment variables LOCAL_WORLD_SIZE and MASTER_ADDR are both missing or speak of several nodes "
                "without a place to meet; start with torchrun, deepspeed or srun"
            )
        master = variables["MASTER_ADDR"], _number(variables, "MASTER_PORT")
    return Launch(launcher, rank, local_rank, world_size, local_size, master)


def _from_step(variables: Mapping[str, str]) -> Launch:
    rank, local_rank, world_size, node = (
        _number(variables, name) for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS", "SLURM_NODEID")
    )
    tasks = _tasks_per_node(variables.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if sum(tasks) != world_size or node >= len(tasks):
        raise UsageError(
            f"environment variables SLURM_STEP_TASKS_PER_NODE={variables.get('SLURM_STEP_TASKS_PER_NODE')!r}, "
            f"SLURM_STEP_NUM_TASKS={world_size} and SLURM_NODEID={node} contradict each other; unset those "
            "that are not srun's"
        )
    host = variables.get("MASTER_ADDR") or first_node(variables.get("SLURM_STEP_NODELIST", ""))
    job, step = (_number(variables, name, 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = _number(variables, "MASTER_PORT", _FIRST_PORT + (job * 31 + step) % _PORTS)
    return Launch("srun", rank, local_rank, world_size, tasks[node], (host, port))


def _tasks_per_node(text: str) -> list[int]:
    """``2(x3),1`` means 2, 2, 2, 1."""
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?(?:,|$)", text)
    return [int(tasks) for tasks, times in parts for _ in range(int(times or 1))]


def _check(launch: Launch, variables: Mapping[str, str]) -> None:
    all_of_them, here = ("number of processes", launch.world_size), ("processes of this node", launch.local_world_size)
    says_here = {"LOCAL_WORLD_SIZE", "LOCAL_SIZE"} & variables.keys()
    pairs = (
        (launch.rank < launch.world_size, "rank", launch.rank, *all_of_them),
        (launch.local_rank <= launch.rank, "local rank", launch.local_rank, "rank", launch.rank),
        (launch.local_world_size <= launch.world_size, *here, *all_of_them),
        (launch.local_rank < launch.local_world_size or not says_here, "local rank", launch.local_rank, *here),
    )
    for fits, *facts in pairs:
        if not fits:
            raise UsageError(
                "the launcher's environment variables contradict each other: {} {}, {} {}; were some left over from "
                "another start?".format(*facts)
            )


def _number(variables: Mapping[str, str], name: str, missing: int | None = None) -> int:
    text = variables.get(name)
    if text is None and missing is not None:
        return missing
    if text is None or not text.isdecimal():
        state = "is not set" if text is None else f"is {text!r}, no number"
        raise UsageError(
            f"environment variable {name} {state}, but others of a launcher are there; start with torchrun, deepspeed "
            "or srun, or unset them"
        )
    return int(text)
