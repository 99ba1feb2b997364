"""``benchmarks/gpu.sh``: without a card; what it leaves out is named; it ends as its worst step."""

import subprocess
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).parents[3]
# says that there is such a card and that some modules are missing; steps are only recorded, and one of them fails
INTERPRETER = """#!/usr/bin/env bash
case $1 in
-c) echo "{card}" ;;
-) shift; lacks=(); for module in "$@"; do case " {missing} " in *" $module "*) lacks+=("$module") ;; esac; done
   echo "${{lacks[*]}}" ;;
*) echo "$*" >>"{log}"; case "$*" in *{failing}*) exit 7 ;; esac ;;
esac
"""


def run(out, interpreter=".venv/bin/python"):
    command = ["bash", "benchmarks/gpu.sh", str(out)]
    environment = {"PATH": "/usr/bin:/bin", "DCAM_PYTHON": str(interpreter)}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def pretended(folder, card, missing="", failing="nothing"):
    path, log = folder / "python", folder / "log"
    path.write_text(INTERPRETER.format(card=card, missing=missing, failing=failing, log=log))
    path.chmod(0o755)
    ended = run(folder / "out", path)
    steps = [line.split("\t") for line in (folder / "out" / "steps.tsv").read_text().splitlines()[1:]]
    return ended, log.read_text(), {name: code for name, _, code in steps}


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a card here")
    ended = run(tmp_path)
    assert ended.returncode == 4 and "no usable CUDA device" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named_and_the_rest_runs(tmp_path):
    ended, log, steps = pretended(tmp_path, "NVIDIA H100 80GB HBM3", missing="zarr cuml")
    assert ended.returncode == 0
    assert steps["tests"] == "left out: not installed: zarr" and steps["cuml_signatures"].endswith("cuml")
    assert {steps[name] for name in ("memory", "throughput", "peers_step", "gpu_clustering")} == {"0"}
    assert "tests is left out: not installed: zarr" in ended.stderr
    assert "run --profile h100" in log and "-m pytest" not in log


def test_it_ends_as_its_worst_step_and_goes_on_after_it(tmp_path):
    ended, log, steps = pretended(tmp_path, "NVIDIA A100-SXM4-40GB", failing="throughput")
    assert ended.returncode == 7 and steps["throughput"] == "7"
    assert "run --profile a100" in log and steps["clustering_contract"] == "0"


def test_a_card_without_a_profile_is_named(tmp_path):
    ended, _, steps = pretended(tmp_path, "NVIDIA L40S")
    assert ended.returncode == 0
    assert steps["throughput, peers_step, memory"] == "left out: there is no profile for NVIDIA L40S"


def test_its_steps_leave_time_for_their_starts_within_nine_minutes():
    text = (REPOSITORY / "benchmarks" / "gpu.sh").read_text()
    limits = [int(line.split()[2]) for line in text.splitlines() if line.strip().startswith("step ")]
    assert len(limits) == 7 and sum(limits) <= 480
