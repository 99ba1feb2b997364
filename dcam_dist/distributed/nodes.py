"""How the launchers of several nodes meet, and what each of them fills in; a launcher on its own opens no port."""

import os
from argparse import Namespace
from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from torch._C._distributed_c10d import HashStore, Store, TCPStore
from torch.distributed.elastic.rendezvous import (
    RendezvousClosedError,
    RendezvousConnectionError,
    RendezvousHandler,
    RendezvousParameters,
    RendezvousTimeoutError,
    rendezvous_handler_registry,
)
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import DEFAULT_PORT, C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import Token, create_handler
from torch.distributed.elastic.rendezvous.utils import _parse_rendezvous_config, parse_rendezvous_endpoint
from torch.distributed.run import parse_min_max_nnodes

from dcam_dist.distributed.network import (
    DOOR_S,
    is_own,
    own_address_towards,
    place,
    require_named_interfaces,
    use_interface_towards,
    wait_for_door,
)
from dcam_dist.distributed.patience import Patience
from dcam_dist.errors import EnvironmentFault, UsageError

JOIN_S = 300
"""How long to wait for the other nodes; torchrun has 600 s."""
_MEETING = "dcam-dist"
"""The name under which torchrun's agent finds ``_meet``."""
_LATER_S = 10
"""Where torch has a timeout of its own it comes first."""
_NO_ANSWER = (
    "{}, where the nodes meet, does not answer: its launcher is stopped, another program has the port, or the "
    "network is cut; look at that node, then start all nodes again"
)


def fill_in(options: Namespace, variables: Mapping[str, str] = os.environ) -> None:
    """Complete torchrun's options for this node, in place, and choose its network interface.

    Other meetings than torchrun's ``c10d``, and its ``static`` one of several nodes, are left as they are.

    Args:
        options: As torchrun has parsed them.
        variables: The environment, where Slurm says which node this is.

    Raises:
        UsageError: When the options cannot mean anything.
        EnvironmentFault: When the endpoint's name has no address or no route leads there, or an interface that the
            user has named is not there.
    """
    try:
        _, most = parse_min_max_nnodes(options.nnodes)
    except (ValueError, RuntimeError):
        raise UsageError(f"--nnodes={options.nnodes} is neither a number of nodes nor LEAST:MOST") from None
    if options.standalone or (most == 1 and options.rdzv_backend in {"static", "c10d"}):
        _alone(options)
    elif options.rdzv_backend == "c10d":
        _among_others(options, variables)


def offer_meeting(options: Namespace) -> Patience | None:
    """Let torchrun's agent find the meeting that the options speak of; once in a process.

    Args:
        options: Filled in.

    Returns:
        The patience to have with its place; ``None`` where the launchers meet in torchrun's own ways.
    """
    if options.rdzv_backend != _MEETING:
        return None
    patience = Patience(_number(options, "read_timeout") + _LATER_S, _NO_ANSWER.format(options.rdzv_endpoint))
    rendezvous_handler_registry.register(_MEETING, partial(_meet, patience))
    return patience


def explain(error: Exception, options: Namespace, came: int) -> str:
    """What to say when the launchers could not meet or have lost each other.

    Args:
        error: What torchrun's agent has raised.
        options: Its options, filled in.
        came: The most nodes that were there at once.
    """
    where = f"{options.rdzv_endpoint}, where the nodes meet"
    if isinstance(error, RendezvousTimeoutError):
        join_s = _number(options, "join_timeout")
        return (
            f"{came} of {options.nnodes} nodes came to {where}, within {join_s} s (--rdzv_conf join_timeout={join_s}); "
            "look at what the others say"
        )
    least, _ = parse_min_max_nnodes(options.nnodes)
    lost, over = isinstance(error, RendezvousConnectionError), isinstance(error, RendezvousClosedError)
    if came < least and (lost or (over and came > 1)):  # on its own it may have come when all was over
        return (
            f"{came} of {options.nnodes} nodes had come to {where}, when another gave up; look at what the others say"
        )
    if lost:
        return (
            f"lost the connection to {where}: its launcher has ended or the network is cut; start all nodes again: the "
            "run goes on from its last checkpoint"
        )
    if over:
        return f"the meeting at {options.rdzv_endpoint} is over: other nodes have ended; start all nodes again"
    return f"the launcher failed: {type(error).__name__}: {error}"


class Backend(C10dRendezvousBackend):
    """The launchers' common state in a store; whoever waits for the store has patience with it."""

    def __init__(self, store: Store, run_id: str, patience: Patience) -> None:
        super().__init__(store, run_id)
        self.patience = patience

    @property
    def name(self) -> str:
        """As it is registered."""
        return _MEETING

    def get_state(self) -> tuple[bytes, Token] | None:
        """As torch has it."""
        state: tuple[bytes, Token] | None = super().get_state()
        self.patience.heard()
        return state

    def set_state(self, state: bytes, token: Token | None = None) -> tuple[bytes, Token, bool] | None:
        """As torch has it."""
        held: tuple[bytes, Token, bool] | None = super().set_state(state, token)
        self.patience.heard()
        return held


