"""Between two pieces of work: the ranks share what one of them knows, save when it is due, leave when one is asked."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from dcam_dist.distributed import ProcessContext, come_to, share_notes
from dcam_dist.errors import EnvironmentFault, StopRequested
from dcam_dist.runs import Checkpoint
from dcam_dist.training.leaving import TIME_LIMIT, Leaving
from dcam_dist.training.state import CycleState
from dcam_dist.types import FeatureTable, Phase, Position

_SAVE, _LEAVE, _CASE = "save", "leave", "case "
SPARE_S = 10.0
_RATE = "a lower training.optimizer.lr"
_GO_ON = f"go on with {_RATE} and --change training.optimizer.lr"


class Boundary:
    """All ranks cross it together, between two phases and before each step."""

    def __init__(
        self,
        context: ProcessContext,
        *,
        save: Callable[[CycleState, Position | None, Position | None], None] = lambda *_: None,
        go_back: Callable[[Position | None, bool], Position | None] = lambda *_: None,
        every_s: float = float("inf"),
        leaving: Leaving | None = None,
        first_save_s: float = 0.0,
    ) -> None:
        self._context, self._save, self._go_back, self._every_s = context, save, go_back, every_s
        self._leaving = leaving or Leaving()
        self._saved_at: Position | None = None
        self._proven: Position | None = None
        self._sound: Position | None = None
        self._began_at: Position | None = None
        self._resumed = self._in_doubt = False
        self._saved_s = self._crossed_s = time.monotonic()
        self._longest_gap_s = self._spent_s = 0.0
        self._expected_save_s, self._longest_save_s = first_save_s, 0.0

    def cross(
        self, at: Position, state: Callable[[], CycleState], damaged: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Meet the other ranks.

        Args:
            at: Where this is, the same on all ranks; until the next boundary, messages about a lost rank name it.
            state: What a checkpoint at this place keeps; only asked for where one is made.
            damaged: What is wrong with cases that this rank alone has met.

        Returns:
            What is wrong with the cases that any rank has met; the same on every rank.

        Raises:
            RankLost: On all ranks, when they have come to different boundaries.
            StopRequested: On all ranks, after a save, when one was asked to leave.
            EnvironmentFault: On all ranks, when time is over before anything was done.
        """
        come_to(str(at))
        mine = {_CASE + name: why for name, why in (damaged or {}).items()}
        notes = share_notes(self._wishes() | mine, self._context)
        if _SAVE in notes or _LEAVE in notes:
            here = state()
            self._keep(here)
            if _LEAVE in notes:
                self._leave(notes[_LEAVE], here)
        return {name.removeprefix(_CASE): why for name, why in notes.items() if name.startswith(_CASE)}

    def close_epoch(self, state: CycleState) -> None:
        """Save at the end of an epoch, whatever the time; with weights in doubt, as soon as they no longer are."""
        self._keep(state)
        if self._saved_at != state.position:
            self._saved_s = float("-inf")

    def doubt(self) -> None:
        """A step was left out: the weights may be bad, and are not saved until they have given something finite."""
        self._in_doubt = True

    def look_at(self, features: Callable[[], FeatureTable]) -> None:
        """Features under the weights, of all ranks: finite ones end a doubt. All ranks call together."""
        if self._in_doubt and np.isfinite(features().features_NC).all():
            self._in_doubt = False

    def prove(self) -> None:
        """A step was taken, so the weights that were last saved gave a finite loss and finite gradients."""
        self._proven, self._in_doubt = self._saved_at, False

    def vouch(self, epoch: int) -> None:
        """The features that open an epoch have formed clusters, and so would those of the weights saved before them."""
        self._in_doubt = False
        if self._saved_at is not None and self._saved_at >= Position(epoch, Phase.EXTRACT):
            self._sound = self._saved_at

    def disown(self, *, collapsed: bool = False) -> str:
        """The weights are not good: the checkpoints after the last good one, also those of earlier starts, go.

        Args:
            collapsed: Whether the features no longer form clusters. A step shows whether weights lead to finite values,
                but not that: then the last good one is from before the epoch.

        Returns:
            What is left and what to do, on rank 0.
        """
        if not self._context.is_main:
            return "rank 0 says how to go on"
        good = self._sound if collapsed else self._proven
        left = self._go_back(good, self._resumed)
        if left is None:
            return f"no good weights were saved yet: {_GO_ON}"
        if good is None or left > good:
            return f"the only checkpoint, at {left}, leads here again: begin anew with --fresh and {_RATE}"
        return f"the checkpoint at {left} holds good weights: {_GO_ON}"

    def begin(self, position: Position, checkpoint: Checkpoint | None) -> None:
        """The run begins here, or goes on from a checkpoint here."""
        self._began_at, self._resumed = position, checkpoint is not None
        if checkpoint is not None:
            self._saved_at, self._proven, self._sound = position, checkpoint.proven, checkpoint.sound

    def saving_s(self) -> float:
        """Seconds spent in saving since this was last asked."""
        spent_s, self._spent_s = self._spent_s, 0.0
        return spent_s

    def _leave(self, reason: str, here: CycleState) -> None:
        if reason == TIME_LIMIT and here.position == self._began_at:
            raise EnvironmentFault(
                f"no work fits in before the time limit, nothing was done since the start at {here.position}; give the "
                "job more time, or raise training.max_minutes"
            )
        saved = f"saved at {here.position}"
        if self._in_doubt:
            if self._proven is not None:  # a doubt alone is no reason to go back to the beginning
                self.disown()
            saved = "nothing saved since the last good checkpoint, for the loss was not finite"
        raise StopRequested(f"asked to leave by {reason}: {saved}; run the same command again to go on")

    def _wishes(self) -> dict[str, str]:
        now = time.monotonic()
        self._longest_gap_s = max(self._longest_gap_s, now - self._crossed_s)
        self._crossed_s = now
        wishes = {}
        if self._context.is_main and not self._in_doubt and now - self._saved_s >= self._every_s:
            wishes[_SAVE] = ""
        if reason := self._leaving.reason(2 * (self._longest_gap_s + self._expected_save_s) + SPARE_S):
            wishes[_LEAVE] = reason
        return wishes

    def _keep(self, state: CycleState) -> None:
        ended = state.position.phase is Phase.DONE  # the result is kept in any case, beside the last good one
        if state.position == self._saved_at or (self._in_doubt and not ended):
            return
        started = time.monotonic()
        self._save(state, self._proven, self._sound)
        self._saved_at, self._saved_s = state.position, time.monotonic()
        self._expected_save_s = self._longest_save_s = max(self._longest_save_s, self._saved_s - started)
        self._spent_s += self._saved_s - started
        self._crossed_s = self._saved_s
