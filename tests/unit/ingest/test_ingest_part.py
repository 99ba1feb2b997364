"""Parts of one ingest in one process: who does what, who is let in beside whom, and what the last call makes of it."""

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, write_image

from benchmarks.ingest_kills import tree_hash
from dcam_dist.cohort import open_cohort
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.ingest import Part, ingest, ingest_part
from dcam_dist.ingest.lock import one_writer_of_many, only_writer

CONFIG = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1"])
OTHER = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1", "ingest.allow_cut_lungs=true"])


@pytest.fixture
def table(tmp_path):
    """Three scans without ids and one whose file is not there."""
    write_image(tmp_path / "mask.nii.gz", lung_box().astype(np.uint8))
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        write_image(tmp_path / f"{name}.nrrd", chest_hu(seed=seed))
    rows = [f"{name}.nrrd,mask.nii.gz" for name in ("a", "b", "c", "gone")]
    (tmp_path / "cases.csv").write_text("\n".join(("image,lung_mask", *rows)) + "\n")
    return tmp_path / "cases.csv"


def _alone(table, out, like):
    """The same by one plain call, under the same key."""
    shutil.copy(like.with_suffix(".private.json"), out.with_suffix(".private.json"))
    ingest([table], out, config=CONFIG)
    return tree_hash(out)


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.0/4", "1/ 4", "\u0661/4"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(UsageError, match="part "):
        Part.parse(text)


@pytest.mark.parametrize("scans", [0, 1, 5, 12])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_shares_are_disjoint_even_and_all_there_is(scans, count):
    named = tuple((f"c{index:02}", None) for index in range(scans))
    shares = [Part.parse(f"{index}/{count}").share(named) for index in range(1, count + 1)]
    assert sorted(case for share in shares for case in share) == list(named)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_parts_one_by_one_and_a_last_call_give_the_bytes_of_one_call(tmp_path, table):
    out, summaries, calls = tmp_path / "c.zarr", [], []
    for index in (2, 1, 3, 5, 4):
        tell = lambda *counts: calls.append(counts)  # noqa: E731
        summaries.append(ingest_part([table], out, Part(index, 5), config=CONFIG, progress=tell))
    assert [(one.scans, one.accepted + len(one.quarantined)) for one in summaries] == [(4, 1)] * 3 + [(4, 0), (4, 1)]
    assert sum(one.accepted for one in summaries) == 3
    assert [entry.reason for one in summaries for entry in one.quarantined] == ["missing_file"]
    assert all(total <= 1 for _, total, _ in calls)
    with pytest.raises(DataError, match="was ingest interrupted"):
        open_cohort(out)
    inodes = {path: path.stat().st_ino for path in out.glob("cases/*/commit")}
    assert ingest([table], out, config=CONFIG).accepted == 3
    assert {path: path.stat().st_ino for path in out.glob("cases/*/commit")} == inodes
    assert tree_hash(out) == _alone(table, tmp_path / "d.zarr", out)
    assert not [path.name for path in tmp_path.glob(".*")]


def test_a_case_set_aside_by_a_part_is_judged_again(tmp_path, table):
    out = tmp_path / "c.zarr"
    (tmp_path / "b.nrrd").rename(tmp_path / "away")
    aside = [len(ingest_part([table], out, Part(index, 2), config=CONFIG).quarantined) for index in (1, 2)]
    (tmp_path / "away").rename(tmp_path / "b.nrrd")
    summary = ingest([table], out, config=CONFIG)
    assert sum(aside) == 2 and summary.accepted == 3 and len(summary.quarantined) == 1


def test_beside_a_part_another_part_is_let_in_and_a_plain_ingest_is_not(tmp_path, table):
    out, seen = tmp_path / "c.zarr", []

    def meanwhile(done, total, aside):
        if seen:
            return
        seen.append(json.loads(out.with_suffix(".private.json").read_text()))
        with pytest.raises(EnvironmentFault, match=rf"another ingest is writing it \(of several; .*{os.getpid()}\)"):
            ingest([table], out, config=CONFIG)
        inside = ingest_part([table], out, Part(2, 2), config=CONFIG)
        seen.append(inside.accepted + len(inside.quarantined))
        with pytest.raises(EnvironmentFault, match="another ingest is writing it"):  # one has left, not the last
            ingest([table], out, config=CONFIG)
        assert (tmp_path / ".c.zarr.lock").exists()

    ingest_part([table], out, Part(1, 2), config=CONFIG, progress=meanwhile)
    assert seen == [json.loads(out.with_suffix(".private.json").read_text()), 2]
    assert not [path.name for path in tmp_path.glob(".*")]
    ingest([table], out, config=CONFIG)
    assert tree_hash(out) == _alone(table, tmp_path / "d.zarr", out)


