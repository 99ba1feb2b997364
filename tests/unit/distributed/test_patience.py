"""Waits that have no end of their own, in a process of their own: it is ended."""

from support.processes import python

from dcam_dist.distributed.context import NCCL_LATER_S, let_our_line_come_first

WAITS = """
import sys, time
from dcam_dist.distributed.patience import Patience
with Patience(0.5, "the store does not answer") as patience:
    for _ in range(int(sys.argv[1])):
        time.sleep(0.2)
        patience.heard()
    time.sleep(float(sys.argv[2]))
time.sleep(1)
print("through")
"""
SILENT_SERVER = """
import socket
from datetime import timedelta
from torch.distributed import TCPStore
from dcam_dist.distributed.patience import Patience
server = socket.create_server(("127.0.0.1", 0))
with Patience(1, "the store does not answer"):
    TCPStore(*server.getsockname(), is_master=False, timeout=timedelta(seconds=1))
"""


def test_a_wait_that_is_too_long_ends_the_process_with_its_line():
    ended = python(["-c", WAITS, "0", "20"], timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (4, "", "dcam-dist: the store does not answer\n")


def test_signs_of_life_and_an_end_in_time_keep_it_alive():
    ended = python(["-c", WAITS, "6", "0.1"], timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "through\n"), ended.stderr


def test_it_ends_a_wait_inside_torchs_store_which_has_no_end():
    ended = python(["-c", SILENT_SERVER], timeout=60, TORCH_CPP_LOG_LEVEL="FATAL")
    assert (ended.returncode, ended.stderr) == (4, "dcam-dist: the store does not answer\n")


def test_torchs_watch_over_nccl_waits_longer_than_ours_unless_the_user_has_said_otherwise():
    variables: dict[str, str] = {}
    let_our_line_come_first(600.5, variables)
    assert int(variables["TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC"]) > 600.5 + NCCL_LATER_S
    variables["TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC"] = "30"
    let_our_line_come_first(600, variables)
    assert variables["TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC"] == "30"
