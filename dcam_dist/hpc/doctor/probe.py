"""What ``stack`` starts: import torch, then cuML where it is installed, and say what was loaded.

A process of its own: where libraries do not go together, importing them ends in a crash as often as in an error.
"""

import json
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dcam_dist.parent_death import die_with_parent

MARK = "doctor: "
"""Begins a line of facts; RAPIDS writes what it likes around them."""


def main() -> None:
    """Say what is known after each step, so that a crash costs the last one only."""
    die_with_parent()
    try:
        _say(torch_facts())
    except Exception as error:  # a broken torch raises what it likes
        _say({"torch_error": _in_one_line(error)})
        return
    _say(_libraries())
    if find_spec("cuml") is not None and find_spec("cupy") is not None:
        _say({"cuml": "the process ended while cuML was tried out"})
        _say({"cuml": try_cuml()})
        _say(_libraries())


def torch_facts() -> dict[str, Any]:
    """Version, builds and devices of torch."""
    import torch

    facts = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "hip": torch.version.hip or "",
        "trouble": "",
    }
    try:
        usable = torch.cuda.is_available()
        if usable:
            torch.zeros(1, device="cuda").add_(1).cpu()
    except Exception as error:  # CUDA's errors are of many kinds
        return {**facts, "usable": False, "trouble": _in_one_line(error)}
    return {**facts, "usable": usable}


def try_cuml() -> str:
    """What is wrong with cuML; empty where it works, or loads where there is no GPU."""
    import torch

    from dcam_dist.clustering.cuml_check import load_libraries

    try:
        if torch.cuda.is_available():
            load_libraries("cuda")
        else:
            import_module("dcam_dist.clustering.cuml_libraries")
    except Exception as error:  # RAPIDS raises what it likes
        return _in_one_line(error)
    return ""


def _libraries() -> dict[str, Any]:
    from dcam_dist.hpc.doctor.libraries import loaded_libraries

    return {"libraries": [asdict(one) for one in loaded_libraries(Path("/proc/self/maps").read_text(encoding="utf-8"))]}


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _say(facts: dict[str, Any]) -> None:
    sys.stdout.write(f"\n{MARK}{json.dumps(facts)}\n")
    sys.stdout.flush()
