"""Thousands of broken inputs of each kind: no traceback, hang, crash, needless memory, name or false voxel.

Each input is made from its seed; a failure names the command that repeats it. ``python -m benchmarks.fuzz`` runs more.
"""

import pytest
from fuzz.parent import fuzz
from fuzz.regression_inputs import regressions
from fuzz.targets import FUZZED

COUNT = 2000


@pytest.mark.slow
@pytest.mark.parametrize("target", FUZZED)
def test_broken_inputs_end_in_one_line(target, tmp_path):
    result = fuzz(target, first=0, count=COUNT, keep=tmp_path)
    assert not result.findings, "\n".join(finding.line for finding in result.findings)
    assert result.inputs == COUNT
    assert result.outcomes["accepted"] > COUNT / 100, "inputs that are too broken test only the first check"
    assert len(result.outcomes) >= 2


def test_what_was_found_once_stays_mended():
    result = fuzz("regressions", first=0, count=len(regressions()))
    assert not result.findings, "\n".join(finding.line for finding in result.findings)
    assert result.inputs == len(regressions())
