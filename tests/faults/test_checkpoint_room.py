"""No room and no leave to write: a real small disk, a real file size limit, a real read-only mount."""

import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from support.processes import REPOSITORY, environment

from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.errors import EnvironmentFault
from dcam_dist.runs import latest_checkpoint, write_checkpoint
from dcam_dist.runs.places import FOLDER

NUMBERS = 40_000
"""Three tensors of so many float32: half a megabyte a checkpoint."""


def saved_in(run, mount, last):
    """Save in a process that sees ``mount``, a line of shell, as root of its own user namespace."""
    job = [sys.executable, "-m", "support.save_jobs", str(run), str(last), str(NUMBERS)]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *job]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def namespaces():
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no namespaces of one's own here")


def test_a_full_disk_costs_the_new_checkpoint_alone(tmp_path, namespaces):
    # room for one and a half: the first is saved, the second is not
    done = saved_in(tmp_path, f"mount -t tmpfs -o size=900k none {tmp_path}", last=1)
    said, state = done.stdout.splitlines()
    assert done.returncode == 4 and state == "newest 0, whole True, unfinished 0"
    assert f"{tmp_path / FOLDER}: no room for a checkpoint (No space left on device): it needs 0.5 MB, 0.4 MB" in said
    assert said.endswith("make room and start again, earlier checkpoints are intact")


def test_a_read_only_directory_stops_the_start(tmp_path, namespaces):
    write_checkpoint(tmp_path, state_of(0, numbers=NUMBERS), keep=1)
    done = saved_in(tmp_path, f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}", last=1)
    said, state = done.stdout.splitlines()
    assert done.returncode == 4 and state == "newest 0, whole True, unfinished 0"
    assert f"{tmp_path}: cannot be written (Read-only file system)" in said


@contextmanager
def file_size_limit(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [10, 4000, 100_000])
def test_a_limit_on_files_is_told_as_such(tmp_path, limit):
    write_checkpoint(tmp_path, state_of(0, numbers=NUMBERS), keep=1)
    with file_size_limit(limit), pytest.raises(EnvironmentFault) as refused:
        write_checkpoint(tmp_path, state_of(1, numbers=NUMBERS), keep=1)
    assert f"it needs 0.5 MB, files may have {limit / 1e6:.1f} MB (ulimit -f)" in str(refused.value)
    newest = latest_checkpoint(tmp_path)
    assert index_of(newest) == 0 and same(newest, state_of(0, numbers=NUMBERS))
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
