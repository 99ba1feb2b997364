"""``python -m dcam_dist.launch``: exit codes, signals, and an end in every case."""

import os
import signal
import sys

import psutil
import pytest
from support.launched import JOBS, OURS, TORCHRUN, all_gone, launched, wait_for

pytestmark = pytest.mark.distributed


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_request_to_leave_reaches_the_ranks_which_save_and_exit_with_75(tmp_path, number):
    with launched(tmp_path, "leave", 20) as one:
        pids = one.ranks()
        one.process.send_signal(number)
        assert one.end() == 75
        assert all_gone(pids)
    assert sorted(file.name for file in tmp_path.glob("*.saved")) == ["0.saved", "1.saved"]
    assert one.everything.splitlines() == [f"dcam-dist: asked to leave by {number.name}"]


def test_ranks_that_do_not_listen_are_ended_by_the_signal(tmp_path):
    with launched(tmp_path, "loop", 20) as one:
        pids = one.ranks()
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 75
        assert all_gone(pids)
    assert "stopped on request" in one.everything.splitlines()[-1]


@pytest.mark.parametrize("launcher", [OURS, TORCHRUN])
def test_no_rank_outlives_a_killed_launcher(tmp_path, launcher):
    with launched(tmp_path, "loop", 20, launcher=launcher) as one:
        pids = one.ranks()
        one.process.kill()
        wait_for(lambda: all_gone(pids), 5)


def test_a_usage_error_of_the_ranks_is_told_once_with_exit_code_2(tmp_path):
    command = [sys.executable, *OURS, "--nproc_per_node=2", "-m", "dcam_dist", "train", "training.epoch=3"]
    with launched(tmp_path, command=command) as one:
        assert one.end() == 2
    (line,) = one.everything.splitlines()
    assert "training.epochs" in line


def test_a_rank_that_is_killed_without_witnesses_is_told_by_the_launcher(tmp_path):
    with launched(tmp_path, "loop", 20, ranks=1) as one:
        os.kill(one.ranks(1)[0], signal.SIGKILL)
        assert one.end() == 4
    assert one.everything.splitlines() == [
        "dcam-dist: a rank was ended by SIGKILL; with SIGKILL look whether the node was short of memory"
    ]


HANGING = """
import sys, time
import dcam_dist.distributed.agent as agent

class Hanging(agent.Agent):
    def run(self, *arguments):
        super().run(*arguments)
        time.sleep(600)

agent.Agent, agent.AFTERMATH_S = Hanging, 1.0
sys.exit(agent.launch(sys.argv[1:]))
"""


@pytest.mark.parametrize(("arguments", "code"), [(("quick",), 0), (("fail", "data", "0,1"), 3)])
def test_an_agent_that_hangs_after_its_ranks_is_ended_with_their_exit_code(tmp_path, arguments, code):
    job, *rest = arguments
    command = [sys.executable, "-c", HANGING, "--nproc_per_node=2", JOBS, job, tmp_path, *rest]
    with launched(tmp_path, command=command) as one:
        assert one.end() == code
        assert not psutil.pid_exists(one.process.pid)


@pytest.mark.slow
def test_the_deepspeed_launcher_is_understood(tmp_path):
    deepspeed = [sys.executable, "-m", "deepspeed.launcher.runner", "--num_gpus=2", "--master_port=29533"]
    with launched(tmp_path, command=[*deepspeed, JOBS, "quick", tmp_path], DS_ACCELERATOR="cpu") as one:
        assert one.end(200) == 0, one.everything
    assert all(f"ProcessContext(rank={rank}, local_rank={rank}, world_size=2" in one.everything for rank in (0, 1))
