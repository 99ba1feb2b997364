"""Which checkpoints are kept, in which order they are read, and what is passed over."""

import logging
import os
import shutil
from dataclasses import replace

import pytest

from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs import checkpoints, latest_checkpoint, read_checkpoint, run_lock, sealed, write_checkpoint
from dcam_dist.runs.places import FOLDER, places
from dcam_dist.types import Phase, Position


def save(run, index, keep=9, **changes):
    return write_checkpoint(run, replace(state_of(index), **changes), keep)


def names(run):
    return sorted(path.name for path in (run / FOLDER).iterdir())


def damage(folder):
    file = folder / "engine.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")


def test_none_where_there_is_nothing(tmp_path):
    assert latest_checkpoint(tmp_path) is None and latest_checkpoint(tmp_path / "none") is None


def test_order_is_the_order_of_the_work_and_not_of_time_or_of_letters(tmp_path):
    at = [
        Position(10_000, Phase.EXTRACT),
        Position(9_999, Phase.DONE),
        Position(9_999, Phase.TRAIN, 1_000_000),
        Position(9_999, Phase.TRAIN, 999_999),
        Position(9_999, Phase.RESET),
        Position(9_999, Phase.CLUSTER),
        Position(2, Phase.TRAIN, 7),
    ]
    for index, position in enumerate(at):  # the last in the order of the work is written first
        folder = save(tmp_path, index, position=position)
        os.utime(folder, (index, index))
    assert [place.position for place in places(tmp_path)] == at
    assert latest_checkpoint(tmp_path).position == at[0]


def test_the_newest_few_are_kept(tmp_path):
    for index in (0, 1, 2, 4, 5):
        save(tmp_path, index, keep=2)
    assert names(tmp_path) == ["epoch-0001-0-extract-000000", "epoch-0001-3-train-000000"]


def test_one_saved_again_replaces_the_first_and_is_named_apart(tmp_path):
    first, again = save(tmp_path, 2, keep=2), save(tmp_path, 3, keep=2)
    assert names(tmp_path) == [f"{first.name}.2"] == [again.name]
    assert index_of(latest_checkpoint(tmp_path)) == 3
    save(tmp_path, 3, keep=2)
    assert names(tmp_path) == [f"{first.name}.3"]


def test_there_is_no_moment_without_the_one_that_is_saved_again(tmp_path, monkeypatch):
    save(tmp_path, 2, keep=1)
    seen = []

    def looked(function):
        def wrapped(*arguments, **named):
            seen.append(index_of(latest_checkpoint(tmp_path)))
            result = function(*arguments, **named)
            seen.append(index_of(latest_checkpoint(tmp_path)))
            return result

        return wrapped

    monkeypatch.setattr(checkpoints, "write_sealed", looked(checkpoints.write_sealed))
    monkeypatch.setattr(checkpoints, "sync", looked(checkpoints.sync))
    monkeypatch.setattr(shutil, "rmtree", looked(shutil.rmtree))
    save(tmp_path, 3, keep=1)
    assert len(seen) >= 6 and seen == sorted(seen) and set(seen) == {2, 3}


def test_beside_the_closing_one_the_last_one_of_the_training_is_kept(tmp_path):
    save(tmp_path, 1, keep=1)
    closing = Position(1, Phase.DONE)
    save(tmp_path, 2, keep=1, position=closing)
    assert [place.position.phase for place in places(tmp_path)] == [Phase.DONE, Phase.TRAIN]
    assert latest_checkpoint(tmp_path).finished
    assert index_of(latest_checkpoint(tmp_path, before_done=True)) == 1
    # more epochs were asked for, and the first checkpoint of them stands before the closing one
    save(tmp_path, 4, keep=1, position=Position(1, Phase.CLUSTER))
    assert latest_checkpoint(tmp_path).finished and index_of(latest_checkpoint(tmp_path, before_done=True)) == 4
    save(tmp_path, 5, keep=1, position=Position(2, Phase.EXTRACT))
    assert index_of(latest_checkpoint(tmp_path)) == 5 and len(places(tmp_path)) == 1


