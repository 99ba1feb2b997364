"""The watch itself: what it is there to see, it sees."""

import os
import sys
import time
from pathlib import Path

import fuzz.parent
import pytest
from fuzz import targets
from fuzz.scratch import CANARY, Input, Target

FAULTS = {
    "traceback": lambda made: 1 / 0,
    "exit": lambda made: sys.exit(3),
    "crash": lambda made: os.abort(),
    "hang": lambda made: time.sleep(60),
    "busy": lambda made: _spin(6.0),
    "memory": lambda made: bytearray(1 << 30),
    "name": lambda made: made.says(f"{CANARY} is ill"),
    "name printed": lambda made: os.write(2, CANARY.encode()),
    "lines": lambda made: made.says("one\ntwo"),
    "nothing": lambda made: None,
}
SEEN = {
    "traceback": "escaped: ",
    "exit": "SystemExit",
    "crash": "the process ended with -6",
    "hang": "no answer within",
    "busy": ("processor time", "no answer within"),
    "memory": "asked for 1",
    "name": "names the patient",
    "name printed": "output: ",
    "lines": "no short line",
}


def _spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def _make(made: Input, _: Path) -> None:
    made.mutation = list(FAULTS)[made.seed]


targets.TARGETS["faults"] = Target(
    lambda folder: folder.mkdir(exist_ok=True), _make, lambda made: FAULTS[made.mutation](made)
)


@pytest.mark.slow
def test_every_fault_is_seen_once_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr(fuzz.parent, "CHILD", "fuzz.test_fuzz_watch")
    monkeypatch.setattr(fuzz.parent, "STUCK_S", 10.0)
    result = fuzz.parent.fuzz("faults", first=0, count=len(FAULTS))
    assert result.inputs == len(FAULTS)
    by_fault = {list(FAULTS)[finding.seed]: finding for finding in result.findings}
    assert by_fault.keys() == SEEN.keys()
    for fault, finding in by_fault.items():
        said, expected = " ".join(finding.problems), SEEN[fault]
        assert any(part in said for part in ((expected,) if isinstance(expected, str) else expected)), fault
        assert f"--seed {finding.seed}" in finding.line


if __name__ == "__main__":
    from fuzz.child import main

    main()
