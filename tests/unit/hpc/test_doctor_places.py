"""Folders for caches, and clocks."""

from pathlib import Path

import pytest
from support.commands import commands_in

from dcam_dist.hpc.doctor import Machine, State
from dcam_dist.hpc.doctor.caches import Cache, cache_lines, find_cache, judge_cache, write_trouble
from dcam_dist.hpc.doctor.clock import apart_s, clock_lines, file_clock_s, is_kept, judge_file_clock, judge_keeper

NOWHERE = Path("/proc/self")
"""Nobody, not even root, can make a file there."""


def test_folders_that_can_and_cannot_be_written_to(tmp_path):
    assert write_trouble(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert write_trouble(NOWHERE) != ""


def test_a_cache_that_is_to_be_made_is_tried_above(tmp_path):
    here = Machine(folder=tmp_path, variables={"HOME": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "a/b")})
    cache = find_cache("TRITON_CACHE_DIR", here)
    assert (cache.folder, cache.given, cache.trouble) == (tmp_path / "a/b", True, "")
    assert not (tmp_path / "a").exists()
    assert find_cache("XDG_CACHE_HOME", here).folder == tmp_path / ".cache"


def test_a_temporary_folder_must_be_there(tmp_path):
    here = Machine(folder=tmp_path, variables={"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "gone")})
    lines = {line.name: line for line in cache_lines(here)}
    assert lines["cache: TMPDIR"].state is State.FAIL
    assert lines["cache: HOME"].state is State.OK
    assert "cache: MPLCONFIGDIR" not in lines


@pytest.mark.parametrize(
    ("variable", "trouble", "kind", "state"),
    [
        ("TORCHINDUCTOR_CACHE_DIR", "", "ext4", "ok"),
        ("TORCHINDUCTOR_CACHE_DIR", "", "lustre", "warn"),
        ("TRITON_CACHE_DIR", "Permission denied", "ext4", "fail"),
        ("MPLCONFIGDIR", "Permission denied", "ext4", "fail"),
        ("HOME", "", "nfs4", "ok"),
        ("HOME", "Read-only file system", "nfs4", "warn"),
        ("XDG_CACHE_HOME", "Read-only file system", "nfs4", "warn"),
    ],
)
def test_caches(variable, trouble, kind, state):
    line = judge_cache(Cache(variable, Path("/somewhere"), given=True, trouble=trouble, kind=kind))
    assert line.state == state
    assert trouble in line.found


def test_a_real_folder_that_refuses_files_fails(tmp_path):
    here = Machine(folder=tmp_path, variables={"HOME": str(NOWHERE), "TRITON_CACHE_DIR": str(NOWHERE)})
    lines = {line.name: line.state for line in cache_lines(here)}
    assert (lines["cache: TRITON_CACHE_DIR"], lines["cache: HOME"]) == (State.FAIL, State.WARN)


def test_the_clock_of_this_disk(tmp_path):
    assert abs(file_clock_s(tmp_path)) < 1.0
    assert file_clock_s(NOWHERE) is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_with_another_clock():
    assert [apart_s(stamped, before=100.0, after=101.0) for stamped in (100.5, 191.0, 40.0)] == [0.0, 90.0, -60.0]
    assert judge_file_clock("TMPDIR", 90.0).found == "its server is 90 s ahead of this machine"
    assert judge_file_clock("TMPDIR", -60.0).found == "its server is 60 s behind this machine"


@pytest.mark.parametrize(
    ("ahead", "state"), [(None, "ok"), (0.0, "ok"), (-1.9, "ok"), (3.0, "warn"), (-3600.0, "warn")]
)
def test_file_clocks(ahead, state):
    assert judge_file_clock("TMPDIR", ahead).state == state


@pytest.mark.parametrize(
    ("commands", "kept"),
    [
        ({}, None),
        ({"timedatectl": "echo yes"}, True),
        ({"timedatectl": "echo no"}, False),
        ({"timedatectl": "echo System has not been booted with systemd >&2; exit 1"}, None),
        ({"timedatectl": "exit 1", "chronyc": "echo 'Leap status     : Normal'"}, True),
        ({"chronyc": "echo 'Leap status     : Not synchronised'"}, False),
        ({"chronyc": "echo '506 Cannot talk to daemon'; exit 1"}, None),
    ],
)
def test_the_keeper_of_the_clock(tmp_path, commands, kept):
    here = Machine(variables={"PATH": commands_in(tmp_path, **commands)})
    assert is_kept(here) is kept
    assert (judge_keeper(kept).state is State.WARN) == (kept is False)


def test_all_clocks_are_looked_at(tmp_path):
    here = Machine(folder=tmp_path, variables={"PATH": "/nowhere"})
    assert [line.name for line in clock_lines(here)] == ["clock: current folder", "clock: TMPDIR", "clock"]