def test_beside_a_plain_ingest_no_part_is_let_in(tmp_path, table):
    with only_writer(tmp_path / "c.zarr"):
        with pytest.raises(EnvironmentFault, match=rf"another ingest is writing it \(host .*, process {os.getpid()}\)"):
            ingest_part([table], tmp_path / "c.zarr", Part(1, 2), config=CONFIG)
        assert (tmp_path / ".c.zarr.lock").exists()
    assert not (tmp_path / "c.zarr").exists() and not [path.name for path in tmp_path.glob(".*")]


def test_parts_that_write_together_must_agree(tmp_path, table):
    out, told = tmp_path / "c.zarr", []

    def meanwhile(*_):
        for sources, config, hash_ids in (
            ([table], OTHER, False),
            ([tmp_path], CONFIG, False),
            ([table], CONFIG, True),
        ):
            with pytest.raises(UsageError, match="called with other") as refused:
                ingest_part(sources, out, Part(2, 2), config=config, hash_ids=hash_ids)
            told.append(str(refused.value).split("called with other ")[1].split(";")[0])

    ingest_part([table], out, Part(1, 2), config=CONFIG, progress=lambda *_: told or meanwhile())
    assert set(told) == {"config", "sources", "hash_ids"}
    ingest_part([table], out, Part(2, 2), config=OTHER)  # nobody else is writing: this is a new call
    ingest([table], out, config=CONFIG)
    assert tree_hash(out) == _alone(table, tmp_path / "d.zarr", out)


def test_what_another_part_has_on_its_way_in_is_left_to_it(tmp_path, table):
    out, seen = tmp_path / "c.zarr", []
    ingest([table], out, config=CONFIG)
    first = sorted(path.name for path in (out / "cases").iterdir() if path.is_dir())[0]

    def meanwhile(*_):
        if not seen:
            seen.append(first)
            (out / ".incoming").mkdir(exist_ok=True)
            (out / "cases" / first).rename(out / ".incoming" / f"{first}.0123.new")
            ingest_part([table], out, Part(5, 5), config=CONFIG)  # which has no case
            (out / ".incoming" / f"{first}.0123.new").rename(out / "cases" / first)

    before = tree_hash(out)
    ingest_part([table], out, Part(4, 5), config=CONFIG, progress=meanwhile)
    ingest([table], out, config=CONFIG)
    assert tree_hash(out) == before


def test_a_sealed_cohort_stays_sealed_over_what_it_lists_until_the_last_call(tmp_path, table):
    out = tmp_path / "c.zarr"
    ingest([table], out, config=CONFIG)
    listed = open_cohort(out).cases
    write_image(tmp_path / "gone.nrrd", chest_hu(seed=4))
    parts = [ingest_part([table], out, Part(index, 2), config=CONFIG) for index in (1, 2)]
    assert sum(part.accepted for part in parts) == 4 and len(list(out.glob("cases/*/commit"))) == 4
    assert open_cohort(out).cases == listed
    ingest([table], out, config=CONFIG)
    assert len(open_cohort(out).cases) == 4


def test_parts_need_locks(tmp_path, table, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EnvironmentFault, match=r"cannot be locked .*parts need that"):
        ingest_part([table], tmp_path / "c.zarr", Part(1, 2), config=CONFIG)
    assert not (tmp_path / "c.zarr").exists()


def test_a_beginning_that_fails_lets_the_next_one_in(tmp_path):
    out = tmp_path / "c.zarr"

    def fail(alone):
        assert alone
        raise KeyError

    with pytest.raises(KeyError), one_writer_of_many(out, fail):
        pass
    assert not [path.name for path in tmp_path.iterdir()]
    with one_writer_of_many(out, bool) as first, one_writer_of_many(out, bool) as second:
        assert (first, second) == (True, False)
    assert not [path.name for path in tmp_path.iterdir()]


def test_one_part_begins_at_a_time_and_one_is_the_first(tmp_path):
    inside, seen, together = [], [], threading.Barrier(6)

    def begin(alone):
        inside.append(alone)
        time.sleep(0.05)
        seen.append(len(inside))
        inside.pop()
        return alone

    def part():
        with one_writer_of_many(tmp_path / "c.zarr", begin) as alone:
            together.wait(30)  # all are writing now
            return alone

    with ThreadPoolExecutor(6) as pool:
        alone = [one.result() for one in [pool.submit(part) for _ in range(6)]]
    assert sum(alone) == 1 and seen == [1] * 6
    assert not [path.name for path in tmp_path.iterdir()]


def test_who_leaves_waits_while_another_begins(tmp_path):
    """It would hold the lock alone for a moment, and the newcomer would be refused."""
    out, came, leave, left = tmp_path / "c.zarr", threading.Event(), threading.Event(), threading.Event()

    def part():
        with one_writer_of_many(out, bool):
            came.set()
            leave.wait(30)
        left.set()

    def begin(alone):
        leave.set()
        return alone, left.wait(0.5)

    (thread := threading.Thread(target=part)).start()
    assert came.wait(30)
    with one_writer_of_many(out, begin) as begun:
        assert begun == (False, False) and left.wait(30)
    thread.join()
