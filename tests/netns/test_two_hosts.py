"""Two nodes of one machine, each with a launcher and a rank: the cable is pulled, a node is lost. pytest -m netns"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.cohorts import settings
from support.launched import gone, wait_for
from support.processes import REPOSITORY, environment

from dcam_dist.distributed.agent import AFTERMATH_S
from dcam_dist.runs import latest_checkpoint
from dcam_dist.types import Phase, Position

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


def test_a_lost_node_stops_the_other_and_the_training_goes_on_there(hosts, small_cohort):
    run = hosts.folder / "run"
    overrides = {"training.timeout_s": TIMEOUT_S, "training.epochs": 6, "training.checkpoint_minutes": 0}
    train = ["-m", "dcam_dist", "train", *settings(small_cohort, output=run, **overrides)]
    for host in (1, 2):
        hosts.start(host, train, nodes="1:2")
    wait_for(lambda: (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text().count("\n") > 1, 120)
    hosts.launchers[2].send_signal(signal.SIGKILL)
    seconds = wait_for(lambda: hosts.launchers[1].poll() is not None, TIMEOUT_S + 5)
    print(f"\nthe launcher that is left ended after {seconds:.1f} s (timeout {TIMEOUT_S} s)")
    assert hosts.launchers[1].returncode == 4
    assert hosts.said(1)[-1].startswith("dcam-dist: lost rank") and "at epoch" in hosts.said(1)[-1]
    stopped_at = latest_checkpoint(run).position
    assert stopped_at > Position(1, Phase.EXTRACT)
    hosts.start(1, train, nodes="1")
    assert hosts.launchers[1].wait(120) == 0, hosts.said(1)
    assert latest_checkpoint(run).finished
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(6))
    assert {line["steps"] for line in lines} == {lines[0]["steps"]}
