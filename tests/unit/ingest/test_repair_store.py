"""``validate --repair``: the store is afterwards what it was, to the byte, and only what was damaged is read again."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.ct_files import chest_hu, lung_box, write_image

from dcam_dist.cohort import open_cohort, validate
from dcam_dist.config import load_config
from dcam_dist.errors import DataError, UsageError
from dcam_dist.ingest import ingest, run
from dcam_dist.ingest.repair import repair

CONFIG = load_config(None, ["grid.shape=[16,16,16]", "ingest.workers=1", "seed=3"])
CASES = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Four cases and one set aside."""
    root = tmp_path_factory.mktemp("made")
    scans = root / "scans"
    scans.mkdir()
    write_image(scans / "mask.nrrd", lung_box().astype(np.uint8))
    rows = ["case_id,image,lung_mask,label,patient_id"]
    for index in range(CASES):
        write_image(scans / f"ct{index}.nrrd", chest_hu(seed=index))
        rows.append(f"c{index},ct{index}.nrrd,mask.nrrd,{index},P{index}")
    write_image(scans / "flat.nrrd", lung_box().astype(np.uint8))
    (scans / "cases.csv").write_text("\n".join([*rows, "bad,flat.nrrd,mask.nrrd,0,P9"]) + "\n")
    assert ingest([scans], root / "c.zarr", config=CONFIG, assume_hu=True).accepted == CASES
    return root


@pytest.fixture
def store(made, tmp_path):
    """A copy of the store and its private file; the scans stay where they are, but may be taken away."""
    for name in ("scans", "c.zarr"):
        shutil.copytree(made / name, tmp_path / name)
    private = json.loads((made / "c.private.json").read_text())
    private["call"]["sources"] = [str(tmp_path / "scans")]
    (tmp_path / "c.private.json").write_text(json.dumps(private))
    (tmp_path / "c.private.json").chmod(0o600)
    return tmp_path / "c.zarr"


@pytest.fixture
def read_again(monkeypatch):
    """The cases that a worker was given."""
    seen, task = [], run._task
    monkeypatch.setattr(run, "_task", lambda *args: seen.append(args[-1].case_id) or task(*args))
    return seen


def _tree(root):
    return {path.relative_to(root).as_posix(): path.is_file() and path.read_bytes() for path in root.rglob("*")}


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "again"),
    [
        (lambda store: _flip(store / "cases/c1/0/c/0/0/0"), ["c1"]),
        (lambda store: (store / "cases/c1/1/zarr.json").unlink(), ["c1"]),
        (lambda store: (store / "cases/c1/commit").unlink(), ["c1"]),
        (lambda store: _flip(store / "cases/c2/manifest.json"), ["c2"]),
        (lambda store: shutil.rmtree(store / "cases/c0"), ["c0"]),
        (lambda store: [_flip(store / f"cases/{case}/zarr.json") for case in ("c0", "c3")], ["c0", "c3"]),
        (lambda store: (shutil.rmtree(store / "cases/c0"), (store / "cases/c0").symlink_to("c1")), ["c0"]),
        (lambda store: _flip(store / "cases.json"), []),
        (lambda store: (store / "cases.json").unlink(), []),
        (lambda store: _flip(store / "quarantine.json"), ["bad"]),
        (lambda store: _flip(store / "zarr.json"), []),
        (lambda store: (store / "cases/zarr.json").unlink(), []),
        (lambda store: (store / "manifest.json").unlink(), ["bad"]),
        (lambda store: (store / "commit").write_bytes(b""), ["bad"]),
        (lambda store: [_flip(store / name) for name in ("cases.json", "cases/c1/zarr.json")], ["c1"]),
        (lambda store: (store / "cases").rename(store.parent / "lost"), ["c0", "c1", "c2", "c3"]),
        (lambda store: shutil.copytree(store / "cases/c1", store / "cases/c9"), []),
        (lambda store: (store / "cases/c1/notes.txt").write_text("mine"), []),
        (lambda store: (store / "cases/c1/1/link").symlink_to(store.parent / "scans"), []),
        (lambda store: (store / ".incoming/c1.0.new").mkdir(parents=True), []),
        (lambda store: (store / "cases/c1").rename(_made(store / ".incoming") / "c1.0.old"), ["c1"]),
    ],
)
def test_a_mended_store_is_what_it_was(store, read_again, harm, again):
    before = _tree(store)
    harm(store)
    assert _tree(store) != before
    summary = repair(validate(store))
    assert _tree(store) == before
    assert validate(store).whole and summary.changed == ()
    assert sorted(read_again) == again
    assert set(summary.ingested) <= set(again) - {"bad"} and (store.parent / "scans" / "cases.csv").exists()


