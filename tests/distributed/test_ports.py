"""What a start on one node opens to the network: nothing beyond loopback, and the launcher nothing at all."""

import ipaddress
import os
import signal

import psutil
import pytest
from support.launched import TORCHRUN, all_gone, launched, wait_for

pytestmark = pytest.mark.distributed


def doors(pid):
    """The addresses at which a process listens."""
    return [one.laddr.ip for one in psutil.Process(pid).net_connections() if one.status == psutil.CONN_LISTEN]


@pytest.mark.parametrize("options", [(), ("--standalone",), ("--rdzv_backend=c10d", "--rdzv_endpoint=localhost:29473")])
def test_one_node_listens_on_loopback_at_most(tmp_path, options):
    with launched(tmp_path, "loop", 20, launcher=("-m", "dcam_dist.launch", *options)) as one:
        ranks = one.ranks()
        assert doors(one.process.pid) == []
        opened = [address for pid in ranks for address in doors(pid)]
        assert opened  # gloo's own
        assert all(ipaddress.ip_address(address).is_loopback for address in opened), opened
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 75


def test_torchrun_itself_listens_everywhere(tmp_path):
    with launched(tmp_path, "loop", 20, launcher=TORCHRUN) as one:
        one.ranks()
        assert any(ipaddress.ip_address(address).is_unspecified for address in doors(one.process.pid))


def test_a_killed_start_leaves_what_the_next_one_sweeps(tmp_path):
    with launched(tmp_path, "loop", 20) as one:
        ranks = one.ranks()
        one.process.kill()
        wait_for(lambda: all_gone(ranks), 5)
    left = set((tmp_path / f"dcam-{os.getuid()}").iterdir())
    assert left  # of the ranks; the launcher has none
    for file in tmp_path.glob("*.pid"):
        file.unlink()
    with launched(tmp_path, "loop", 20) as one:
        one.ranks()
        assert not left & set((tmp_path / f"dcam-{os.getuid()}").iterdir())
