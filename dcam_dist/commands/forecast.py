"""How long a training will take, from the phases that this start has seen."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

from dcam_dist.types import Phase, Position

REMEMBERED = 5
"""Phases of a kind whose median is the forecast: a first epoch warms caches, a disk may be slow for a while."""
ENOUGH_S = 5.0
"""So long, or for one whole time, must a phase have run to be a forecast of its kind."""

CYCLE = (Phase.EXTRACT, Phase.CLUSTER, Phase.RESET, Phase.TRAIN)


@dataclass
class Forecast:
    """Seconds left of a run.

    Attributes:
        epochs: Of the run.
        phases: Of an epoch. The cycle's run ends with one more extraction and clustering.
        seen: Seconds of the latest whole phases of each kind, with what came after them.
    """

    epochs: int
    phases: tuple[Phase, ...] = CYCLE
    seen: dict[Phase, deque[float]] = field(default_factory=dict)
    _position: Position | None = None
    _since: float = 0.0
    _total: int = 0
    _done: int = 0
    _first: int = 0

    def begin(self, now: float, position: Position, total: int, done: int) -> None:
        """A phase begins, with so many of its volumes done by an earlier start; the one before it has ended."""
        if self._position is not None and not self._first:
            self.seen.setdefault(self._position.phase, deque(maxlen=REMEMBERED)).append(now - self._since)
        self._position, self._since = position, now
        self._total, self._done, self._first = total, done, done

    def advance(self, done: int) -> None:
        """So many volumes of the phase are done."""
        self._done = done

    def left_s(self, now: float) -> float | None:
        """Seconds to the end of the run; ``None`` while a phase that is to come has not been seen."""
        if self._position is None or self._position.phase is Phase.DONE:
            return None
        one = {phase: self._one(phase, now) for phase in self.phases}
        here, epoch = self._position.phase, self._position.epoch
        closing = [phase for phase in self.phases if phase < Phase.RESET]
        this_turn = closing if epoch >= self.epochs else list(self.phases)
        ahead = [phase for phase in this_turn if phase > here]
        if epoch < self.epochs:
            ahead += [*self.phases] * (self.epochs - 1 - epoch) + closing
        seconds = [self._rest(one[here], now), *(one[phase] for phase in ahead)] if here in one else [None]
        known = [value for value in seconds if value is not None]
        return sum(known) if len(known) == len(seconds) else None

    def _one(self, phase: Phase, now: float) -> float | None:
        """Seconds of one whole phase of a kind."""
        if phase in self.seen:
            return median(self.seen[phase])
        here = self._position is not None and self._position.phase is phase
        moved = self._done - self._first
        if here and moved > 0 and now - self._since >= ENOUGH_S:
            return (now - self._since) * self._total / moved
        # the head is drawn anew in no time, and the cycle may not even tell it
        return 0.0 if phase is Phase.RESET else None

    def _rest(self, whole: float | None, now: float) -> float | None:
        if whole is None:
            return None
        if self._total:
            return whole * max(0.0, 1.0 - self._done / self._total)
        return max(0.0, whole - (now - self._since))
