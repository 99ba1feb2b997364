"""Where a training stands, in figures and words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

from dcam_dist.commands.forecast import CYCLE, Forecast
from dcam_dist.commands.pace import Pace, duration
from dcam_dist.config import Config
from dcam_dist.types import Phase, Position

LOSS_S = 5.0
"""The loss is read this often: it may be on a device, which must finish its work first."""

WORDS = {
    Phase.EXTRACT: "extracting",
    Phase.CLUSTER: "clustering",
    Phase.RESET: "resetting the head",
    Phase.TRAIN: "training",
    Phase.DONE: "done",
}

Clock = Callable[[], float]


def turn(epoch: int, epochs: int) -> str:
    """An epoch of so many, in words; from 0."""
    return "closing" if epoch >= epochs else f"epoch {epoch + 1}/{epochs}"


@dataclass
class Standing:
    """Where the run stands, and what there is to say of it.

    Attributes:
        config: Of the run.
        clock: Seconds.
        moved_s: When a phase began or a volume was done, the latest, by that clock.
    """

    config: Config
    clock: Clock
    position: Position | None = None
    total: int = 0
    done: int = 0
    loss: float | None = None
    nmi: float | None = None
    moved_s: float = 0.0
    _pace: Pace = field(default_factory=Pace)
    _read_s: float = float("-inf")
    _forecast: Forecast = field(init=False)

    def __post_init__(self) -> None:
        phases = (Phase.TRAIN,) if self.config.method == "supervised" else CYCLE
        self._forecast = Forecast(self.config.training.epochs, phases)

    def phase(self, position: Position, total: int, done: int) -> None:
        """See ``Progress``."""
        now = self.clock()
        self.position, self.total, self.done, self._pace = position, total, done, Pace()
        self.moved_s = now
        self._pace.add(now, done)
        self._forecast.begin(now, position, total, done)

    def advance(self, volumes: int, loss: SupportsFloat | None) -> None:
        """See ``Progress``."""
        now = self.clock()
        self.done += volumes
        self.moved_s = now
        self._pace.add(now, self.done)
        self._forecast.advance(self.done)
        if loss is not None and now - self._read_s >= LOSS_S:
            self.loss, self._read_s = float(loss), now

    def epoch(self, values: Mapping[str, Any]) -> None:
        """See ``Progress``."""
        self.loss, self.nmi = values.get("loss"), values.get("nmi_previous")

    def place(self) -> str:
        """Epoch and phase, in words."""
        if self.position is None:
            return "starting"
        return f"{turn(self.position.epoch, self.config.training.epochs)}, {WORDS[self.position.phase]}"

    def volumes_per_second(self) -> float | None:
        """Over the last minutes; ``None`` where nothing is counted, or nothing was done yet."""
        return self._pace.rate(self.clock()) / 60.0 or None if self.total else None

    def left_s(self) -> float | None:
        """Seconds to the end of the run, once each kind of phase that is to come has been seen."""
        return self._forecast.left_s(self.clock())

    def figures(self) -> list[str]:
        """Rate, loss, NMI, memory, time left: those that there are."""
        left = self.left_s()
        early = self.config.method == "supervised" and self.config.supervised.validation_fraction > 0
        known = {
            "{:.2f} volumes/s": self.volumes_per_second(),
            "loss {:.4f}": self.loss,
            "NMI {:.3f}": self.nmi,
            "{:.1f} GiB": _memory_bytes() / 2**30,
            "at most {} left" if early else "{} left": None if left is None else duration(left),
        }
        return [words.format(value) for words, value in known.items() if value is not None]


def _memory_bytes() -> int:
    import torch

    from dcam_dist.profiling import peak_memory_bytes

    # rank 0 has its node's first device
    return peak_memory_bytes("cuda:0" if torch.cuda.is_initialized() else "cpu")  # type: ignore[no-untyped-call]