def _swap(store):
    (store / "cases/c1").rename(store / "aside")
    (store / "cases/c2").rename(store / "cases/c1")
    (store / "aside").rename(store / "cases/c2")


def _copy_over(store):
    shutil.rmtree(store / "cases/c2")
    shutil.copytree(store / "cases/c1", store / "cases/c2")


def _unsealed(store):
    for name in ("manifest.json", "commit"):
        (store / name).unlink()


MOVES = {
    "swapped": (_swap, ["c1", "c2"]),
    "renamed": (lambda store: (store / "cases/c1").rename(store / "cases/zzz"), ["c1"]),
    "copied": (lambda store: shutil.copytree(store / "cases/c1", store / "cases/copy"), []),
    "copied over": (_copy_over, ["c2"]),
}
UNSEALED = {
    "manifest and commit lost": _unsealed,
    "manifest flipped": lambda store: _flip(store / "manifest.json"),
    "manifest and table lost": lambda store: [(store / name).unlink() for name in ("manifest.json", "cases.json")],
}


@pytest.mark.parametrize("unseal", UNSEALED)
@pytest.mark.parametrize("move", MOVES)
def test_cases_that_changed_places_are_never_sealed_under_each_others_name(store, read_again, move, unseal):
    """Each folder agrees with its own manifest, and without the root's manifest nothing else tells which it is."""
    before, (harm, again) = _tree(store), MOVES[move]
    harm(store)
    UNSEALED[unseal](store)
    assert validate(store).damaged_cases
    summary = repair(validate(store))
    assert _tree(store) == before and validate(store).whole
    assert (list(summary.ingested), sorted(read_again)) == (again, ["bad", *again])


@pytest.mark.parametrize("move", ["swapped", "copied over"])
def test_ingest_itself_puts_cases_in_their_places(store, move):
    before = _tree(store)
    MOVES[move][0](store)
    _unsealed(store)
    ingest([store.parent / "scans"], store, config=CONFIG, assume_hu=True)
    assert _tree(store) == before


@pytest.mark.parametrize("unseal", UNSEALED)
def test_a_misplaced_case_whose_scan_is_of_no_use_now_is_not_deleted(store, unseal):
    (store / "cases/c1").rename(store / "cases/zzz")
    UNSEALED[unseal](store)
    before = _tree(store)
    shutil.copy(store.parent / "scans/flat.nrrd", store.parent / "scans/ct1.nrrd")
    with pytest.raises(DataError, match=r"set aside now \(not_hounsfield\); nothing was deleted"):
        repair(validate(store))
    assert before.items() <= _tree(store).items()


@pytest.mark.parametrize("name", ["manifest.json", "commit", "zarr.json", "1/zarr.json", "1/c/0/0/0"])
def test_a_pipe_in_the_place_of_a_file_is_mended(store, name):
    before = _tree(store)
    (store / "cases/c1" / name).unlink()
    os.mkfifo(store / "cases/c1" / name)
    assert repair(validate(store)).ingested == ("c1",)
    assert _tree(store) == before


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder


def test_the_report_of_a_sound_store_mends_nothing(store, read_again):
    before = _tree(store)
    assert repair(validate(store)) == repair(validate(store))
    assert _tree(store) == before and read_again == []


def test_foreign_files_are_named_and_deleted(store):
    (store / "cases/c1/notes.txt").write_text("mine")
    (store / "thesis").mkdir()
    assert repair(validate(store)).deleted == ("thesis", "cases/c1/notes.txt")


