"""What this machine knows of its network: asked of the real one."""

import socket
import threading
import time

import psutil
import pytest

from dcam_dist.distributed.network import (
    addresses_of,
    interface_of,
    interface_towards,
    is_own,
    own_address_towards,
    place,
    require_interface,
    wait_for_door,
)
from dcam_dist.errors import EnvironmentFault

LOOPBACK = next(name for name, own in psutil.net_if_addrs().items() if any(one.address == "127.0.0.1" for one in own))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_addresses_are_of_both_versions_and_each_once():
    assert addresses_of("127.0.0.1") == ("127.0.0.1",)
    assert addresses_of("::1") == ("::1",)
    assert {"127.0.0.1", "::1"} & set(addresses_of("localhost"))


@pytest.mark.parametrize("ask", [addresses_of, own_address_towards, is_own, interface_towards])
def test_a_name_without_an_address_is_one_line_that_says_it(ask):
    with pytest.raises(EnvironmentFault, match=r"no address is known of nowhere\.invalid on .*suffix") as caught:
        ask("nowhere.invalid")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_leads_to_loopback_leaves_by_loopback(address):
    if address not in {one.address for own in psutil.net_if_addrs().values() for one in own}:
        pytest.skip(f"this machine has no {address}")
    assert own_address_towards(address) == address
    assert interface_of(address) == LOOPBACK == interface_towards(address)
    assert is_own(address)


def test_an_address_of_nobody_here_has_no_interface_and_is_not_own():
    assert interface_of("192.0.2.7") is None
    assert not is_own("192.0.2.7")
    assert not is_own("2001:db8::7")


def test_every_address_of_every_interface_is_own():
    for name, own in psutil.net_if_addrs().items():
        for one in own:
            if one.family in {socket.AF_INET, socket.AF_INET6}:
                assert is_own(one.address), (name, one.address)
                assert interface_of(one.address) == name


def test_an_interface_that_is_not_there_is_refused_with_those_that_are():
    require_interface(LOOPBACK)
    with pytest.raises(EnvironmentFault, match=rf"no network interface 'ib7'; it has .*\b{LOOPBACK}\b"):
        require_interface("ib7")


def test_a_door_that_stays_closed_says_refused_after_the_time():
    start, port = time.monotonic(), free_port()
    with pytest.raises(EnvironmentFault, match=rf"cannot reach 127\.0\.0\.1:{port} within 1 s: the connection was ref"):
        wait_for_door("127.0.0.1", port, 1)
    assert 0.5 < time.monotonic() - start < 5


def test_a_door_that_opens_late_is_waited_for():
    port = free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
        threading.Timer(0.6, server.listen).start()
        start = time.monotonic()
        wait_for_door("127.0.0.1", port, 20)
        assert time.monotonic() - start > 0.4


def test_a_listener_that_accepts_no_more_gives_no_answer():
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):  # what exceeds the queue is dropped
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        with pytest.raises(EnvironmentFault, match="there was no answer; look at the address, and whether a firewall"):
            wait_for_door(*server.getsockname(), 1)


def test_places_are_written_as_one_writes_them():
    assert place("gpu07", 29400) == "gpu07:29400"
    assert place("fd77::1", 29400) == "[fd77::1]:29400"
