"""Damage of every kind to a small store, and each guard taken out in turn: without it the damage must show."""

import shutil

import numpy as np
import pytest

from benchmarks.store_corruption import campaign, make_store, markdown, summary
from benchmarks.store_damage import WAYS, lost_chunk, undo
from dcam_dist.cohort import check, manifest, open_cohort, volume, writer
from dcam_dist.errors import VolumeDamaged


def test_all_damage_is_found_by_case_and_none_is_read_as_data(tmp_path):
    trials = campaign(tmp_path, 300, seed=1)
    assert len(trials) == 300 and {trial.kind for trial in trials} == set(WAYS)
    assert [trial for trial in trials if not trial.found] == []
    assert [trial for trial in trials if not trial.named] == []
    assert [trial for trial in trials if trial.read == "other data"] == []
    assert sum(trial.read == "refused" for trial in trials) > 100
    result = summary(trials, 1, 1.0)
    assert (result["n"], result["missed"], result["read_as_other_data"]) == (300, 0, 0)
    assert "0 of 300 missed by `validate` (95 % upper bound 3/n = 1 %)" in markdown(result)


def test_without_checksums_on_chunks_damage_is_read_as_data(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_CODECS", writer.CHUNK_CODECS[:1])
    assert "other data" in {trial.read for trial in campaign(tmp_path, 60, seed=2)}


def test_without_hashes_validate_misses_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "check_content", manifest.check_size)
    assert not all(trial.found for trial in campaign(tmp_path, 40, seed=3))


def test_without_the_hash_of_the_metadata_voxels_are_read_as_another_type(tmp_path, monkeypatch):
    make_store(tmp_path / "c.zarr", 1, 0)
    metadata = tmp_path / "c.zarr" / "cases" / "case0" / "1" / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"int16"', '"uint16"'))
    with pytest.raises(VolumeDamaged, match=r"case case0: volume on the training grid: \d+ bytes instead of"):
        open_cohort(tmp_path / "c.zarr").read("case0")
    monkeypatch.setattr(volume, "check_content", lambda *_: None)
    assert open_cohort(tmp_path / "c.zarr").read("case0")[0].max() > 32767


def _empty_shards(store, _):
    for shard in store.glob("cases/case0/*/c/0/0/0"):
        shard.write_bytes(b"")


@pytest.mark.parametrize("harm", [lost_chunk, _empty_shards])
def test_without_the_look_at_a_shard_lost_voxels_are_read_as_zeros(tmp_path, monkeypatch, harm):
    store = tmp_path / "c.zarr"
    make_store(store, 1, 0)
    harm(store, np.random.default_rng(0))
    assert "refused" in _read_both(store)
    monkeypatch.setattr(volume, "check_shard", lambda *_: None)
    assert "zeros" in _read_both(store)


def _read_both(store):
    found = set()
    for level in ("0", "1"):
        try:
            hu, mask = open_cohort(store).read("case0", level)
            found.add("voxels" if hu.all() and mask[:99].any() and mask[-9:].any() else "zeros")
        except VolumeDamaged:
            found.add("refused")
    return found


def test_without_the_commit_marker_its_loss_goes_unseen(tmp_path, monkeypatch):
    content = check._content

    def always_committed(path):
        if path.name != "commit":
            return content(path)
        return manifest.commit_content(manifest.seal_of(content(path.with_name("manifest.json")) or b""))

    monkeypatch.setattr(check, "_content", always_committed)
    trials = campaign(tmp_path, 40, seed=6)
    assert {trial.path.rpartition("/")[2] for trial in trials if not trial.found} == {"commit"}


@pytest.mark.parametrize("kind", WAYS)
def test_every_kind_changes_the_store_and_is_undone(tmp_path, kind):
    make_store(tmp_path / "a", 2, 0)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    damage = WAYS[kind][0](tmp_path / "b", np.random.default_rng(0))
    assert _tree(tmp_path / "a") != _tree(tmp_path / "b")
    undo(tmp_path / "b", tmp_path / "a", damage)
    assert _tree(tmp_path / "a") == _tree(tmp_path / "b")


def _tree(root):
    return {path.relative_to(root): _content(path) for path in root.rglob("*")}


def _content(path):
    return path.read_bytes() if path.is_file() and not path.is_symlink() else path.is_symlink()
