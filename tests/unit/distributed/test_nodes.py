"""What the launcher of a node fills in among torchrun's options."""

import os
import socket

import psutil
import pytest
import torch.distributed.run as torchrun
from torch.distributed.elastic.rendezvous import RendezvousClosedError, RendezvousConnectionError

from dcam_dist.distributed.network import interface_of
from dcam_dist.distributed.nodes import explain, fill_in
from dcam_dist.errors import EnvironmentFault, UsageError

STEP = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}
CHOSEN = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE")


@pytest.fixture(autouse=True)
def environ():
    """What is chosen is told to the ranks by the environment."""
    before = dict(os.environ)
    for name in CHOSEN:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def filled(*options, **variables):
    parsed = torchrun.parse_args([*options, "-m", "dcam_dist"])
    fill_in(parsed, variables)
    return parsed


def several(*options, endpoint="127.0.0.1:29411", **variables):
    return filled("--nnodes=2", "--rdzv_backend=c10d", f"--rdzv_endpoint={endpoint}", *options, **variables)


def settings(options):
    return dict(pair.split("=") for pair in options.rdzv_conf.split(","))


@pytest.mark.parametrize(
    "said", [(), ("--standalone",), ("--standalone", "--nnodes=2"), ("--rdzv_backend=c10d", "--rdzv_endpoint=gpu1:1")]
)
def test_one_node_has_no_endpoint_and_shares_no_store(said):
    options = filled(*said)
    assert (options.rdzv_endpoint, options.nnodes, options.local_addr) == ("", "1:1", "localhost")
    assert os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"


@pytest.mark.parametrize("backend", ["static", "etcd"])
def test_other_ways_of_several_nodes_stay_as_they_are(backend):
    said = ("--nnodes=2", f"--rdzv_backend={backend}", "--rdzv_endpoint=127.0.0.1:1")
    assert filled(*said) == torchrun.parse_args([*said, "-m", "dcam_dist"])


def test_the_host_is_known_by_the_endpoint_as_it_is_written():
    assert several(endpoint="localhost:29411").local_addr == "localhost"
    assert "is_host" not in settings(several())  # the first launcher of a machine becomes it
    assert several("--local_addr=10.0.0.7").local_addr == "10.0.0.7"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_another_node_is_known_by_the_address_that_leads_to_the_endpoint():
    lo = next(name for name, own in psutil.net_if_addrs().items() if "127.0.0.1" in {one.address for one in own})
    assert several("--rdzv_conf=is_host=0", endpoint="[::1]").local_addr == "::1"
    assert os.environ["GLOO_SOCKET_IFNAME"] == lo == interface_of("::1")
    assert os.environ["NCCL_SOCKET_IFNAME"] == f"={lo}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("127.0.0.1", "127.0.0.1:29400"),
        ("localhost", "localhost:29400"),
        ("[::1]", "[::1]:29400"),
        ("[::1]:29411", "[::1]:29411"),
    ],
)
def test_forms_of_an_endpoint(said, expected):
    assert several(endpoint=said).rdzv_endpoint == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "several nodes .* need a place to meet; .*--rdzv_endpoint=NAME:29400"),
        ("::1", r"write an IPv6 address in brackets: \[::1\]:29400"),
        ("localhost:0", "is no host with a port"),
        ("localhost:many", "is no host with a port"),
        ("/shared/file", "is no host with a port"),
    ],
)
def test_an_endpoint_that_is_none_is_refused(said, expected):
    with pytest.raises(UsageError, match=expected):
        several(endpoint=said)


def test_slurms_first_node_holds_the_meeting_unless_the_user_has_said_who():
    assert settings(several(**STEP, SLURM_NODEID="0"))["is_host"] == "1"
    assert settings(several(**STEP, SLURM_NODEID="1"))["is_host"] == "0"
    assert settings(several("--rdzv_conf=is_host=0", **STEP, SLURM_NODEID="0"))["is_host"] == "0"


@pytest.mark.parametrize(
    ("tasks", "nodes", "wanted"),
    [("4", "2", "2"), ("1", "1", "2"), ("1", "1", "1:2"), ("3", "3", "2")],
    ids=["two a node", "a step for each node", "the same, elastic", "more than wanted"],
)
def test_a_step_of_another_shape_does_not_say_who_holds_it(tasks, nodes, wanted):
    variables = {"SLURM_STEP_NUM_TASKS": tasks, "SLURM_STEP_NUM_NODES": nodes, "SLURM_NODEID": "0"}
    assert "is_host" not in settings(several(f"--nnodes={wanted}", **variables))


def test_the_wait_for_others_has_a_default_and_can_be_set():
    assert settings(several())["join_timeout"] == "300"
    assert settings(several("--rdzv_conf=join_timeout=20"))["join_timeout"] == "20"


@pytest.mark.parametrize("conf", ["join_timeout=soon", "join_timeout=0", "read_timeout=-1", "is_host=maybe", "=1", "x"])
def test_settings_of_the_meeting_that_are_none_are_refused(conf):
    with pytest.raises(UsageError, match="--rdzv_conf"):
        several(f"--rdzv_conf={conf}")


def test_a_number_of_nodes_that_is_none_is_refused():
    with pytest.raises(UsageError, match="--nnodes=two is neither"):
        filled("--nnodes=two")


def test_an_interface_of_the_users_stays():
    lo = interface_of("127.0.0.1")
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = lo
    several()
    assert os.environ["GLOO_SOCKET_IFNAME"] == os.environ["NCCL_SOCKET_IFNAME"] == lo


@pytest.mark.parametrize(
    ("name", "known"), [("l", True), ("^docker", True), ("=l", False), ("ib,l", True), ("ib", False)]
)
def test_the_ways_of_nccl_to_name_an_interface(name, known):
    assert interface_of("127.0.0.1") == "lo"
    os.environ["NCCL_SOCKET_IFNAME"] = name
    if known:
        several()
        return
    with pytest.raises(EnvironmentFault, match="has no network interface"):
        several()


def test_what_is_said_of_a_meeting_that_came_to_nothing():
    options = several("--rdzv_conf=is_host=1")
    assert "lost the connection to 127.0.0.1:29411, where the nodes meet" in explain(
        RendezvousConnectionError(), options, 2
    )
    assert explain(RendezvousConnectionError(), options, 1).startswith("1 of 2 nodes had come to 127.0.0.1:29411")
    assert "is over: other nodes have ended" in explain(RendezvousClosedError(), options, 2)
    assert explain(ValueError("odd"), options, 1) == "the launcher failed: ValueError: odd"
