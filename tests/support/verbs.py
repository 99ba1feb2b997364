"""A verb in this process: what it ends with and what it says."""

import os
import signal

from dcam_dist.__main__ import main


def call_verb(monkeypatch, capsys, *arguments):
    """Exit code, stdout and stderr of a command line; the process keeps its umask and its ways to be stopped."""
    monkeypatch.setattr("sys.argv", ["dcam-dist", *map(str, arguments)])
    umask = os.umask(0)
    os.umask(umask)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        code = main()
    except SystemExit as stop:
        code = stop.code
    finally:
        os.umask(umask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code, *capsys.readouterr()
