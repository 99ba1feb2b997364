"""What the tables of faults refuse, and what their results leave out."""

import pytest
from support.fault_matrix import without_paths
from support.fault_rows import Guard


@pytest.mark.parametrize(
    ("seen", "row", "test"),
    [("", "killed", ""), (".*", "killed", ""), ("harm", "", ""), ("harm", "killed", "tests/x.py::test_y")],
)
def test_a_guard_that_any_failure_would_prove_is_refused(seen, row, test):
    with pytest.raises(ValueError, match="'lock' says nothing of what is seen"):
        Guard("lock", "one training at a time", seen, row=row, test=test)


def test_results_hold_no_place_of_this_machine():
    said = "/work/of-x/run0/a.zarr: sizes 9/0/0 (see [/usr/lib/b.cc:129]), 0.4 volumes/s; next: run /work/x/run"
    kept = "…/a.zarr: sizes 9/0/0 (see […/b.cc:129]), 0.4 volumes/s; next: run …/run"
    tree = {"seconds": 1.5, "starts": [{"exit": 0, "line": said}], "seen": said}
    assert without_paths(tree) == {"seconds": 1.5, "starts": [{"exit": 0, "line": kept}], "seen": kept}
    node = "tests/faults/test_training_faults.py::test_fault[killed-in-save]"
    assert without_paths({node: {}}) == {node: {}}
