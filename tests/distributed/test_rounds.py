"""Two launchers as on two nodes, whose ranks meet again after one has died: ``--max_restarts`` over several nodes."""

import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from support.cohorts import settings
from support.launched import JOBS, OURS, TORCHRUN, launched, wait_for
from support.processes import REPOSITORY, environment
from torch.distributed import TCPStore

pytestmark = pytest.mark.distributed


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def nodes(tmp_path, stack, launcher, *job):
    """Two launchers with a rank each."""
    meeting = ["--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{free_port()}", "--local_addr=127.0.0.1"]
    options = ["--nnodes=2", "--nproc_per_node=1", "--max_restarts=1", *meeting]
    for name in ("one", "two"):
        (folder := tmp_path / name).mkdir()
        command = [sys.executable, *launcher, *options, JOBS, *job]
        yield stack.enter_context(launched(folder, command=command, GLOO_SOCKET_IFNAME="lo"))


@pytest.mark.parametrize("launcher", [OURS, TORCHRUN])
def test_ranks_of_two_nodes_meet_again_after_one_has_died(tmp_path, launcher):
    with ExitStack() as stack:
        started = list(nodes(tmp_path, stack, launcher, "again", tmp_path))
        codes = [one.end(90) for one in started]
        said = "".join(one.everything for one in started)
    assert (tmp_path / "died").exists(), said
    assert codes == [0, 0], said
    assert sorted(line for one in started for line in one.lines if "summed" in line) == [
        "rank 0 summed 2.0",
        "rank 1 summed 2.0",
    ]


@pytest.fixture
def store():
    """A launcher's store, which outlives its ranks."""
    return TCPStore("127.0.0.1", free_port(), is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))


@contextmanager
def rank(number, store, log, *arguments, **variables):
    """One of two ranks, each on a node of its own, started by a launcher that keeps its store."""
    launcher = {
        **{"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"},
        **{"GLOO_SOCKET_IFNAME": "lo", "TORCHELASTIC_RESTART_COUNT": "0", **variables},
    }
    words, env = [sys.executable, *map(str, arguments)], {**environment(), **launcher}
    with (
        log.open("ab") as out,
        subprocess.Popen(words, cwd=REPOSITORY, env=env, stdout=out, stderr=out) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def kill_a_round(store, tmp_path):
    """Two ranks meet and are killed while they work."""
    job, log = (JOBS, "loop", tmp_path, 60), tmp_path / "first.txt"
    with rank(0, store, log, *job) as one, rank(1, store, log, *job) as two:
        wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2 or one.poll() or two.poll(), 60)
        for process in (one, two):
            process.send_signal(signal.SIGKILL)


def test_ranks_whose_meeting_place_hangs_end_with_a_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = SimpleNamespace(port=silent.getsockname()[1])
        with rank(1, place, tmp_path / "log.txt", JOBS, "loop", tmp_path, 2) as one:
            assert one.wait(90) == 4
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    assert f"127.0.0.1:{place.port}, where the ranks meet, does not answer" in line


@pytest.mark.parametrize("late", [0, 1])
def test_a_round_does_not_take_a_killed_ones_keys_for_its_own(tmp_path, store, late):
    kill_a_round(store, tmp_path)
    (tmp_path / "died").touch()
    job, log = (JOBS, "again", tmp_path), tmp_path / "second.txt"
    with rank(1 - late, store, log, *job) as first:
        wait_for(lambda: store.num_keys() > 0, 5)
        with pytest.raises(subprocess.TimeoutExpired):
            first.wait(3)
        with rank(late, store, log, *job) as second:
            assert [first.wait(40), second.wait(40)] == [0, 0], log.read_text()
    assert sorted(log.read_text().splitlines()) == ["rank 0 summed 2.0", "rank 1 summed 2.0"]


@pytest.mark.parametrize("counted", [True, False])
def test_a_round_that_follows_another_goes_on_though_a_fresh_start_was_asked_for(
    tmp_path, store, small_cohort, dcam_run, counted
):
    """Whether the launchers count it (of one node alone, maybe) or, as when a node has joined, do not."""
    run = shutil.copytree(dcam_run, tmp_path / "run")
    if not counted:
        kill_a_round(store, tmp_path)
    command = ["-m", "dcam_dist", "train", *settings(small_cohort, output=run, training__epochs=3), "--fresh"]
    log = tmp_path / "second.txt"
    with (
        rank(0, store, log, *command) as one,
        rank(1, store, log, *command, TORCHELASTIC_RESTART_COUNT=str(int(counted))) as two,
    ):
        assert [one.wait(90), two.wait(90)] == [0, 0], log.read_text()
    assert "already finished" in log.read_text() and not run.with_name("run.old-1").exists()
