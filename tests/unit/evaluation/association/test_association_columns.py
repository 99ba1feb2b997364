"""What is a number, what a category, and what must not be looked at."""

import numpy as np
import pytest

from dcam_dist.errors import DataError, UsageError
from dcam_dist.evaluation.association.columns import OTHER, typed
from dcam_dist.evaluation.association.outcome import find_outcome


def test_numbers_with_gaps_and_an_override():
    found, note = typed("x", "table", ["1.5", "NA", "", "-2e1", "3", "."])
    assert (found.kind, note) == ("numeric", "")
    assert found.values_N == pytest.approx([1.5, np.nan, np.nan, -20, 3, np.nan], nan_ok=True)
    forced, note = typed("x", "table", ["1", "2", "<0.5", "3"], "numeric")
    assert note == "1 cells are no numbers"
    assert forced.values_N == pytest.approx([1, 2, np.nan, 3], nan_ok=True)
    stages, _ = typed("x", "table", ["1", "2", "3"] * 4, "categorical")
    assert (stages.kind, stages.levels) == ("categorical", ("1", "2", "3"))


def test_two_values_are_binary_however_they_are_written():
    found, _ = typed("x", "table", ["0", "1", "1.0", "0.0", "01", "0", "unknown"])
    assert (found.kind, found.levels, found.values_N[-1]) == ("binary", ("0", "1"), "")


def test_rare_levels_are_put_together():
    cells = ["none"] * 20 + ["cough"] * 3 + ["Mr Smith called", "Mrs Jones called"]
    found, note = typed("remark", "table", cells)
    assert found.levels == ("cough", "none", OTHER)
    assert note.endswith(": 2")


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ([f"Name {i}" for i in range(12)], "look like names"),
        ([f"Name {i % 8}" for i in range(12)], "look like names"),
        ([f"{i % 25}th street" for i in range(100)], "look like names"),
        ([f"{7_000_000 + 13 * i}" for i in range(12)], "look like ids"),
        ([f"19{40 + i}-03-12" for i in range(12)], "dates"),
        ([f"{1 + i}.3.1951 12:30" for i in range(12)], "dates"),
        ([f"19510{1 + i % 9}1{i % 10}" for i in range(12)], "dates"),
        ([f"{i},5" for i in range(12)], "decimal comma"),
        (["", "NA", "n/a"], "no values"),
    ],
)
def test_what_looks_like_a_name_an_id_or_a_date_is_left_out(cells, why):
    found, note = typed("x", "table", cells)
    assert found is None
    assert why in note


def test_time_and_event_are_found_by_name_and_read_in_words():
    columns = {"Survival_Days": ["10", "20.5", "NA"], "Death": ["yes", "Alive", ""], "age": ["1", "2", "3"]}
    found = find_outcome(columns, None, None)
    assert (found.time_name, found.event_name) == ("Survival_Days", "Death")
    assert found.time_N == pytest.approx([10, 20.5, np.nan], nan_ok=True)
    assert found.event_N == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert find_outcome({"age": ["1"]}, None, None) is None


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ({"t": ["2020-01-01"], "death": ["1"]}, DataError, "holds dates"),
        ({"t": ["-1"], "death": ["1"]}, DataError, "1 cells are no time"),
        ({"t": ["1"], "death": ["perhaps"]}, DataError, "1 cells are no event"),
        ({"t": ["1"]}, UsageError, "needs both"),
        ({"death": ["1"]}, UsageError, "no column named 't'"),
    ],
)
def test_other_outcomes_are_refused_in_one_line(columns, error, says):
    with pytest.raises(error, match=says) as raised:
        find_outcome(columns, "t", None)
    assert "perhaps" not in str(raised.value)
