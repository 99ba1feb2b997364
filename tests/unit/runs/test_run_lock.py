"""One training in a directory: a second is told who is there, a dead one's lock is free."""

import errno
import fcntl
import logging
import os
import signal

import pytest
from support.processes import start_python

from dcam_dist.errors import EnvironmentFault, UsageError
from dcam_dist.ingest.lock import only_writer
from dcam_dist.runs import run_lock

HOLD = """
import pathlib, sys, time
from dcam_dist.runs import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process in which a training runs, as far as the lock can tell."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as output:
        process = start_python(["-c", HOLD, str(tmp_path / "run")], output, SLURM_JOB_ID="4711")
    with os.fdopen(read) as lines:
        assert lines.readline() == "held\n"
        yield process
        process.kill()
        process.wait()


def test_a_second_start_is_refused_with_who_is_there_and_goes_on_after_its_death(tmp_path, holder):
    run = tmp_path / "run"
    with pytest.raises(EnvironmentFault) as refused, run_lock(run):
        pass
    host = os.uname().nodename
    assert f"another training is running in it (host {host}, process {holder.pid}, job 4711)" in str(refused.value)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (run / "lock").exists()
    with run_lock(run):
        pass
    assert list(run.iterdir()) == []


def test_it_makes_the_directory_and_frees_it_after_an_error(tmp_path):
    run = tmp_path / "deep" / "run"
    with pytest.raises(KeyError), run_lock(run):
        raise KeyError
    with run_lock(run):
        assert [path.name for path in run.iterdir()] == ["lock"]


def test_a_lock_that_is_no_longer_there_is_not_taken_from_another(tmp_path):
    run = tmp_path / "run"
    with run_lock(run):
        run.rename(tmp_path / "moved")
        with run_lock(run):
            (tmp_path / "moved" / "lock").unlink()
        run.rmdir()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"{" * 5000])
def test_whatever_the_lock_says_the_second_start_is_refused_in_one_line(tmp_path, content):
    with run_lock(tmp_path):
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(EnvironmentFault, match="another training is running in it; wait"), run_lock(tmp_path):
            pass


def test_a_file_in_the_directorys_place_is_refused(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(UsageError, match="holds no run"), run_lock(tmp_path / "run"):
        pass
    with pytest.raises(EnvironmentFault, match="cannot be made"), run_lock(tmp_path / "run" / "below"):
        pass


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING, "dcam_dist"), run_lock(tmp_path), only_writer(tmp_path / "c.zarr"):
        pass
    assert [f"{tmp_path}: cannot be locked" in line for line in caplog.messages] == [True, False]
    assert "do not train in it twice at once" in caplog.messages[0]
