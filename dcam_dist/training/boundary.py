"""Between two pieces of work: the ranks share what one of them knows, save when it is due, leave when one is asked."""

import time
from collections.abc import Callable, Mapping

from dcam_dist.distributed import ProcessContext, share_notes
from dcam_dist.errors import StopRequested
from dcam_dist.training.leaving import Leaving
from dcam_dist.training.state import CycleState
from dcam_dist.types import Position

_SAVE, _LEAVE, _CASE = "save", "leave", "case "
SPARE_S = 10.0


class Boundary:
    """All ranks cross it together, between two phases and before each step."""

    def __init__(
        self,
        context: ProcessContext,
        *,
        save: Callable[[CycleState], None] = lambda _: None,
        every_s: float = float("inf"),
        leaving: Leaving | None = None,
    ) -> None:
        self._context, self._save, self._every_s = context, save, every_s
        self._leaving = leaving or Leaving()
        self._saved_at: Position | None = None
        self._saved_s = self._crossed_s = time.monotonic()
        self._longest_save_s = self._longest_gap_s = self._spent_s = 0.0

    def cross(self, state: Callable[[], CycleState], damaged: Mapping[str, str] | None = None) -> dict[str, str]:
        """Meet the other ranks.

        Args:
            state: What a checkpoint at this place keeps; only asked for where one is made.
            damaged: What is wrong with cases that this rank alone has met.

        Returns:
            What is wrong with the cases that any rank has met; the same on every rank.

        Raises:
            StopRequested: On all ranks, after a save, when one was asked to leave.
        """
        mine = {_CASE + name: why for name, why in (damaged or {}).items()}
        notes = share_notes(self._wishes() | mine, self._context)
        if _SAVE in notes or _LEAVE in notes:
            self._keep(state())
        if _LEAVE in notes:
            raise StopRequested(
                f"asked to leave by {notes[_LEAVE]}: saved at {state().position}; run the same command again to go on"
            )
        return {name.removeprefix(_CASE): why for name, why in notes.items() if name.startswith(_CASE)}

    def close_epoch(self, state: CycleState) -> None:
        """Save at the end of an epoch, whatever the time."""
        self._keep(state)

    def resumed_at(self, position: Position) -> None:
        """There is a checkpoint at this place already."""
        self._saved_at = position

    def saving_s(self) -> float:
        """Seconds spent in saving since this was last asked."""
        spent_s, self._spent_s = self._spent_s, 0.0
        return spent_s

    def _wishes(self) -> dict[str, str]:
        now = time.monotonic()
        self._longest_gap_s = max(self._longest_gap_s, now - self._crossed_s)
        self._crossed_s = now
        wishes = {}
        if self._context.is_main and now - self._saved_s >= self._every_s:
            wishes[_SAVE] = ""
        if reason := self._leaving.reason(2 * (self._longest_gap_s + self._longest_save_s) + SPARE_S):
            wishes[_LEAVE] = reason
        return wishes

    def _keep(self, state: CycleState) -> None:
        if state.position == self._saved_at:
            return
        started = time.monotonic()
        self._save(state)
        self._saved_at, self._saved_s = state.position, time.monotonic()
        self._longest_save_s = max(self._longest_save_s, self._saved_s - started)
        self._spent_s += self._saved_s - started
        self._crossed_s = self._saved_s
