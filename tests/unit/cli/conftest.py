import os
import signal

import pytest

from dcam_dist.__main__ import PRIVATE_UMASK


@pytest.fixture(autouse=True)
def process_as_before():
    """A verb run in this process changes its umask and its signal handlers; the next test must not see that."""
    umask, handlers = os.umask(PRIVATE_UMASK), {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGUSR1)}
    os.umask(umask)
    yield
    os.umask(umask)
    for number, handler in handlers.items():
        signal.signal(number, handler)