def _alone(options: Namespace) -> None:
    # the ranks meet in a file, so nobody needs the port that torchrun opens, on all interfaces, for them
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    options.standalone, options.nnodes = False, "1:1"
    options.rdzv_endpoint, options.local_addr = "", "localhost"
    _set(options, {})


def _among_others(options: Namespace, variables: Mapping[str, str]) -> None:
    host, port = _endpoint(options.rdzv_endpoint)
    options.rdzv_endpoint = place(host, port)
    require_named_interfaces()
    use_interface_towards(host)
    hosts_it = _hosts_it(options, variables)
    _set(options, {} if hosts_it is None else {"is_host": str(int(hosts_it))})
    # the host's own name may lead to loopback on itself; as the endpoint is written the others reach it
    hosts = _boolean(options, "is_host", is_own(host))
    options.local_addr = options.local_addr or (host if hosts else own_address_towards(host))


def _endpoint(text: str) -> tuple[str, int]:
    example = "write the first node's name or address, the same on all nodes: --rdzv_endpoint=NAME:29400"
    if not text:
        raise UsageError(f"several nodes (--nnodes) need a place to meet; {example}")
    if text.count(":") > 1 and "]" not in text:
        raise UsageError(f"--rdzv_endpoint={text}: write an IPv6 address in brackets: [{text}]:{DEFAULT_PORT}")
    try:
        host, port = parse_rendezvous_endpoint(text, DEFAULT_PORT)
    except ValueError:
        host, port = "", 0
    if not port:
        raise UsageError(f"--rdzv_endpoint={text} is no host with a port; {example}")
    return host, port


def _hosts_it(options: Namespace, variables: Mapping[str, str]) -> bool | None:
    """Whether Slurm says that this is the first node, or another; ``None`` where it does not say."""
    least, most = parse_min_max_nnodes(options.nnodes)
    tasks = variables.get("SLURM_STEP_NUM_TASKS", "")
    # in a step of one task, as where each node has a step of its own, every node is the first
    one_step = (
        tasks == variables.get("SLURM_STEP_NUM_NODES") and tasks.isdecimal() and max(2, least) <= int(tasks) <= most
    )
    return variables.get("SLURM_NODEID") == "0" if one_step else None


def _set(options: Namespace, found: Mapping[str, str]) -> None:
    """Name the meeting and complete ``--rdzv_conf``; what the user has said there stays."""
    options.rdzv_backend = _MEETING
    defaults = {"join_timeout": str(JOIN_S), "read_timeout": str(round(DOOR_S))}
    try:
        said = {**defaults, **found, **_parse_rendezvous_config(options.rdzv_conf)}
    except ValueError:
        raise UsageError(f"--rdzv_conf={options.rdzv_conf} is no list of NAME=VALUE with commas between them") from None
    options.rdzv_conf = ",".join(f"{key}={value}" for key, value in said.items())
    for name in defaults:
        _number(options, name)
    _boolean(options, "is_host", missing=False)


def _number(options: Namespace, name: str) -> int:
    text = _parse_rendezvous_config(options.rdzv_conf)[name]
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--rdzv_conf {name}={text}: write a number of seconds from 1 on")
    return int(text)


def _boolean(options: Namespace, name: str, missing: bool) -> bool:
    said = _parse_rendezvous_config(options.rdzv_conf)
    if name not in said:
        return missing
    if said[name] not in {"0", "1"}:
        raise UsageError(f"--rdzv_conf {name}={said[name]}: write 0 or 1")
    return said[name] == "1"


def _meet(patience: Patience, parameters: RendezvousParameters) -> RendezvousHandler:
    store = _store(parameters, patience) if parameters.endpoint else HashStore()
    with patience:
        backend = Backend(store, parameters.run_id, patience)
    return create_handler(store, backend, parameters)


def _store(parameters: RendezvousParameters, patience: Patience) -> Store:
    host, port = parse_rendezvous_endpoint(parameters.endpoint, DEFAULT_PORT)
    hosts_it, seconds = parameters.get_as_bool("is_host"), int(parameters.get("read_timeout"))
    connect = partial(TCPStore, host, port, multi_tenant=True, timeout=timedelta(seconds=seconds))
    if hosts_it or (hosts_it is None and is_own(host)):
        try:
            with patience:
                return connect(is_master=True)
        except RuntimeError as error:
            if hosts_it:
                raise EnvironmentFault(_cannot_host(place(host, port), error)) from None
            # another launcher of this machine was first
    wait_for_door(host, port, seconds)
    try:
        with patience:
            return connect(is_master=False)
    except RuntimeError as error:
        raise EnvironmentFault(f"cannot meet the other nodes at {place(host, port)}: {_first_line(error)}") from None


def _cannot_host(where: str, error: RuntimeError) -> str:
    if "EADDRINUSE" in str(error):
        return f"cannot hold the meeting of the nodes at {where}: the port is taken here; choose another on all nodes"
    return (
        f"cannot hold the meeting of the nodes at {where}: this node does not reach itself there; --rdzv_endpoint must "
        "be an address of the first node"
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
