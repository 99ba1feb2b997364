"""A training on two hosts, a rank each: the cable is slow, is pulled, a node is lost. pytest -m netns"""

import json
import re
import signal

import pytest
from support.cohorts import make_cohort, settings
from support.launched import gone, wait_for
from support.trainings import start_training

from benchmarks.kill_chain import differences
from dcam_dist.distributed.agent import AFTERMATH_S
from dcam_dist.runs import latest_checkpoint
from dcam_dist.types import Phase, Position

pytestmark = pytest.mark.netns

TIMEOUT_S = 8
GRID = (16, 16, 16)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohort") / "c.zarr", 13, shape=GRID)


def training(cohort, run):
    """A training of eight epochs of three steps; a checkpoint at each of them."""
    overrides = {"training.timeout_s": TIMEOUT_S, "training.epochs": 8, "training.checkpoint_minutes": 0}
    return ["-m", "dcam_dist", "train", *settings(cohort, output=run, **overrides, **{"grid.shape": list(GRID)})]


def train_until(run, position):
    """Wait for a checkpoint as far as this, by its name."""
    wait_for(lambda: any(path.name >= position for path in (run / "checkpoints").glob("epoch-*")), 120)


def assert_as_on_one_host(run, cohort, hosts):
    """The same training on two ranks of one host has given the same, bit for bit."""
    folder = hosts.folder / "alone"
    alone = start_training(training(cohort, folder)[3:], hosts.folder / "alone.txt", ranks=2)
    assert alone.wait() == [0, 0], alone.said
    assert differences(run, folder) == []


def test_a_pulled_cable_stops_the_training_on_both_sides_in_time_and_put_back_it_goes_on_to_its_end(hosts, cohort):
    run = hosts.folder / "run"
    for host in (1, 2):
        hosts.start(host, training(cohort, run))
    train_until(run, "epoch-0002-3-train-000001")
    ranks = hosts.ranks()
    assert len(ranks) == 2
    hosts.net("cut")
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
    hosts.net("join")
    for host in (1, 2):
        hosts.start(host, training(cohort, run))
    assert hosts.end(120) == [0, 0], hosts.said(1)
    assert any(f"going on at {stopped_at}" in line for host in (1, 2) for line in hosts.said(host))
    assert_as_on_one_host(run, cohort, hosts)


@pytest.mark.parametrize("hosts", [4, 6], indirect=True)
def test_over_a_slow_cable_the_result_is_that_of_one_host(hosts, cohort):
    run = hosts.folder / "run"
    hosts.net("limit", "200mbit")
    for host in (1, 2):
        hosts.start(host, training(cohort, run))
    assert hosts.end(180) == [0, 0], hosts.said(1)
    assert hosts.packets_held_back() > 0
    assert_as_on_one_host(run, cohort, hosts)


def test_a_lost_node_stops_the_other_and_the_training_goes_on_there(hosts, cohort):
    run = hosts.folder / "run"
    train = training(cohort, run)
    for host in (1, 2):
        hosts.start(host, train, nodes="1:2")
    train_until(run, "epoch-0002-0-extract-000000")
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
