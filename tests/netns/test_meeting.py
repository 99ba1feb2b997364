"""How the launchers of two hosts meet, by the same line on both, and how they end where they cannot. pytest -m netns"""

import re
import signal
import time

import psutil
import pytest
from support.launched import JOBS, gone, wait_for
from support.two_hosts import PORT

from dcam_dist.distributed.agent import AFTERMATH_S
from dcam_dist.distributed.network import DOOR_S

pytestmark = pytest.mark.netns

SOON = "--rdzv_conf=read_timeout=4"
START_S = 15
"""For the imports of a launcher, on a busy machine."""


def meet(hosts, *options, **how):
    """A short job on both hosts, which meet and sum."""
    for host in (1, 2):
        hosts.start(host, [JOBS, "quick", hosts.folder], *options, **how)


def assert_one_line_each(hosts, pattern, within_s, code=4):
    """Each launcher that was started ends in time, with one line that says why and nothing else."""
    start = time.monotonic()
    codes = hosts.end(within_s)
    print(f"\nended after {time.monotonic() - start:.1f} s")
    for host in hosts.launchers:
        print(hosts.said(host))
        (line,) = hosts.said(host)
        assert re.search(pattern, line), line
    assert codes == [code] * len(codes)


@pytest.mark.parametrize("hosts", [4, 6], indirect=True)
def test_the_same_line_on_both_hosts_is_enough(hosts):
    meet(hosts)
    assert hosts.end(90) == [0, 0], [hosts.said(1), hosts.said(2)]


def test_a_name_that_resolves_with_its_suffix_only(hosts):
    for host in (1, 2):
        hosts.know(host, **{f"{hosts.name}1i": hosts.address(1)})
    meet(hosts, endpoint=f"{hosts.name}1i")
    assert hosts.end(90) == [0, 0], [hosts.said(1), hosts.said(2)]


def test_a_first_host_whose_name_is_loopback_to_itself(hosts):
    hosts.know(1, **{f"{hosts.name}1": "127.0.1.1"})
    hosts.know(2, **{f"{hosts.name}1": hosts.address(1)})
    meet(hosts, endpoint=f"{hosts.name}1:{PORT}")
    assert hosts.end(90) == [0, 0], [hosts.said(1), hosts.said(2)]


def test_a_name_that_nobody_knows(hosts):
    meet(hosts, endpoint="nowhere.invalid:29411")
    assert_one_line_each(hosts, r"no address is known of nowhere\.invalid on dcam\d+h[12]; .*suffix", 60)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.77.{}.99", "cannot reach .*: there is no route to it; look at the address"),
        ("10.78.{}.1", "dcam.* has no route to 10.78"),
    ],
)
def test_an_address_of_nobody(hosts, address, reason):
    meet(hosts, SOON, endpoint=f"{address.format(hosts.subnet)}:29411")
    assert_one_line_each(hosts, reason, 60)


def test_an_address_of_nobody_on_the_node_that_is_told_to_hold_the_meeting(hosts):
    hosts.start(1, [JOBS, "quick", hosts.folder], f"{SOON},is_host=1", endpoint=f"10.77.{hosts.subnet}.99:29411")
    assert_one_line_each(hosts, "cannot hold the meeting of the nodes at .*: this node does not reach itself", 60)


def test_a_first_host_that_never_comes_is_told_in_under_a_minute(hosts):
    hosts.start(2, [JOBS, "quick", hosts.folder])
    assert_one_line_each(hosts, f"within {DOOR_S:.0f} s: the connection was refused; nothing listens", 60)


def test_a_port_whose_packets_are_dropped(hosts):
    hosts.net("drop", 1, PORT)
    meet(hosts, "--rdzv_conf=read_timeout=6,join_timeout=12")
    assert hosts.end(60) == [4, 4]
    (line,) = hosts.said(2)
    assert re.search(rf"cannot reach .*:{PORT} within 6 s: there was no answer; .*firewall", line)
    (line,) = hosts.said(1)
    assert re.search(rf"1 of 2 nodes came to 10\.77\.\d+\.1:{PORT}, .* within 12 s \(--rdzv_conf join_timeout", line)


