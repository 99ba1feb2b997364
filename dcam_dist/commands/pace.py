"""How fast something goes, over the last minutes, and how long it will take."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 300.0
"""The rate is that of the last minutes: scans stored by an earlier call pass at another pace."""


@dataclass(frozen=True)
class Pace:
    """Scans a minute over the last minutes.

    Attributes:
        seen: Times in seconds, with the scans done by then.
    """

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, now: float, done: int) -> None:
        """So many scans were done by now."""
        self.seen.append((now, done))
        while len(self.seen) > 2 and now - self.seen[1][0] > WINDOW_S:
            self.seen.popleft()

    def rate(self, now: float) -> float:
        """Scans a minute; 0 before the first is done."""
        if not self.seen or now <= self.seen[0][0]:
            return 0.0
        return 60.0 * (self.seen[-1][1] - self.seen[0][1]) / (now - self.seen[0][0])

    def ahead(self, now: float, total: int) -> str:
        """Rate and time left, in words; empty while there is no rate."""
        rate = self.rate(now)
        if not rate:
            return ""
        return f"{rate:.1f} scans/min, {duration((total - self.seen[-1][1]) / rate * 60.0)} left"


def duration(seconds: float) -> str:
    """Hours, minutes or seconds, as coarse as is useful."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
