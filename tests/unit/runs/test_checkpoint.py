"""What is written is read, every field to the last bit; what is not a checkpoint is refused by one line."""

import json
import math
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import safetensors.numpy
import torch

from benchmarks.saved_states import same, state_of
from dcam_dist.errors import DataError, EnvironmentFault
from dcam_dist.runs import BestWeights, Checkpoint, EpochInHand, fingerprint, read_checkpoint, write_checkpoint
from dcam_dist.runs.checkpoint_files import ARRAYS, ENGINE, FORMAT, STATE, from_files, to_files
from dcam_dist.types import Assignment, FeatureTable, Phase, Position


def assert_identical(one, other, where="checkpoint"):
    """Field by field, in type, dtype, shape and bytes: not by the way that they are written."""
    assert type(one) is type(other), where
    if is_dataclass(one):
        for field in fields(one):
            assert_identical(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_identical(one[name], other[name], f"{where}[{name}]")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), where
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other), where
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other), where
    else:
        assert one == other, where


def test_every_field_is_read_as_it_was_written(tmp_path):
    written = state_of(1)
    for part, unused in ((written, Checkpoint(Position(0, Phase.EXTRACT), (), {})), (written.in_hand, EpochInHand())):
        for field in fields(part):
            value, default = getattr(part, field.name), getattr(unused, field.name)
            assert type(value) is not type(default) or value != default, f"{field.name} is not in use here"
    assert_identical(read_checkpoint(write_checkpoint(tmp_path, written, keep=1)), written)


def test_the_least_there_is_is_read_as_it_was_written(tmp_path):
    written = Checkpoint(Position(0, Phase.EXTRACT), ("a", "ü"), {"network.w": torch.zeros(2)})
    read = read_checkpoint(write_checkpoint(tmp_path, written, keep=1))
    assert_identical(read, written)
    assert (read.epoch, read.finished, read.assignment, read.best) == (0, False, None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.1 + 0.2, 5e-324])
def test_odd_numbers_survive(tmp_path, value):
    assignment = Assignment(np.array([0]), ("a",), 0, value)
    written = replace(state_of(0), assignment=assignment, best=BestWeights(0, value, {}))
    assert_identical(read_checkpoint(write_checkpoint(tmp_path, written, keep=1)), written)


def test_odd_arrays_and_tensors_survive(tmp_path):
    # scikit-learn's PCA hands out arrays in Fortran order, whose memory safetensors would write as it lies
    base = torch.arange(12.0)
    written = replace(
        state_of(1),
        engine={
            "scalar": torch.tensor(3.0, dtype=torch.float64),
            "bf16": torch.ones(3, dtype=torch.bfloat16),
            "whole": torch.tensor([2**62 + 1]),
            "flag": torch.tensor(True),
            "empty": torch.zeros(0, 4),
            "halves/one": base[:6],
            "halves/other": base[6:],
            "turned": base.reshape(3, 4).t(),
            "channels last": torch.arange(48.0).reshape(2, 3, 2, 2, 2).to(memory_format=torch.channels_last_3d),
        },
        in_hand=EpochInHand(
            features=FeatureTable(np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), ("a", "b")),
            points_NP=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            batch_SB=np.zeros((0, 4), np.int64),
            tally_RT=np.array([[math.nan, 0.1]]),
        ),
    )
    read = read_checkpoint(write_checkpoint(tmp_path, written, keep=1))
    assert read.engine.keys() == written.engine.keys()
    for name, tensor in written.engine.items():
        assert read.engine[name].dtype == tensor.dtype and torch.equal(read.engine[name], tensor), name
    np.testing.assert_array_equal(read.in_hand.features.features_NC, written.in_hand.features.features_NC)
    np.testing.assert_array_equal(read.in_hand.points_NP, written.in_hand.points_NP)
    assert read.in_hand.points_NP.dtype == np.float64
    assert read.in_hand.batch_SB.shape == (0, 4)
    np.testing.assert_array_equal(read.in_hand.tally_RT, written.in_hand.tally_RT)


def test_a_read_checkpoint_may_be_written_into(tmp_path):
    read = read_checkpoint(write_checkpoint(tmp_path, state_of(1), keep=1))
    read.engine["network.w"].zero_()
    read.in_hand.tally_RT[:] = 0