def test_a_port_that_another_program_has(hosts):
    taken = f"import socket, time; s = socket.create_server(('', {PORT})); print('taken', flush=True); time.sleep(99)"
    other = psutil.Popen([*hosts.on(1), "python3", "-c", taken], stdout=-1)
    try:
        assert other.stdout.readline() == b"taken\n"
        meet(hosts, f"{SOON}", endpoint="")
        assert_one_line_each(hosts, "where the nodes meet, does not answer: .*another program has the port", 60)
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("variable", ["GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"])
def test_an_interface_that_is_not_there(hosts, variable):
    meet(hosts, **{variable: "ib7"})
    assert_one_line_each(hosts, r"dcam\d+h([12]) has no network interface 'ib7'; it has dcam\d+hv\1, lo", 60)


def test_an_interface_that_does_not_lead_there(hosts):
    for host in (1, 2):
        hosts.start(host, [JOBS, "loop", hosts.folder, 5], GLOO_SOCKET_IFNAME="lo")
    assert hosts.end(60) == [4, 4]
    told = [line for host in (1, 2) for line in hosts.lines(host)]
    assert any("cannot join its peers over GLOO_SOCKET_IFNAME=lo" in line for line in told), told
    assert not any("Traceback" in line for host in (1, 2) for line in hosts.said(host))


def waiting(hosts, host):
    """Start a launcher which then waits for the other host."""
    hosts.start(host, [JOBS, "loop", hosts.folder, 10])
    if host == 1:
        wait_for(lambda: hosts.listens(1, PORT), START_S * 2)
    else:
        time.sleep(START_S)
    assert hosts.launchers[host].poll() is None, hosts.said(host)


@pytest.mark.parametrize("host", [1, 2])
def test_sigterm_ends_a_launcher_that_waits_for_the_others_at_once(hosts, host):
    waiting(hosts, host)
    hosts.launchers[host].send_signal(signal.SIGTERM)
    assert hosts.launchers[host].wait(3) == 75
    assert hosts.said(host) == ["dcam-dist: stopped on request; run the same command again to go on"]


def test_a_first_host_that_hangs_before_all_have_met(hosts):
    waiting(hosts, 1)
    hosts.launchers[1].send_signal(signal.SIGSTOP)
    hosts.start(2, [JOBS, "quick", hosts.folder], SOON)
    assert hosts.launchers[2].wait(60) == 4
    (line,) = hosts.said(2)
    assert re.search("where the nodes meet, does not answer: its launcher is stopped", line)


def test_a_node_that_never_comes_is_counted_by_those_that_did(hosts):
    meet(hosts, "--rdzv_conf=join_timeout=12", nodes="3")
    there = rf"10\.77\.\d+\.1:{PORT}, where the nodes meet"
    # the second one's time may be over before, or it learns that the first one's is
    assert_one_line_each(hosts, f"2 of 3 nodes (came to {there}, within 12 s|had come to {there}, when)", 60)


def test_a_first_host_that_hangs_while_both_wait_for_a_third(hosts):
    meet(hosts, SOON, nodes="3")
    wait_for(lambda: hosts.connected(2, PORT), START_S * 2)
    time.sleep(2)
    hosts.launchers[1].send_signal(signal.SIGSTOP)
    assert hosts.launchers[2].wait(4 + 10 + START_S) == 4
    (line,) = hosts.said(2)
    assert re.search("where the nodes meet, does not answer: its launcher is stopped", line)


def test_when_the_first_host_is_lost_the_other_ends_with_what_its_rank_says(hosts):
    for host in (1, 2):
        hosts.start(host, [JOBS, "loop", hosts.folder, 20, 60])
    wait_for(lambda: len(list(hosts.folder.glob("*.pid"))) == 2, 60)
    ranks = [int(file.read_text()) for file in hosts.folder.glob("*.pid")]
    hosts.launchers[1].kill()
    assert hosts.launchers[2].wait(AFTERMATH_S + 10) == 4
    print(hosts.said(2))
    (line,) = hosts.said(2)
    assert "the network is cut or a node is lost" in line
    assert all(map(gone, ranks))


@pytest.mark.parametrize("stopped", [1, 2])
def test_a_launcher_that_hangs_while_the_ranks_work_holds_up_no_end_of_the_other(hosts, stopped):
    other = 3 - stopped
    for host in (1, 2):
        hosts.start(host, [JOBS, "loop", hosts.folder, 20, 8])
    wait_for(lambda: len(list(hosts.folder.glob("*.pid"))) == 2, 60)
    ranks = [int(file.read_text()) for file in hosts.folder.glob("*.pid")]
    hosts.launchers[stopped].send_signal(signal.SIGSTOP)
    assert hosts.launchers[other].wait(8 + AFTERMATH_S + 15) == 0, hosts.said(other)
    assert all(map(gone, ranks))