def test_a_closing_one_alone_is_not_taken_for_an_empty_run(tmp_path):
    save(tmp_path, 2, keep=1, position=Position(1, Phase.DONE))
    with pytest.raises(DataError, match="no checkpoint left to go on from"):
        latest_checkpoint(tmp_path, before_done=True)


def test_a_damaged_one_is_passed_over_in_one_line(tmp_path, caplog):
    save(tmp_path, 0)
    save(tmp_path, 1)
    damage(save(tmp_path, 2))
    with caplog.at_level(logging.INFO, "dcam_dist"):
        assert same(latest_checkpoint(tmp_path), state_of(1))
    [line] = caplog.messages
    assert "passed over" in line and "epoch-0000-3-train-000005: engine.safetensors is damaged" in line
    assert line.endswith("going on from epoch-0000-3-train-000000")


def test_where_all_are_damaged_all_are_named(tmp_path):
    for index in (0, 1):
        damage(save(tmp_path, index))
    with pytest.raises(DataError, match=r"0-extract-000000: engine.*") as refused:
        latest_checkpoint(tmp_path)
    assert "3-train-000000: engine" in str(refused.value) and "--fresh" in str(refused.value)


def test_one_of_an_earlier_release_is_not_taken_for_an_empty_run(tmp_path):
    (tmp_path / FOLDER / "epoch-0007").mkdir(parents=True)
    with pytest.raises(DataError, match="epoch-0007: not of this version"):
        latest_checkpoint(tmp_path)


def test_one_under_anothers_name_is_refused(tmp_path):
    one, other = save(tmp_path, 0), save(tmp_path, 2)
    shutil.rmtree(other)
    one.rename(other)
    with pytest.raises(DataError, match="holds the checkpoint of epoch 1, extract"):
        read_checkpoint(other)


@pytest.mark.parametrize("keep", [1, 2])
def test_the_newest_intact_one_outlives_damaged_newer_ones(tmp_path, keep):
    save(tmp_path, 0)
    newer = [save(tmp_path, index) for index in (4, 5, 8)]
    for folder in newer:
        damage(folder)
    save(tmp_path, 1, keep=keep)  # from the first one training went on
    assert index_of(latest_checkpoint(tmp_path)) == 1
    assert not any(folder.exists() for folder in newer)
    assert len(places(tmp_path)) == keep


def test_old_ones_are_removed_only_after_the_new_one_was_read_back(tmp_path, monkeypatch):
    save(tmp_path, 0, keep=1)
    write_file = sealed.write_file

    def lossy(path, content):
        write_file(path, content[:-1] + b"\x00" if path.name == "arrays.safetensors" else content)

    monkeypatch.setattr(sealed, "write_file", lossy)
    with pytest.raises(EnvironmentFault, match=r"gives back other bytes.*arrays.safetensors.*earlier checkpoints are"):
        save(tmp_path, 1, keep=1)
    assert names(tmp_path) == ["epoch-0000-0-extract-000000"]
    assert same(latest_checkpoint(tmp_path), state_of(0))


def test_a_start_clears_what_a_killed_save_left_and_nothing_else(tmp_path):
    folder = save(tmp_path, 0)
    for left in (".new-1", ".old-2"):
        shutil.copytree(folder, folder.with_name(left))
    assert index_of(latest_checkpoint(tmp_path)) == 0
    with run_lock(tmp_path):
        assert names(tmp_path) == [folder.name]


@pytest.mark.parametrize("name", ["MANIFEST.json", "state.json", "engine.safetensors", "arrays.safetensors"])
def test_without_any_of_its_files_it_is_no_checkpoint(tmp_path, name):
    folder = save(tmp_path, 0)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"null", b"{" * 10_000, b'{"../state.json": {}}', b'{"state.json": 7}']
)
def test_a_manifest_of_something_else_is_refused(tmp_path, content):
    folder = save(tmp_path, 0)
    (folder / "MANIFEST.json").write_bytes(content)
    with pytest.raises(DataError):
        read_checkpoint(folder)
