"""Writing a case: on the disk before it is visible, the same bytes each time, and never half of it."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.cohorts import SHAPE, make_volume

from dcam_dist.cohort import (
    CohortDescription,
    VolumeLevels,
    case_whole,
    close_cohort,
    create_cohort,
    open_cohort,
    seal_cohort,
    validate,
    write_case,
)
from dcam_dist.cohort.writer import even_chunks
from dcam_dist.config import GridConfig
from dcam_dist.errors import DataError
from dcam_dist.types import CaseRecord, Geometry

DESCRIPTION = CohortDescription(GridConfig(shape=SHAPE), ("none", "some"))
GEOMETRY = Geometry.from_matrix(SHAPE, np.diag([2.0, 3.0, 4.0, 1.0]))
RECORD = CaseRecord("a", "p", "train", 1, GEOMETRY, GEOMETRY, GEOMETRY)


def levels(seed=0):
    hu, mask = make_volume(2, np.random.default_rng(seed))
    return VolumeLevels(hu, mask, hu, mask)


def tree(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def cohort(tmp_path, *seeds):
    path = tmp_path / "c.zarr"
    create_cohort(path, DESCRIPTION)
    for seed in seeds:
        write_case(path, RECORD, levels(seed))
    return path


def test_the_same_case_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = cohort(tmp_path / name, *((0,) if name == "one" else (1, 0)))
        write_case(path, replace(RECORD, case_id="b"), levels(2), {"montage.webp": b"picture"})
        close_cohort(path, [RECORD, replace(RECORD, case_id="b")], [])
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_manifest_names_every_file_and_the_chunks_of_every_shard(tmp_path):
    native = Geometry((220, 20, 20), GEOMETRY.affine)
    hu, mask = make_volume(1, np.random.default_rng(0), native.shape)
    written = replace(levels(), native_hu_DHW=hu, native_mask_DHW=mask)
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    write_case(tmp_path / "c.zarr", replace(RECORD, native=native), written, {"montage.webp": b"picture"})
    case = tmp_path / "c.zarr" / "cases" / "a"
    files = json.loads((case / "manifest.json").read_text())["files"]
    on_disk = {path.relative_to(case).as_posix(): path.stat().st_size for path in case.rglob("*") if path.is_file()}
    assert {name: entry["bytes"] for name, entry in files.items()} == {
        name: size for name, size in on_disk.items() if name not in ("manifest.json", "commit")
    }
    chunks = {name: entry["chunks"] for name, entry in files.items() if "chunks" in entry}
    assert chunks == {"0/c/0/0/0": 2, "1/c/0/0/0": 1, "labels/lungs/0/c/0/0/0": 2, "labels/lungs/1/c/0/0/0": 1}
    assert "montage.webp" in files and case_whole(tmp_path / "c.zarr", "a")


def test_everything_is_on_the_disk_before_it_is_renamed_into_place(tmp_path, monkeypatch):
    path, events = cohort(tmp_path), []
    fsync, rename = os.fsync, Path.rename

    def noted_sync(descriptor):
        events.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noted_rename(source, target):
        events.append(("rename", str(source), str(target)))
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    write_case(path, RECORD, levels())
    (at,) = [index for index, event in enumerate(events) if event[0] == "rename"]
    side, final = events[at][1:]
    assert final == str(path / "cases" / "a")
    written = {str(inside.relative_to(final)) for inside in Path(final).rglob("*")} | {"."}
    assert {os.path.relpath(event, side) for event in events[:at]} == written
    files = [
        os.path.relpath(event, side) for event in events[:at] if Path(final, os.path.relpath(event, side)).is_file()
    ]
    assert files[-2:] == ["manifest.json", "commit"]
    assert events[at + 1] == str(path / "cases")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("rename", [1, 2])
@pytest.mark.parametrize("before", [True, False])
def test_a_killed_replacement_leaves_one_of_the_two_forms(tmp_path, monkeypatch, rename, before):
    path, real, calls = cohort(tmp_path, 0), Path.rename, []
    close_cohort(path, [RECORD], [])

    def killed(source, target):
        calls.append(target)
        if len(calls) == rename and before:
            raise Killed
        real(source, target)
        if len(calls) == rename:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(Killed):
            write_case(path, RECORD, levels(1))
    create_cohort(path, DESCRIPTION)
    assert case_whole(path, "a")
    close_cohort(path, [RECORD], [])
    assert validate(path).whole
    old_stays = rename == 1 and before
    np.testing.assert_array_equal(open_cohort(path).hu("a").compute(), levels(0 if old_stays else 1).grid_hu_DHW)
    (tmp_path / "other").mkdir()
    assert tree(path) == tree(_closed(tmp_path / "other", 0 if old_stays else 1))


def _closed(folder, seed):
    path = cohort(folder, seed)
    close_cohort(path, [RECORD], [])
    return path


@pytest.mark.parametrize("name", ["manifest.json", "commit", "0/c/0/0/0"])
def test_a_case_that_was_not_written_whole_is_not_put_back(tmp_path, name):
    path = cohort(tmp_path, 0)
    (path / ".incoming").mkdir(exist_ok=True)
    side = path / ".incoming" / "a.0123.new"
    (path / "cases" / "a").rename(side)
    (side / name).unlink()
    create_cohort(path, DESCRIPTION)
    assert not (path / "cases" / "a").exists()


def test_a_begun_cohort_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / ".c.zarr.incoming").mkdir()
    (tmp_path / ".c.zarr.incoming" / "half").write_text("{")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(Killed()))
        create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    assert not (tmp_path / "c.zarr").exists()
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    assert {path.name for path in tmp_path.iterdir()} == {"c.zarr"}
    assert {str(path) for path in tree(tmp_path / "c.zarr")} == {"zarr.json", "cases/zarr.json"}


def test_closing_the_same_cohort_again_changes_nothing_in_the_root_manifest(tmp_path):
    path = _closed(tmp_path, 0)
    inode = (path / "manifest.json").stat().st_ino
    close_cohort(path, [RECORD], [])
    assert (path / "manifest.json").stat().st_ino == inode
    (path / "quality.html").write_text("<p>")
    seal_cohort(path)
    assert "quality.html" in json.loads((path / "manifest.json").read_text())["files"]
    assert validate(path).whole


def test_a_case_that_is_not_stored_is_not_listed(tmp_path):
    with pytest.raises(DataError, match=r"case a: manifest\.json is missing"):
        close_cohort(cohort(tmp_path), [RECORD], [])


def test_volumes_must_fit_their_record(tmp_path):
    grown = replace(levels(), grid_hu_DHW=np.zeros((16, 32, 33), np.int16))
    with pytest.raises(ValueError, match="does not fit its record"):
        write_case(cohort(tmp_path), RECORD, grown)
    assert not (tmp_path / "c.zarr" / "cases" / "a").exists()


def test_a_shard_that_lacks_a_chunk_is_not_committed(tmp_path, monkeypatch):
    monkeypatch.setattr("dcam_dist.cohort.writer.WRITE_EMPTY_CHUNKS", {"write_empty_chunks": False})
    native = Geometry((220, 32, 32), GEOMETRY.affine)
    hu = np.zeros(native.shape, np.int16)
    hu[:20] = -800
    written = replace(levels(), native_hu_DHW=hu, native_mask_DHW=hu < 0)
    with pytest.raises(RuntimeError, match="1 of 2 chunks"):
        write_case(cohort(tmp_path), replace(RECORD, native=native), written)
    assert not (tmp_path / "c.zarr" / "cases" / "a").exists()


def test_even_chunks_cover_a_volume_with_little_padding():
    for shape in ((133, 512, 512), (110, 288, 377), (128, 224, 288), (64, 96, 96), (20, 9, 5)):
        chunks = even_chunks(shape, 128)
        for size, chunk in zip(shape, chunks, strict=True):
            parts = math.ceil(size / chunk)
            assert 0 <= parts * chunk - size < 8 * parts
        assert chunks[2] % 8 == 0
