"""Two launchers as on two nodes, one of them killed with its rank: the other stops, and one rank goes on."""

import re
import signal
import socket
import sys

import psutil
import pytest
from faults.training_faults import SMALL
from support.cohorts import make_cohort
from support.disturbances import in_first_epoch
from support.playing import Stage, arguments, insist_close
from support.trainings import start_training

from benchmarks.kill_chain import WORK, until
from benchmarks.launched import Launched
from dcam_dist.runs import latest_checkpoint

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


def _node(port, given, log):
    launcher = ["torch.distributed.run", "--nnodes=1:2", "--nproc_per_node=1", "--max_restarts=0"]
    meeting = ["--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}", "--rdzv_id=1", "--local_addr=127.0.0.1"]
    program = ["support.faulty_train", "slow@update+", "--", "train", *given]
    return Launched([sys.executable, "-m", *launcher, *meeting, "-m", *program], log, GLOO_SOCKET_IFNAME="lo")


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_lost_node_stops_the_run_which_goes_on_with_one_rank(tmp_path):
    stage = Stage(make_cohort(tmp_path / "c.zarr", 13, shape=SMALL["grid.shape"]), tmp_path)
    run, port = tmp_path / "run", _free_port()
    given = arguments(stage.cohort, run)
    first = _node(port, given, tmp_path / "first.log")
    second = _node(port, given, tmp_path / "second.log")
    nodes = (first, second)
    try:
        both_work = lambda: any(WORK.search(node.said) for node in nodes) and in_first_epoch(run)  # noqa: E731
        assert until(first, both_work), first.said
        for member in second.family():
            member.send_signal(signal.SIGKILL)
        assert first.wait(60) == [1], first.said  # torchrun's own code; the rank's is in its report
        _, alive = psutil.wait_procs(first.family(), timeout=10)
        assert not alive
        assert re.search(r"dcam-dist: .*rank \d", first.said), first.said
    finally:
        for node in nodes:
            node.kill()
    before = latest_checkpoint(run).position
    alone = start_training(given, tmp_path / "alone.log")
    assert alone.wait() == [0], alone.said
    assert f"going on at {before}" in alone.said
    insist_close(run, stage.undisturbed(1))
