"""Interfaces in a made /sys, and what the variables of gloo and NCCL make of them."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.network import (
    GLOO,
    NCCL,
    Interface,
    Port,
    chosen,
    find_interfaces,
    find_ports,
    host_lines,
    is_loopback,
    judge_host,
    judge_infiniband,
    judge_interfaces,
    judge_variable,
    network_lines,
)

LO = Interface("lo", up=True, addresses=("127.0.0.1",))
ETH0 = Interface("eth0", up=True, mbit=10_000, addresses=("10.0.0.2",))
ETH1 = Interface("eth1", up=False)
IB0 = Interface("ib0", up=True, addresses=("10.1.0.2",))
NODE = [LO, ETH0, ETH1, IB0]


def interface(root, name, state, flags="0x1003", speed=""):
    folder = root / "class/net" / name
    folder.mkdir(parents=True)
    for file, text in {"operstate": state, "flags": flags, "speed": speed}.items():
        (folder / file).write_text(f"{text}\n")


def test_interfaces_of_a_made_tree(tmp_path):
    interface(tmp_path, "eth0", "up", speed="10000")
    interface(tmp_path, "ib0", "down", speed="-1")
    interface(tmp_path, "lo", "unknown", flags="0x9")
    interface(tmp_path, "tun0", "unknown", flags="0x1002")
    (tmp_path / "class/net/bonding_masters").write_text("")
    found = {one.name: (one.up, one.mbit) for one in find_interfaces(Machine(sys=tmp_path))}
    assert found == {"eth0": (True, 10_000), "ib0": (False, None), "lo": (True, None), "tun0": (False, None)}


def test_interfaces_of_this_machine():
    found = {one.name: one for one in find_interfaces(Machine())}
    assert set(found) == {name for _, name in socket.if_nameindex()}
    assert "127.0.0.1" in found["lo"].addresses and found["lo"].up


def test_a_way_to_other_nodes():
    line = judge_interfaces(NODE)
    assert (line.state, "eth0 up 10000 Mbit/s 10.0.0.2" in line.found) == (State.OK, True)
    assert judge_interfaces([LO, ETH1]).state is State.WARN
    assert judge_interfaces([]).state is State.WARN


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        (GLOO, "eth0", "ok"),
        (GLOO, "eth0,ib0", "ok"),
        (GLOO, "eth", "fail"),
        (GLOO, "eth0,nosuch0", "fail"),
        (GLOO, "eth1", "warn"),
        (GLOO, "lo", "warn"),
        (GLOO, "", "fail"),
        (NCCL, "ib", "ok"),
        (NCCL, "=ib0", "ok"),
        (NCCL, "=ib", "fail"),
        (NCCL, "hsn", "fail"),
        (NCCL, "hsn,ib", "ok"),
        (NCCL, "eth", "warn"),
        (NCCL, "^eth,docker", "ok"),
        (NCCL, "^eth,ib", "fail"),
        (NCCL, "^=ib0", "warn"),
    ],
)
def test_the_interface_that_a_variable_names(name, value, state):
    line = judge_variable(name, value, NODE)
    assert (line.name, line.state) == (name, state)
    assert bool(line.remedy) == (state != "ok")


@given(st.sampled_from([GLOO, NCCL]), st.text() | st.text(alphabet="^=,eth0 "))
def test_any_value_can_be_judged(name, value):
    wanted, missing = chosen(name, value, NODE)
    assert set(wanted) <= set(NODE)
    assert judge_variable(name, value, NODE).state in (State.FAIL if missing else State)


def test_infiniband(tmp_path):
    for port, state, rate in (
        ("mlx5_0/ports/1", "4: ACTIVE", "200 Gb/sec (4X HDR)"),
        ("mlx5_1/ports/1", "1: DOWN", "10"),
    ):
        folder = tmp_path / "class/infiniband" / port
        folder.mkdir(parents=True)
        (folder / "state").write_text(f"{state}\n")
        (folder / "rate").write_text(f"{rate}\n")
    ports = find_ports(Machine(sys=tmp_path))
    assert ports == [Port("mlx5_0/1", "ACTIVE", "200 Gb/sec (4X HDR)"), Port("mlx5_1/1", "DOWN", "10")]
    line = judge_infiniband(ports)
    assert (line.state, line.found) == (State.OK, "mlx5_0/1 200 Gb/sec (4X HDR); not active: mlx5_1/1 DOWN")
    assert judge_infiniband(ports[1:]).state is State.WARN
    assert judge_infiniband([]).found == "none"


@pytest.mark.parametrize(
    ("addresses", "state"),
    [
        ([], "warn"),
        (["127.0.1.1"], "warn"),
        (["127.0.0.1", "::1"], "warn"),
        (["10.0.0.2"], "ok"),
        (["127.0.1.1", "10.0.0.2"], "ok"),
        (["fe80::1%eth0"], "ok"),
    ],
)
def test_the_host_name(addresses, state):
    assert judge_host("node1", addresses).state == state


@given(st.text())
def test_any_address_can_be_judged(address):
    assert is_loopback(address) in (True, False)


def test_this_machine():
    (line,) = host_lines(Machine())
    assert line.found.startswith(socket.gethostname())
    here = Machine(variables={GLOO: "nosuch0"})
    assert [(line.name, line.state) for line in network_lines(here)][1] == (GLOO, "fail")
