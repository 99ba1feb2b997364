"""RUN/progress.json: whole at any time, tolerated when damaged, and never worth a run."""

import json
import resource
import stat
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.runs.live import LIVE, Live, read_live, write_live

SAID = Live(
    time_s=1000.0,
    started_s=900.0,
    moved_s=999.0,
    phase="train",
    epoch=2,
    done=40,
    total=100,
    volumes_per_second=1.5,
    loss=1.25,
    nmi=0.5,
    left_s=600.0,
    ranks=4,
    host="n1",
    pid=7,
    job="4711",
)


def test_what_is_written_is_read_and_private(tmp_path):
    for live in (SAID, replace(SAID, ended="done", exit_code=0, phase=None, epoch=None, job=None)):
        write_live(tmp_path, live)
        assert read_live(tmp_path) == live
    assert [path.name for path in tmp_path.iterdir()] == [LIVE]
    assert stat.S_IMODE((tmp_path / LIVE).stat().st_mode) == 0o600


def test_what_is_no_number_is_null(tmp_path):
    write_live(tmp_path, replace(SAID, loss=float("nan"), left_s=float("inf")))
    assert json.loads((tmp_path / LIVE).read_text(), parse_constant=pytest.fail)["loss"] is None
    assert read_live(tmp_path) == replace(SAID, loss=None, left_s=None)


def test_there_need_be_none(tmp_path):
    assert read_live(tmp_path) is None
    (tmp_path / LIVE).mkdir()
    assert read_live(tmp_path) is None


@given(cut=st.integers(0, 200), flip=st.integers(0, 7))
def test_a_damaged_one_is_none_or_another_never_an_error(tmp_path_factory, cut, flip):
    folder = tmp_path_factory.mktemp("run")
    write_live(folder, SAID)
    content = bytearray((folder / LIVE).read_bytes())
    (folder / LIVE).write_bytes(content[:cut])
    assert read_live(folder) is None
    content[cut] ^= 1 << flip
    (folder / LIVE).write_bytes(content)
    assert read_live(folder) is None or isinstance(read_live(folder), Live)


@contextmanager
def file_size_limit(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_older_one_and_nothing_beside_it(tmp_path):
    write_live(tmp_path, SAID)
    with file_size_limit(100), pytest.raises(OSError, match="File too large"):
        write_live(tmp_path, replace(SAID, done=50))
    assert read_live(tmp_path) == SAID
    assert [path.name for path in tmp_path.iterdir()] == [LIVE]


def test_a_link_in_its_way_is_not_followed(tmp_path):
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / f".{LIVE}").symlink_to(tmp_path / "thesis")
    with pytest.raises(OSError, match="symbolic links"):
        write_live(tmp_path, SAID)
    assert (tmp_path / "thesis").read_text() == "years of work"
