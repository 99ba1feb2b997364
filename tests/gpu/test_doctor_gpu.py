"""``dcam-dist doctor`` on a GPU machine. Selected with ``-m gpu``; fails, not skips, without a device."""

import json
import sys

import pytest
import torch
from support.processes import run

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def lines():
    ended = run([sys.executable, "-m", "dcam_dist", "doctor", "--json"], timeout=300)
    assert ended.returncode in (0, 4), ended.stderr
    return json.loads(ended.stdout)


def named(lines, name):
    return [line for line in lines if line["name"] == name]


def test_driver_and_torch_go_together(lines):
    (line,) = named(lines, "GPU driver")
    assert line["state"] in ("ok", "warn"), line
    assert f"for CUDA {torch.version.cuda}" in line["found"]


def test_the_cards_are_those_that_torch_sees(lines):
    assert torch.cuda.get_device_name(0) in named(lines, "GPUs")[0]["found"]


def test_the_loaded_libraries_say_the_versions_that_torch_says(lines):
    found = named(lines, "CUDA libraries")[0]["found"]
    nccl = ".".join(map(str, torch.cuda.nccl.version()))
    number = torch.backends.cudnn.version()
    assert f"NCCL {nccl}" in found
    assert f"cuDNN {number // 10_000}.{number % 10_000 // 100}.{number % 100}" in found
    assert "CUDA runtime" in found and "cuBLAS" in found


def test_no_check_broke(lines):
    assert [line for line in lines if "the check itself failed" in line["found"]] == []
