"""Kills inside saves, flipped bits and power cuts; then each guard is taken out, and without it the harm must show."""

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest

from benchmarks import checkpoint_corruption, save_child, save_kills
from benchmarks.save_child import WINDOWS
from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs import checkpoint_files, checkpoints, latest_checkpoint, lock, sealed, write_checkpoint
from dcam_dist.runs.places import FOLDER, free_name, place_of, places
from dcam_dist.runs.provenance import provenance

KILLS = 2 * len(WINDOWS) + 2
NUMBERS = 50_000


def kills(folder, n=KILLS, windows=tuple(WINDOWS)):
    return save_kills.campaign(folder, n, 1, NUMBERS, windows)


def test_a_kill_anywhere_in_a_save_leaves_the_one_before_or_the_one_in_hand(tmp_path):
    made = kills(tmp_path)
    assert sum(kill.inside for kill in made) == KILLS >= 20
    assert {kill.window for kill in made} == {save_kills.RANDOM, *WINDOWS}
    assert [kill for kill in made if not kill.recovered] == []
    assert sum(kill.unfinished > 0 for kill in made) > 5  # else nothing was struck midway
    result = save_kills.summary(made, 1, NUMBERS, 1.0)
    assert (result["n"], result["unreadable"], result["not_recovered"]) == (KILLS, 0, 0)
    assert f"0 of {KILLS} SIGKILLs inside a save left nothing readable" in save_kills.markdown(result)


def test_all_damage_is_found_and_the_newest_undamaged_one_is_loaded(tmp_path):
    trials = checkpoint_corruption.campaign(tmp_path, 100, seed=1)
    assert {trial.kind for trial in trials} == set(checkpoint_corruption.WAYS)
    assert [trial for trial in trials if not trial.found] == []
    assert [trial for trial in trials if not trial.right] == []
    result = checkpoint_corruption.summary(trials, 1, 1.0)
    assert (result["n"], result["missed"], result["wrong_one_loaded"]) == (100, 0, 0)
    assert "0 of 100 bit flips missed (95 % upper bound 3/n = 3 %)" in checkpoint_corruption.markdown(result)


class PowerCut:
    """What a disk holds that wrote down only what it was told to, when it was told to.

    Args:
        forgotten: The number of the fsync that does not happen.
    """

    def __init__(self, monkeypatch, forgotten=None):
        self.held, self.calls = {}, 0
        fsync = os.fsync

        def kept(descriptor):
            fsync(descriptor)
            if self.calls != forgotten:
                self._keep(descriptor)
            self.calls += 1

        monkeypatch.setattr(os, "fsync", kept)

    def _keep(self, descriptor):
        status, path = os.fstat(descriptor), Path(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(status.st_mode):
            self.held[status.st_ino] = {entry.name: entry.lstat().st_ino for entry in path.resolve().iterdir()}
        else:
            self.held[status.st_ino] = path.read_bytes()

    def after(self, folder, out):
        """Build what is there when the power is back."""
        self._restore(folder.stat().st_ino, out)
        return out

    def _restore(self, number, path):
        content = self.held.get(number, b"")
        if isinstance(content, bytes):
            path.write_bytes(content)
            return
        path.mkdir()
        for name, inner in content.items():
            self._restore(inner, path / name)


def newest_after_a_power_cut(tmp_path, monkeypatch, forgotten=None):
    run = tmp_path / "run"
    run.mkdir()
    with monkeypatch.context() as patch:
        disk = PowerCut(patch, forgotten)
        write_checkpoint(run, state_of(0), keep=1)
    try:
        return latest_checkpoint(disk.after(run, tmp_path / "after")), disk.calls
    except (DataError, OSError):
        return None, disk.calls


def test_a_checkpoint_survives_a_power_cut(tmp_path, monkeypatch):
    newest, calls = newest_after_a_power_cut(tmp_path, monkeypatch)
    assert same(newest, state_of(0)) and calls == 8


@pytest.mark.parametrize("forgotten", range(8))
def test_without_any_one_fsync_it_does_not(tmp_path, monkeypatch, forgotten):
    assert newest_after_a_power_cut(tmp_path, monkeypatch, forgotten)[0] is None


def test_the_old_one_is_removed_only_when_the_new_one_survives_a_power_cut(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    disk, rename = PowerCut(monkeypatch), Path.rename
    write_checkpoint(run, state_of(0), keep=1)

    def watched(path, target):
        if place_of(path) is not None:
            assert same(latest_checkpoint(disk.after(run, tmp_path / "after")), state_of(1))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", watched)
    write_checkpoint(run, state_of(1), keep=1)
    assert (tmp_path / "after").is_dir()


def test_without_the_hash_flipped_bits_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "_fingerprint", lambda content: {"size": len(content)})
    trials = checkpoint_corruption.campaign(tmp_path, 40, seed=2)
    assert not all(trial.found for trial in trials) and not all(trial.right for trial in trials)


def test_without_the_exact_form_of_the_manifest_a_flip_in_it_is_missed(tmp_path, monkeypatch):
    folder = write_checkpoint(tmp_path, state_of(0), keep=1)
    manifest = folder / sealed.MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"\n ", b"\n\t", 1))
    with pytest.raises(DataError, match=r"MANIFEST\.json is damaged"):
        latest_checkpoint(tmp_path)
    monkeypatch.setattr(sealed, "_to_bytes", lambda _: manifest.read_bytes())
    assert latest_checkpoint(tmp_path) is not None


