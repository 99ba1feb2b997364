"""Any order of saves, killed saves, damage and starts: the newest intact committed checkpoint is what is loaded."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from benchmarks.saved_states import index_of, same, state_of
from dcam_dist.runs import checkpoints, latest_checkpoint, run_lock, sealed, write_checkpoint
from dcam_dist.runs.places import FOLDER, place_of
from dcam_dist.types import Phase, Position

START = Position(0, Phase.EXTRACT)


class Killed(BaseException):
    """As SIGKILL: from here on nothing more of the save is done, its cleaning up included."""


@contextmanager
def killed_at(call):
    """Every step of a save counts; the given one and all after it do not happen."""
    left = [call]

    def counted(function):
        def wrapped(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*arguments, **named)

        return wrapped

    with (
        patch.object(sealed, "write_file", counted(sealed.write_file)),
        patch.object(os, "fsync", counted(os.fsync)),
        patch.object(Path, "rename", counted(Path.rename)),
        patch.object(shutil, "rmtree", counted(shutil.rmtree)),
        patch.object(checkpoints, "read_checkpoint", counted(checkpoints.read_checkpoint)),
    ):
        yield


class RunDirectory(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.run = Path(self.root.name)
        self.saved = 0
        self.content = {}  # of each name ever seen, what lies there
        self.damaged = set()

    def teardown(self):
        self.root.cleanup()

    def committed(self):
        folder = self.run / FOLDER
        return {path.name for path in folder.iterdir() if path.name[0] != "."} if folder.is_dir() else set()

    def expected(self, *, before_done=False):
        intact = [place_of(Path(name)) for name in self.committed() - self.damaged]
        order = sorted((p.position, p.again) for p in intact if not (before_done and p.position.phase is Phase.DONE))
        if not order:
            return None
        [name] = [place.folder.name for place in intact if (place.position, place.again) == order[-1]]
        return self.content[name]

    def next_state(self, way):
        last = self.expected()
        position = START if last is None else last.position
        if last is not None and way == "step":
            position = Position(position.epoch + last.finished, Phase.TRAIN, position.step + 1)
        elif last is not None and way != "again":
            position = Position(position.epoch + 1, Phase.DONE if way == "close" else Phase.EXTRACT)
        self.saved += 1
        return replace(state_of(self.saved, numbers=3), position=position)

    def learn(self, state, before):
        """A name is never used for other content while something of that name is there."""
        for name in self.committed() - before:
            self.content[name] = state
            self.damaged.discard(name)

    ways = st.sampled_from(["step", "step", "epoch", "again", "close"])

    @rule(way=ways, keep=st.integers(1, 3))
    def save(self, way, keep):
        state, before = self.next_state(way), self.committed()
        write_checkpoint(self.run, state, keep)
        self.learn(state, before)
        assert same(latest_checkpoint(self.run), state)
        assert any(place_of(Path(name)).position.phase is not Phase.DONE for name in self.committed()) or (
            len(self.committed()) == 1
        )
        assert len(self.committed()) <= keep + 1

    @rule(way=ways, keep=st.integers(1, 3), call=st.integers(0, 30))
    def save_and_die(self, way, keep, call):
        state, before, last = self.next_state(way), self.committed(), self.expected()
        try:
            with killed_at(call):
                write_checkpoint(self.run, state, keep)
        except Killed:
            pass
        self.learn(state, before)
        found = latest_checkpoint(self.run) if self.committed() - self.damaged else None
        assert found is None or same(found, state) or same(found, last)

    @precondition(lambda self: self.committed() - self.damaged)
    @rule(file=st.integers(0, 4), bit=st.integers(0))
    def damage_the_newest(self, file, bit):
        [newest] = [name for name in self.committed() if self.content[name] is self.expected()]
        files = sorted((self.run / FOLDER / newest).iterdir())
        content = bytearray(files[file % len(files)].read_bytes())
        content[bit // 8 % len(content)] ^= 1 << bit % 8
        files[file % len(files)].write_bytes(content)
        self.damaged.add(newest)
        if not self.committed() - self.damaged:  # nobody can go on from here: begin anew
            shutil.rmtree(self.run / FOLDER)

    @rule()
    def start_again(self):
        with run_lock(self.run):
            assert not list((self.run / FOLDER).glob(".*"))

    @invariant()
    def the_newest_intact_one_is_loaded(self):
        for before_done in (False, True):
            expected = self.expected(before_done=before_done)
            if expected is not None:
                found = latest_checkpoint(self.run, before_done=before_done)
                assert index_of(found) == index_of(expected) and same(found, expected)
        if not self.committed():
            assert latest_checkpoint(self.run) is None


TestRunDirectory = RunDirectory.TestCase
TestRunDirectory.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
