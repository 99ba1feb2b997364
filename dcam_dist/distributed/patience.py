"""An end for waits that have none: torch's TCP store waits for ever where its host is stopped or cut off."""

import os
import threading
import time
from types import TracebackType

from dcam_dist.errors import EnvironmentFault, tell


class Patience:
    """Ends this process with one line when nothing was heard for too long within a ``with`` block.

    Args:
        seconds: How long is too long.
        line: What to say then.
    """

    def __init__(self, seconds: float, line: str) -> None:
        self._seconds, self._line = seconds, line
        self._over = threading.Event()
        self._heard_s = 0.0

    def heard(self) -> None:
        """Count from now."""
        self._heard_s = time.monotonic()

    def __enter__(self) -> "Patience":
        self.heard()
        self._over = threading.Event()
        threading.Thread(target=self._wait, args=(self._over,), name="patience", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def _wait(self, over: threading.Event) -> None:
        while not over.wait(max(self._heard_s + self._seconds - time.monotonic(), 0.05)):
            if time.monotonic() - self._heard_s >= self._seconds:
                tell(self._line)
                os._exit(EnvironmentFault.exit_code)