def test_nothing_in_a_checkpoint_is_pickle_and_its_json_is_strict(tmp_path):
    folder = write_checkpoint(tmp_path, state_of(1), keep=1)
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors"}
    for file in folder.glob("*.json"):
        json.loads(file.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_it_says_where_it_was_made(tmp_path):
    folder = write_checkpoint(tmp_path, state_of(1), keep=1)
    state = json.loads((folder / STATE).read_text())
    assert state["format"] == FORMAT and (state["ranks"], state["threads"]) == (2, 3)
    assert {"dcam-dist", "python", "torch", "numpy"} <= state["about"]["versions"].keys()


def test_ranks_that_have_read_anything_else_are_told_apart():
    one = state_of(1)
    hand = one.in_hand
    others = [
        replace(one, engine={**one.engine, "network.w": one.engine["network.w"] + 1}),
        replace(one, assignment=replace(one.assignment, label_N=one.assignment.label_N[::-1].copy())),
        replace(one, in_hand=replace(hand, features=replace(hand.features, features_NC=hand.features.features_NC + 1))),
        replace(one, in_hand=replace(hand, batch_SB=hand.batch_SB[1:])),
        replace(one, in_hand=replace(hand, tally_RT=hand.tally_RT + 1)),
        replace(one, best=replace(one.best, loss=0.5)),
        replace(one, aside=()),
        replace(one, position=replace(one.position, step=7)),
    ]
    assert len({fingerprint(each) for each in (one, state_of(1), *others)}) == 1 + len(others)


def test_another_checkpoint_is_not_the_same():
    assert same(state_of(1), state_of(1)) and not same(state_of(1), state_of(2))


def _files():
    return dict(to_files(state_of(1), {}))


def _with_state(**changes):
    files = _files()
    return files | {STATE: json.dumps(json.loads(files[STATE]) | changes).encode()}


def _with_arrays(**changes):
    files = _files()
    arrays = safetensors.numpy.load(files[ARRAYS])
    changed = {name.replace("__", "/"): array for name, array in changes.items()}
    kept = {name: array for name, array in (arrays | changed).items() if array is not None}
    return files | {ARRAYS: safetensors.numpy.save(kept)}


MADE_UP = {
    "no state": {ENGINE: b""},
    "no JSON": {**_files(), STATE: b"{"},
    "a list": {**_files(), STATE: b"[]"},
    "deep JSON": {**_files(), STATE: b"[" * 100_000},
    "no engine": {name: content for name, content in _files().items() if name != ENGINE},
    "an empty engine": {**_files(), ENGINE: b""},
    "an engine of a huge header": {**_files(), ENGINE: b"\xff" * 64},
    "an engine cut off": {**_files(), ENGINE: _files()[ENGINE][:-1]},
    "arrays cut off": {**_files(), ARRAYS: _files()[ARRAYS][:-1]},
    "no phase of ours": _with_state(position={"epoch": 0, "phase": "dream", "step": 0}),
    "no position": _with_state(position=None),
    "ids that are no text": _with_state(case_id=[1, 2]),
    "ids as one text": _with_state(case_id="abc"),
    "a text for a number": _with_state(ranks="many"),
    "no format": _with_state(format=None),
    "no labels": _with_arrays(assignment=None),
    "labels of another length": _with_arrays(assignment=np.zeros(2, np.int64)),
    "labels of another dtype": _with_arrays(assignment=np.zeros(12)),
    "features of another length": _with_arrays(features=np.zeros((3, 6), np.float32)),
    "batches that are a row": _with_arrays(batches=np.zeros(3, np.int64)),
    "generators of floats": _with_arrays(generator__0__cpu=np.zeros(3)),
    "centroids of other axes": _with_arrays(clustering__centroid_KP=np.zeros((4, 9), np.float32)),
    "no principal axes": _with_arrays(clustering__components_PC=None),
}


@pytest.mark.parametrize("what", MADE_UP)
def test_what_is_no_checkpoint_is_refused(what):
    with pytest.raises((DataError, EnvironmentFault)):
        from_files(MADE_UP[what])


def test_one_of_a_newer_format_is_refused_and_not_passed_over(tmp_path, monkeypatch):
    from dcam_dist.runs import checkpoint_files, latest_checkpoint

    write_checkpoint(tmp_path, state_of(0), keep=2)
    monkeypatch.setattr(checkpoint_files, "_check_format", lambda _: None)
    monkeypatch.setattr(checkpoint_files, "FORMAT", FORMAT + 1)
    write_checkpoint(tmp_path, state_of(1), keep=2)
    monkeypatch.undo()
    with pytest.raises(EnvironmentFault, match=rf"epoch-0000-3.*format {FORMAT + 1}.*install a newer dcam-dist"):
        latest_checkpoint(tmp_path)
