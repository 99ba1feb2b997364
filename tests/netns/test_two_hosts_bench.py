"""The benchmark of two hosts runs on tiny data; its figures are not looked at. pytest -m netns"""

import json
import os
import shutil
import sys

import pytest
from support.processes import run

pytestmark = pytest.mark.netns


def test_it_leaves_figures_and_the_trainings_end_the_same(tmp_path):
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("needs root and Debian's iproute2")
    command = [sys.executable, "-m", "benchmarks", "run", "two_hosts", "--profile", "cpu-smoke", "--out", str(tmp_path)]
    ended = run(command, timeout=400)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads((tmp_path / "two_hosts" / "two_hosts.json").read_text())
    (target,) = told["targets"]
    assert target["met"] and target["median"] == 0
    medians = {one["name"]: one["median"] for one in told["series"]}
    sent = [value for name, value in medians.items() if "sent" in name]
    assert len(sent) == 2 and min(sent) > 0
