"""Two nodes of one machine, each with a launcher and a rank: the cable is pulled, a node is lost. pytest -m netns"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.cohorts import make_cohort, settings
from support.launched import gone, wait_for
from support.processes import REPOSITORY, environment
from support.trainings import start_training

from benchmarks.kill_chain import differences
from dcam_dist.distributed.agent import AFTERMATH_S
from dcam_dist.runs import latest_checkpoint
from dcam_dist.types import Phase, Position

pytestmark = pytest.mark.netns

NET = Path(__file__).parent / "net.sh"
TIMEOUT_S = 8
GRID = (16, 16, 16)


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

    def join(self):
        self._net("join")

    def start(self, host, arguments, nodes="2"):
        """A launcher with one rank; the first host is where the launchers meet."""
        command = [
            *(NET, "on", self.name, str(host), sys.executable, "-m", "dcam_dist.launch", f"--nnodes={nodes}"),
            *("--nproc_per_node=1", "--rdzv_backend=c10d", f"--rdzv_endpoint=10.77.{self.subnet}.1:29411"),
            *("--rdzv_id=test", f"--rdzv_conf=is_host={int(host == 1)}", f"--local_addr=10.77.{self.subnet}.{host}"),
            *("-m", "dcam_dist", *map(str, arguments)),
        ]
        with (self.folder / f"host{host}.txt").open("wb") as out:
            self.launchers[host] = subprocess.Popen(
                list(map(str, command)), cwd=REPOSITORY, env=environment(), stdout=out, stderr=out
            )

    def said(self, host):
        return (self.folder / f"host{host}.txt").read_text().splitlines()

    def lines(self, host):
        return [line for line in self.said(host) if line.startswith("dcam-dist:")]

    def ranks(self):
        """Process numbers of the ranks of both hosts."""
        return [rank.pid for one in self.launchers.values() for rank in psutil.Process(one.pid).children()]

    def train_until(self, run, position):
        """Wait for a checkpoint as far as this, by its name."""
        wait_for(lambda: any(path.name >= position for path in (run / "checkpoints").glob("epoch-*")), 120)

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


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort") / "c.zarr", 13, shape=GRID)


def training(cohort, run):
    """A command of ``dcam-dist`` for eight epochs of three steps; a checkpoint at each of them."""
    overrides = {"training.timeout_s": TIMEOUT_S, "training.epochs": 8, "training.checkpoint_minutes": 0}
    return ["train", *settings(cohort, output=run, **overrides, **{"grid.shape": list(GRID)})]


def test_a_pulled_cable_stops_the_training_on_both_sides_in_time_and_put_back_it_goes_on_to_its_end(hosts, cohort):
    run = hosts.folder / "run"
    for host in (1, 2):
        hosts.start(host, training(cohort, run))
    hosts.train_until(run, "epoch-0002-3-train-000001")
    ranks = hosts.ranks()
    assert len(ranks) == 2
    hosts.cut()
    seconds = wait_for(lambda: all(map(gone, ranks)), TIMEOUT_S + 5)
    after = wait_for(lambda: all(one.poll() is not None for one in hosts.launchers.values()), AFTERMATH_S + 10)
    print(f"\nranks gone after {seconds:.1f} s (timeout {TIMEOUT_S} s), launchers {after:.1f} s later")
    told = [line for host in (1, 2) for line in hosts.lines(host)]
    assert len(told) == 2, told
    assert all(re.search(r"rank [01] on dcam\d+h[12]\b.* at epoch \d", line) for line in told), told
    assert sum("lost rank" in line and "(no answer" in line for line in told) == 1, told
    assert sum("cannot reach" in line and "the network is cut or a node is lost" in line for line in told) == 1, told
    assert [hosts.launchers[host].returncode for host in (1, 2)] == [4, 4]
    stopped_at = latest_checkpoint(run).position
    assert stopped_at >= Position(2, Phase.TRAIN, 1)
    hosts.join()
    for host in (1, 2):
        hosts.start(host, training(cohort, run))
    assert [hosts.launchers[host].wait(120) for host in (1, 2)] == [0, 0], hosts.said(1)
    assert any(f"going on at {stopped_at}" in line for host in (1, 2) for line in hosts.said(host))
    alone = start_training(training(cohort, hosts.folder / "alone")[1:], hosts.folder / "alone.txt", ranks=2)
    assert alone.wait() == [0, 0], alone.said
    assert differences(run, hosts.folder / "alone") == []


def test_a_lost_node_stops_the_other_and_the_training_goes_on_there(hosts, cohort):
    run = hosts.folder / "run"
    train = training(cohort, run)
    for host in (1, 2):
        hosts.start(host, train, nodes="1:2")
    hosts.train_until(run, "epoch-0002-0-extract-000000")
    hosts.launchers[2].send_signal(signal.SIGKILL)
    seconds = wait_for(lambda: hosts.launchers[1].poll() is not None, TIMEOUT_S + 5)
    print(f"\nthe launcher that is left ended after {seconds:.1f} s (timeout {TIMEOUT_S} s)")
    assert hosts.launchers[1].returncode == 4
    assert hosts.said(1)[-1].startswith("dcam-dist: lost rank") and "at epoch" in hosts.said(1)[-1]
    stopped_at = latest_checkpoint(run).position
    assert stopped_at >= Position(2, Phase.EXTRACT)
    hosts.start(1, train, nodes="1")
    assert hosts.launchers[1].wait(120) == 0, hosts.said(1)
    assert latest_checkpoint(run).finished
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(8))
    assert {line["steps"] for line in lines} == {lines[0]["steps"]}