@pytest.mark.parametrize("away", ["scans", "scans/ct1.nrrd", "scans/mask.nrrd"])
def test_without_its_scan_nothing_is_lost(store, away):
    _flip(store / "cases/c1/1/c/0/0/0")
    (store / "notes.txt").write_text("mine")
    before = _tree(store)
    (store.parent / away).rename(store.parent / "elsewhere")
    with pytest.raises(DataError, match=r"nothing was deleted; .*--repair SOURCE") as caught:
        repair(validate(store))
    assert "\n" not in str(caught.value) and _tree(store) == before


def test_scans_that_moved_are_named(store):
    _flip(store / "cases/c1/1/c/0/0/0")
    (store.parent / "scans").rename(store.parent / "elsewhere")
    assert repair(validate(store), [store.parent / "elsewhere"]).ingested == ("c1",)
    assert validate(store).whole


def test_a_scan_that_can_no_longer_be_used_keeps_its_damaged_case(store):
    _flip(store / "cases/c1/1/c/0/0/0")
    shutil.copy(store.parent / "scans/flat.nrrd", store.parent / "scans/ct1.nrrd")
    before = _tree(store)
    with pytest.raises(
        DataError, match=r"case c1 cannot be mended: its scan would be set aside now \(not_hounsfield\)"
    ):
        repair(validate(store))
    assert _tree(store) == before


def test_a_scan_that_changed_is_said_and_stays_in_its_split(store):
    listed = open_cohort(store).case("c1")
    _flip(store / "cases/c1/1/c/0/0/0")
    write_image(store.parent / "scans/ct1.nrrd", chest_hu(seed=77))
    table = store.parent / "scans/cases.csv"
    write_image(store.parent / "scans/new.nrrd", chest_hu(seed=78))
    rows = "".join(f"n{number},new.nrrd,mask.nrrd,0,N{number}\n" for number in range(40))
    table.write_text(table.read_text() + rows)
    summary = repair(validate(store))
    assert (summary.ingested, summary.changed) == (("c1",), ("c1",))
    cohort = open_cohort(store)
    assert cohort.case("c1").split == listed.split and len(cohort.cases) == CASES


def test_without_the_private_file_it_says_so(store):
    (store.parent / "c.private.json").unlink()
    (store / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"c\.private\.json: missing, and a repair needs it"):
        repair(validate(store))
    assert (store / "notes.txt").exists() and not (store.parent / "c.private.json").exists()


def test_a_private_file_of_an_older_ingest_says_so(store):
    private = json.loads((store.parent / "c.private.json").read_text())
    (store.parent / "c.private.json").write_text(json.dumps({"key": private["key"], "cases": private["cases"]}))
    with pytest.raises(DataError, match="does not say how ingest was called"):
        repair(validate(store))


def test_a_report_on_some_cases_is_no_ground_for_a_repair(store):
    with pytest.raises(ValueError, match="all cases"):
        repair(validate(store, ["c1"]))


def test_how_ingest_was_called_is_in_the_private_file_alone(made):
    call = json.loads((made / "c.private.json").read_text())["call"]
    assert call["sources"] == [str(made / "scans")] and Path(call["sources"][0]).is_absolute()
    assert (call["hash_ids"], call["assume_hu"], call["config"]["seed"]) == (False, True, 3)
    for content in _tree(made / "c.zarr").values():
        assert not content or str(made).encode() not in content


def test_ingest_itself_mends_damaged_cases_and_tables(store):
    before = _tree(store)
    _flip(store / "cases/c1/labels/lungs/0/c/0/0/0")
    _flip(store / "cases.json")
    ingest([store.parent / "scans"], store, config=CONFIG, assume_hu=True)
    assert _tree(store) == before


def test_a_damaged_table_does_not_let_forgotten_sources_drop_cases(store):
    (store / "cases.json").write_text("[]")
    before = _tree(store)
    with pytest.raises(UsageError, match="holds 4 cases that these sources do not give"):
        ingest([store.parent / "scans" / "ct0.nrrd"], store, config=CONFIG)
    assert _tree(store) == before
