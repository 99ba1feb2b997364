"""What ``validate`` says of each thing that can be wrong, and what opening and reading say of it."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import zarr
from support.cohorts import make_cohort

from dcam_dist.cohort import Fault, open_cohort, seal_cohort, validate
from dcam_dist.cohort.manifest import Manifest, commit_content, seal_of
from dcam_dist.errors import DataError, UsageError, VolumeDamaged

CASE = "cases/case001"
SHARD = f"{CASE}/1/c/0/0/0"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("sound") / "c.zarr", 3)


@pytest.fixture
def store(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "c.zarr")


def _edit(path, change):
    path.write_bytes(change(path.read_bytes()))


def _said(report):
    return [(found.case_id, found.path, found.fault) for found in report.findings]


def test_a_sound_store_is_whole(sound):
    calls = []
    report = validate(sound, progress=lambda *counts: calls.append(counts))
    assert report.whole and report.complete and report.damaged_cases == ()
    assert report.cases == ("case000", "case001", "case002")
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("harm", "path", "fault", "detail"),
    [
        (lambda file: file.unlink(), SHARD, Fault.DAMAGED, "missing"),
        (lambda file: file.write_bytes(b""), SHARD, Fault.DAMAGED, "empty"),
        (lambda file: _edit(file, lambda c: c[:-1]), SHARD, Fault.DAMAGED, r"\d+ bytes instead of \d+"),
        (lambda file: _edit(file, lambda c: c[:9] + b"?" + c[10:]), SHARD, Fault.DAMAGED, "content changed"),
        (lambda file: _edit(file, lambda c: c + b"\n"), f"{CASE}/zarr.json", Fault.DAMAGED, "bytes instead of"),
        (lambda file: _edit(file, lambda c: c + b"\n"), f"{CASE}/manifest.json", Fault.UNCOMMITTED, "closed with"),
        (lambda file: file.unlink(), f"{CASE}/commit", Fault.UNCOMMITTED, "missing"),
        (lambda file: file.write_bytes(b""), f"{CASE}/commit", Fault.UNCOMMITTED, "empty"),
        (lambda file: _edit(file, lambda c: c[::-1]), f"{CASE}/commit", Fault.UNCOMMITTED, "does not agree"),
        (shutil.rmtree, CASE, Fault.DAMAGED, "missing"),
        (lambda file: file.write_text("x"), f"{CASE}/.DS_Store", Fault.FOREIGN, "file that the store did not write"),
        (lambda file: file.mkdir(), f"{CASE}/1/c/9", Fault.FOREIGN, "folder that"),
        (lambda file: file.symlink_to("/"), f"{CASE}/1/c/9", Fault.FOREIGN, "link that"),
    ],
)
def test_each_harm_to_a_case_is_one_finding(store, harm, path, fault, detail):
    harm(store / path)
    report = validate(store)
    assert _said(report) == [("case001", path, fault)]
    assert re.search(detail, report.findings[0].detail)
    assert report.damaged_cases == (() if fault is Fault.FOREIGN else ("case001",))


@pytest.mark.parametrize(
    ("harm", "path", "fault"),
    [
        (lambda file: _edit(file, lambda c: c.replace(b'"label": 2', b'"label": 3')), "cases.json", Fault.DAMAGED),
        (lambda file: file.unlink(), "quarantine.json", Fault.DAMAGED),
        (lambda file: file.write_bytes(b""), "cases/zarr.json", Fault.DAMAGED),
        (lambda file: file.unlink(), "commit", Fault.UNCOMMITTED),
        (lambda file: _edit(file, lambda c: c[::-1]), "commit", Fault.UNCOMMITTED),
        (lambda file: file.write_text("thesis"), "thesis.doc", Fault.FOREIGN),
        (lambda file: file.mkdir(), ".incoming", Fault.FOREIGN),
        (lambda file: file.mkdir(), "cases/stray", Fault.FOREIGN),
        (lambda file: shutil.copytree(file.with_name("case000"), file), "cases/case009", Fault.FOREIGN),
    ],
)
def test_each_harm_to_the_root_is_one_finding(store, harm, path, fault):
    harm(store / path)
    assert _said(validate(store)) == [(None, path, fault)]
    if fault is not Fault.FOREIGN:
        with pytest.raises(DataError, match=r"dcam-dist validate .*c\.zarr --repair"):
            open_cohort(store)
    else:
        open_cohort(store).read("case001")


def test_links_in_the_place_of_folders_and_files_are_damage(store):
    (store / CASE / "1" / "c").rename(store.parent / "c")
    (store / CASE / "1" / "c").symlink_to(store.parent / "c")
    assert ("case001", f"{CASE}/1/c", Fault.DAMAGED) in _said(validate(store))
    shutil.rmtree(store / CASE)
    (store / CASE).symlink_to(store / "cases" / "case000")
    assert _said(validate(store)) == [("case001", CASE, Fault.DAMAGED)]


def test_two_cases_that_changed_places_are_both_named(store):
    first, second = store / "cases" / "case000", store / CASE
    first.rename(store / "x")
    second.rename(first)
    (store / "x").rename(second)
    assert validate(store).damaged_cases == ("case000", "case001")
    with pytest.raises(VolumeDamaged, match=r"case case001: .* not the one that the cohort was closed with"):
        open_cohort(store).read("case001")


def test_a_store_with_another_case_in_a_folder_is_not_sealed(store):
    shutil.rmtree(store / CASE)
    shutil.copytree(store / "cases/case000", store / CASE)
    with pytest.raises(DataError, match="case case001: its folder holds another case"):
        seal_cohort(store)


def test_a_table_with_a_case_twice_is_not_sealed(store):
    table = json.loads((store / "cases.json").read_text())
    (store / "cases.json").write_text(json.dumps([*table, table[0]]))
    with pytest.raises(DataError, match="lists case case000 twice"):
        seal_cohort(store)


def test_without_the_roots_manifest_a_folder_is_known_by_its_record(store):
    shutil.copytree(store / CASE, store / "cases/copy")
    for name in ("manifest.json", "commit"):
        (store / name).unlink()
    found = [found for found in validate(store).findings if found.case_id is not None]
    assert [(one.case_id, one.path, one.detail) for one in found] == [
        ("copy", "cases/copy/zarr.json", "the record of another case")
    ]


ODD = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(path.parents[1] / "case000" / path.name),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", ["manifest.json", "commit", "zarr.json", "1/zarr.json", "1/c/0/0/0"])
def test_what_is_no_plain_file_is_named_and_not_waited_for(store, name, kind):
    (store / CASE / name).unlink()
    ODD[kind](store / CASE / name)
    assert '"not a plain file"' in _in_time(
        "import json; from dcam_dist.cohort import validate\n"
        "print(json.dumps([found.detail for deep in (1, 0) for found in validate(root, deep=bool(deep)).findings]))",
        store,
    )
    if name != "zarr.json":
        assert "VolumeDamaged" in _in_time(
            "from dcam_dist.cohort import open_cohort\n"
            "try: open_cohort(root).read('case001')\n"
            "except Exception as error: print(type(error))",
            store,
        )


@pytest.mark.parametrize("name", ["manifest.json", "commit", "zarr.json", "cases.json"])
def test_a_pipe_at_the_root_is_named_and_not_waited_for(store, name):
    (store / name).unlink()
    os.mkfifo(store / name)
    said = _in_time(
        "from dcam_dist.cohort import open_cohort, validate\n"
        "print([found.path for found in validate(root).findings])\n"
        "try: open_cohort(root)\n"
        "except Exception as error: print(type(error))",
        store,
    )
    assert f"'{name}'" in said and "DataError" in said


def _in_time(code, store):
    """What a process of its own prints: a test that waits for a pipe would never end."""
    command = [sys.executable, "-c", f"import sys; from pathlib import Path; root = Path(sys.argv[1])\n{code}", store]
    return subprocess.run(command, timeout=60, check=True, capture_output=True, text=True).stdout


def test_some_cases_only_and_without_reading_every_byte(store):
    _edit(store / SHARD, lambda c: c[:9] + b"?" + c[10:])
    assert validate(store, ["case000"]).whole and not validate(store, ["case000"]).complete
    assert not validate(store, ["case001"]).whole
    assert validate(store, deep=False).whole
    _edit(store / SHARD, lambda c: c[:-5] + b"?" + c[-4:])
    assert validate(store, deep=False).findings[0].detail == "its index changed"
    with pytest.raises(UsageError, match="no case 'case009'"):
        validate(store, ["case009"])


def test_a_store_without_its_manifest_is_looked_at_by_the_cases_own(store):
    (store / "manifest.json").unlink()
    (store / "cases.json").unlink()
    _edit(store / SHARD, lambda c: c[:9] + b"?" + c[10:])
    report = validate(store)
    assert {path for case_id, path, _ in _said(report) if case_id is None} == {"manifest.json", "cases.json"}
    assert report.cases == ("case000", "case001", "case002") and report.damaged_cases == ("case001",)


def test_what_is_no_store_says_so(tmp_path):
    with pytest.raises(UsageError, match="no cohort here"):
        validate(tmp_path)


@pytest.mark.parametrize("name", ["1", "labels/lungs/1"])
@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda array: shutil.rmtree(array / "c"),
        lambda array: (array / "c/0/0/0").write_bytes(b""),
        lambda array: _edit(array / "c/0/0/0", lambda c: c[: len(c) // 2]),
        lambda array: _edit(array / "c/0/0/0", lambda c: c[:-20] + b"\xff" * 16 + c[-4:]),
        lambda array: _edit(array / "c/0/0/0", lambda c: b"\0" + c[:-1]),
        lambda array: _edit(array / "zarr.json", lambda c: c + b" "),
        lambda array: _edit(array / "zarr.json", lambda c: c.replace(b'"fill_value": 0', b'"fill_value": 7')),
        lambda array: _edit(array / "zarr.json", lambda c: c.replace(b"    16,", b"    15,", 1)),
        lambda array: _edit(array / "zarr.json", lambda c: c.replace(b'"crc32c"', b'"bytes"')),
        lambda array: _edit(
            array / "zarr.json", lambda c: c.replace(b'"int16"', b'"int32"').replace(b"uint8", b"int8")
        ),
    ],
)
def test_a_damaged_volume_is_refused_by_case(store, name, harm):
    cohort = open_cohort(store)
    harm(store / CASE / name)
    assert validate(store).damaged_cases == ("case001",)
    with pytest.raises(VolumeDamaged, match=r"case case001: .*validate .* --repair"):
        cohort.read("case001")
    cohort.read("case000")


def test_a_volume_that_vanishes_after_it_was_opened_is_refused(store):
    lazy = open_cohort(store).hu("case001")
    (store / SHARD).unlink()
    with pytest.raises(VolumeDamaged, match="case001: volume on the training grid: missing"):
        lazy.compute()


def test_a_volume_that_vanishes_while_it_is_read_is_refused(store, monkeypatch):
    read = zarr.Array.__getitem__

    def vanishing(array, where):
        (store / SHARD).unlink()
        return read(array, where)

    lazy = open_cohort(store).hu("case001")
    monkeypatch.setattr(zarr.Array, "__getitem__", vanishing)
    with pytest.raises(VolumeDamaged, match="case001"):
        lazy.compute()


def test_an_index_entry_marked_empty_is_refused_by_zarr_itself(store):
    """The index has a checksum of its own, so that one flipped entry cannot turn a chunk into fill values."""
    _edit(store / SHARD, lambda c: c[:-20] + b"\xff" * 16 + c[-4:])
    with pytest.raises(ValueError, match="checksum do not match"):
        zarr.open_array(store / CASE / "1", mode="r")[:]


def test_patches_read_only_what_they_touch_and_equal_the_volume(store):
    cohort = open_cohort(store)
    whole = cohort.hu("case001").compute()
    np.testing.assert_array_equal(cohort.hu("case001")[2:9, 4:20, 5:6].compute(), whole[2:9, 4:20, 5:6])


def test_a_manifest_of_another_version_says_so(store):
    tree = json.loads((store / "manifest.json").read_text()) | {"version": 99}
    content = json.dumps(tree).encode()
    (store / "manifest.json").write_bytes(content)
    (store / "commit").write_bytes(commit_content(seal_of(content)))
    with pytest.raises(DataError, match="manifest version 99"):
        open_cohort(store)
    assert validate(store).findings[0].path == "manifest.json"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"version": 1}', b'{"version": 1, "files": {"a": {"x": 1}}}', b"\xff"]
)
def test_what_is_no_manifest_is_a_data_error(content):
    with pytest.raises(DataError):
        Manifest.from_bytes(content)


def test_an_older_store_is_refused_with_the_remedy(store):
    for name in ("manifest.json", "commit"):
        (store / name).unlink()
    _edit(store / "zarr.json", lambda c: c.replace(b'"store_version": 3', b'"store_version": 2'))
    with pytest.raises(DataError, match="store version 2, this release reads 3; ingest again to another --out"):
        open_cohort(store)