def test_without_the_look_at_the_name_exchanged_checkpoints_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "place_of", lambda _: None)
    trials = checkpoint_corruption.campaign(tmp_path, 1, seed=3)
    assert {trial.kind for trial in trials if not trial.found} == {"two checkpoints exchanged"}


def test_without_the_fallback_one_damaged_file_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "places", lambda run: places(run)[:1])
    trials = checkpoint_corruption.campaign(tmp_path, 40, seed=4)
    assert all(trial.found for trial in trials) and not all(trial.right for trial in trials)


def _lossy(path, content, write_file=sealed.write_file):
    """A disk that says that it has written, and has not."""
    write_file(path, bytes(len(content)) if path.name == checkpoint_files.ARRAYS else content)


def test_without_the_reading_back_a_disk_that_lies_takes_the_last_checkpoint(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, state_of(0), keep=1)
    monkeypatch.setattr(sealed, "write_file", _lossy)
    with pytest.raises(EnvironmentFault, match="gives back other bytes"):
        write_checkpoint(tmp_path, state_of(1), keep=1)
    assert same(latest_checkpoint(tmp_path), state_of(0))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "read_checkpoint", lambda folder: None)
        write_checkpoint(tmp_path, state_of(1), keep=1)
    with pytest.raises(DataError):
        latest_checkpoint(tmp_path)


def _write_in_place(run, checkpoint, keep):
    """A save without the rename."""
    folder = run / FOLDER / free_name(run, checkpoint.position)
    folder.mkdir(parents=True)
    sealed.write_sealed(folder, checkpoint_files.to_files(checkpoint, provenance(run)))
    checkpoints._remove_old(run, checkpoint.position, keep, ())
    return folder


def _write_after_removing(run, checkpoint, keep, write=checkpoints.write_checkpoint):
    """A save that makes room first."""
    for place in places(run):
        shutil.rmtree(place.folder)
    return write(run, checkpoint, keep)


def _remove_in_place(run, newest, keep, proven):
    """A removal without the rename."""
    for place in places(run)[keep:]:
        shutil.rmtree(place.folder)


def test_without_the_rename_a_kill_leaves_a_damaged_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(save_child, "write_checkpoint", _write_in_place)
    assert any(kill.damaged for kill in kills(tmp_path, 4, ["tensors half written"]))


def test_without_the_order_of_writing_and_removing_a_kill_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(save_child, "write_checkpoint", _write_after_removing)
    assert any(kill.found < 0 for kill in kills(tmp_path, 4, ["tensors half written"]))


def test_without_the_rename_before_a_removal_a_kill_leaves_a_damaged_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_remove_old", _remove_in_place)
        patch.setattr(shutil, "rmtree", _rmtree_that_dies)
        for index in range(3):
            try:
                write_checkpoint(tmp_path, state_of(index), keep=2)
            except KeyboardInterrupt:
                break
    assert index == 2 and any(not save_kills._verifies(place.folder) for place in places(tmp_path))


def test_with_it_there_is_none(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", _rmtree_that_dies)
        for index in range(2):
            write_checkpoint(tmp_path, state_of(index), keep=2)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(tmp_path, state_of(2), keep=2)
    assert [save_kills._verifies(place.folder) for place in places(tmp_path)] == [True, True]


def _rmtree_that_dies(path, ignore_errors=False):
    if path.exists() and not path.name.startswith(".new-"):
        next(path.iterdir()).unlink()
        raise KeyboardInterrupt


def test_without_the_clearing_what_kills_left_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "clear_unfinished", lambda _: None)
    assert any(kill.left for kill in kills(tmp_path, 4, ["manifest half written"]))


def test_the_same_state_is_the_same_and_one_bit_is_not():
    state = state_of(1)
    assert same(state, state_of(1)) and index_of(state) == 1
    other = state_of(1)
    other.in_hand.tally_RT.view(np.uint64)[0, 0] ^= 1
    assert not same(state, other)
