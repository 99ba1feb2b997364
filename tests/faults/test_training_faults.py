"""Every row of ``training_faults.py``: real processes, real signals, and a look at what is left on the disk."""

import json
import re
from dataclasses import asdict

import pytest
from faults.training_faults import ROWS, SMALL
from faults.training_guards import GUARDS, PROBES
from support.cohorts import make_cohort
from support.playing import Stage, play

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
PLAYED = {row.key: row for row in (*ROWS, *PROBES) if row.starts}
TAKEN_OUT = [guard for guard in GUARDS if guard.row]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """9 training cases: no multiple of 2 ranks or of a batch of 4."""
    folder = tmp_path_factory.mktemp("stage")
    return Stage(make_cohort(folder / "c.zarr", 13, shape=SMALL["grid.shape"]), folder)


@pytest.mark.parametrize("key", PLAYED)
def test_fault(key, stage, tmp_path, record_property):
    played = play(PLAYED[key], stage, tmp_path)
    record_property("starts", json.dumps([asdict(start) for start in played]))


@pytest.mark.parametrize("guard", TAKEN_OUT, ids=[guard.name for guard in TAKEN_OUT])
def test_without_its_guard_the_same_test_fails(guard, stage, tmp_path, record_property):
    with pytest.raises(AssertionError) as failed:
        play(PLAYED[guard.row], stage, tmp_path, without=guard.name)
    found = re.search(guard.seen, str(failed.value), re.DOTALL)
    assert found, f"not {guard.seen}, but: {failed.value}"
    record_property("seen", " … ".join(lines_of(found)))


def lines_of(found):
    """The first and the last line of what was found, whole."""
    text = found.string
    starts = [text.rfind("\n", 0, at) + 1 for at in (found.start(), found.end() - 1)]
    return dict.fromkeys(text[start:].partition("\n")[0].rstrip(":") for start in starts)
