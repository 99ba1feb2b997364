"""A preflight ends in time whatever the others do: all waits at once, over real sockets."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from dcam_dist.hpc.preflight import Wanted, preflight

LIMIT_S = 50.0
"""Of the minute that is promised, the rest is for starting Python and torch."""


def _timed(node, port):
    began = time.monotonic()
    found = preflight(Wanted(2, 0, ("127.0.0.1", port), come_s=20), {"SLURM_NODEID": str(node)})
    return found, time.monotonic() - began


@pytest.mark.slow
def test_who_does_not_come_is_named_in_time():
    host = os.uname().nodename
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        missing, closed, mute, taken = (server.getsockname()[1] for server in listening)
        for server in listening[:2]:
            server.close()
        with ThreadPoolExecutor() as pool:
            ended = pool.map(_timed, (0, 1, 1, 0), (missing, closed, mute, taken))
            results = list(ended)
    lines = [found.faults for found, _ in results]
    assert all(len(line) == 1 and found.speaks for line, (found, _) in zip(lines, results, strict=True))
    assert lines[0][0].startswith(f"node 0 ({host}): 1 of 2 nodes (node 1) did not come; ")
    assert lines[1][0].startswith(f"node 1 ({host}): {host} cannot reach 127.0.0.1:{closed} within ")
    assert f"127.0.0.1:{mute} is open but no preflight answers there" in lines[2][0]
    assert f"127.0.0.1:{taken}: the port cannot be opened; is it in use? Choose another" in lines[3][0]
    assert max(seconds for _, seconds in results) < LIMIT_S
