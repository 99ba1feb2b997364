"""Two nodes of one machine, each with a launcher and a rank: the cable is pulled, a node is lost. pytest -m netns"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.processes import REPOSITORY, environment

from dcam_dist.distributed.agent import AFTERMATH_S

pytestmark = pytest.mark.netns

NET = Path(__file__).parent / "net.sh"
JOBS = "tests/support/step_jobs.py"
TIMEOUT_S = 8


class Hosts:
    """Two namespaces and what was started in them."""

    def __init__(self, folder):
        self.folder, self.subnet = folder, os.getpid() % 256
        self.name = f"dcam{self.subnet}h"
        self.launchers = {}
        self._net("up", str(self.subnet))

    def _net(self, action, *arguments):
        subprocess.run([NET, action, self.name, *arguments], check=True, timeout=20)

    def cut(self):
        self._net("cut")

    def start(self, host, arguments, nodes="2"):
        """A launcher with one rank; the first host is where the launchers meet."""
        command = [
            *(NET, "on", self.name, str(host), sys.executable, "-m", "dcam_dist.launch", f"--nnodes={nodes}"),
            *("--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=10.77.{self.subnet}.1:29411"),
            *("--rdzv_id=test", f"--rdzv_conf=is_host={int(host == 1)}", f"--local_addr=10.77.{self.subnet}.{host}"),
            *map(str, arguments),
        ]
        with (self.folder / f"host{host}.txt").open("wb") as out:
            self.launchers[host] = subprocess.Popen(
                list(map(str, command)), cwd=REPOSITORY, env=environment(), stdout=out, stderr=out
            )

    def said(self, host):
        return (self.folder / f"host{host}.txt").read_text().splitlines()

    def ranks(self):
        """Process number of each rank, once all have met."""
        files = [self.folder / f"{rank}.pid" for rank in (0, 1)]
        wait_for(lambda: all(file.exists() for file in files), 90)
        return [int(file.read_text()) for file in files]

    def close(self):
        for launcher in self.launchers.values():
            if launcher.poll() is None:
                for process in [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]:
                    process.kill()
                launcher.wait()
        self._net("down")


def wait_for(condition, seconds):
    """How long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "not in time"
        time.sleep(0.05)
    return time.monotonic() - start


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def hosts(tmp_path):
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("needs root and Debian's iproute2")
    made = Hosts(tmp_path)
    yield made
    made.close()


def test_a_pulled_cable_stops_both_sides_in_time_and_each_says_whom_it_cannot_reach(hosts):
    for host in (1, 2):
        hosts.start(host, [JOBS, "loop", hosts.folder, TIMEOUT_S])
    ranks = hosts.ranks()
    hosts.cut()
    seconds = wait_for(lambda: all(map(gone, ranks)), TIMEOUT_S + 5)
    after = wait_for(lambda: all(one.poll() is not None for one in hosts.launchers.values()), AFTERMATH_S + 10)
    print(f"\nranks gone after {seconds:.1f} s (timeout {TIMEOUT_S} s), launchers {after:.1f} s later")
    lines = [hosts.said(host) for host in (1, 2)]
    assert [len(one) for one in lines] == [1, 1], lines
    assert sum("(no answer" in one[0] and "at epoch 1, train, step" in one[0] for one in lines) == 1
    assert sum("cannot reach" in one[0] and "the network is cut or a node is lost" in one[0] for one in lines) == 1
    assert all(hosts.name in one[0] for one in lines)
    assert [hosts.launchers[host].returncode for host in (1, 2)] == [4, 4]


def test_a_lost_node_stops_the_other_and_the_run_goes_on_there(hosts):
    for host in (1, 2):
        hosts.start(host, [JOBS, "loop", hosts.folder, TIMEOUT_S], nodes="1:2")
    ranks = hosts.ranks()
    hosts.launchers[2].send_signal(signal.SIGKILL)
    seconds = wait_for(lambda: all(map(gone, ranks)), TIMEOUT_S + 5)
    after = wait_for(lambda: all(one.poll() is not None for one in hosts.launchers.values()), AFTERMATH_S + 10)
    print(f"\nranks gone after {seconds:.1f} s (timeout {TIMEOUT_S} s), launchers {after:.1f} s later")
    assert hosts.launchers[1].returncode == 4
    (line,) = hosts.said(1)
    assert line.startswith("dcam-dist: lost rank") and "at epoch 1, train, step" in line
    hosts.start(1, [JOBS, "loop", hosts.folder, TIMEOUT_S, 0.5], nodes="1")
    assert hosts.launchers[1].wait(90) == 0
    assert "rank 0 took" in hosts.said(1)[-1]
