"""What is a number, what a category, and what must not be looked at."""

import numpy as np
import pytest

from dcam_dist.errors import DataError, UsageError
from dcam_dist.evaluation.association.columns import OTHER, type_columns, typed
from dcam_dist.evaluation.association.identifying import is_date
from dcam_dist.evaluation.association.outcome import find_outcome


def take(name, cells, asked=None, patients=None):
    """A column of the table; without more, each case is of a patient of its own."""
    return typed(name, "table", cells, patients or [f"p{row}" for row in range(len(cells))], asked)


def test_numbers_with_gaps_and_an_override():
    found, note = take("x", ["1.5", "NA", "", "-2e1", "3", "."])
    assert (found.kind, note) == ("numeric", "")
    assert found.values_N == pytest.approx([1.5, np.nan, np.nan, -20, 3, np.nan], nan_ok=True)
    forced, note = take("x", ["1", "2", "<0.5", "3"], "numeric")
    assert note == "1 cells are no numbers"
    assert forced.values_N == pytest.approx([1, 2, np.nan, 3], nan_ok=True)
    stages, _ = take("x", ["1", "2", "3"] * 4, "categorical")
    assert (stages.kind, stages.levels) == ("categorical", ("1", "2", "3"))


def test_two_values_are_binary_however_they_are_written():
    found, _ = take("x", ["0", "1", "1.0", "0.0", "01", "0", "unknown"])
    assert (found.kind, found.levels, found.values_N[-1]) == ("binary", ("0", "1"), "")


def test_rare_levels_are_put_together():
    cells = ["none"] * 20 + ["cough"] * 3 + ["Mr Smith called", "Mrs Jones called"]
    found, note = take("said", [*cells, "Mr Jones called"])
    assert found.levels == ("cough", "none", OTHER)
    assert note == "levels of fewer than 3 patients are put together as (other)"
    found, note = take("said", cells)
    assert (found.levels, found.values_N[-1]) == (("cough", "none"), "")
    assert note == "levels of fewer than 3 patients are taken as missing, being too few together"


def test_levels_and_ids_are_counted_by_patients_and_not_by_scans():
    patients = [f"p{row // 3}" for row in range(18)]
    found, note = take("x", [f"Name{row // 3}" for row in range(18)], patients=patients)
    assert found is None
    assert "look like names" in note
    found, _ = take("x", ["a"] * 6 + ["b"] * 9 + ["Name"] * 3, patients=patients)
    assert found.levels == ("b", OTHER)  # b of three patients, a of two, the name of one
    found, note = take("x", [str(7_000_000 + 11 * (row // 3)) for row in range(18)], patients=patients)
    assert found is None
    assert "look like ids" in note


CALLED = (
    "MRN,Patient_ID,patient,PatientName,patient no,surname,Remarks,date of birth,dob,zip,postcode,caseid,Phone (home)"
)


@pytest.mark.parametrize("name", [*CALLED.split(","), "patient", "e-mail", "Comment2", "patientnr"])
def test_a_column_that_is_called_like_an_id_is_left_out_unless_it_is_asked_for(name):
    numbers, texts = [str(10_000 + 37 * row) for row in range(12)], ["a", "b", "c"] * 4
    assert take(name, numbers) == (None, "called like names, ids, contacts or remarks")
    assert take(name, texts)[0] is None
    assert take(name, numbers, "numeric")[0].kind == "numeric"
    assert take(name, texts, "categorical")[0].levels == ("a", "b", "c")
    _, left, _ = type_columns({name: numbers}, "table", [f"p{row}" for row in range(12)], {})
    assert left[0].why.endswith(f"; --numeric {name} looks at it all the same")


@pytest.mark.parametrize("name", ["patient_age", "PatientSex", "width", "Nottingham", "birds", "annotation", "idle"])
def test_other_columns_are_looked_at(name):
    assert take(name, [str(40 + row) for row in range(12)])[0].kind == "numeric"


def test_numbers_with_texts_between_them_come_with_the_option_that_takes_them():
    cells = [f"{40 + row}" for row in range(30)] + ["<5"]
    _, (left,), _ = type_columns({"dlco": cells}, "table", [str(row) for row in range(31)], {})
    assert left.why == (
        "mostly different texts, which look like names, ids or remarks (30 of 31 cells are numbers); "
        "--numeric dlco takes these"
    )


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
        (["3 Mar 1950", "Mar 1950", "17-OCT-48", "1948-11", "03/1951", "12MAY1960"] * 3, "dates"),
        (["March 3, 1950", "1950 June 1st", "3. März 1950", "11.1949"] * 3, "dates"),
        ([f"19{40 + i % 3}-11" for i in range(12)], "dates"),
        ([f"0{1 + i % 9}.1950" for i in range(12)], "dates"),
        ([f"{i},5" for i in range(12)], "decimal comma"),
        (["", "NA", "n/a"], "no values"),
    ],
)
def test_what_looks_like_a_name_an_id_or_a_date_is_left_out(cells, why):
    found, note = take("x", cells)
    assert found is None
    assert why in note


@pytest.mark.parametrize("cell", ["Decile 10", "Marker 12", "may", "B31f", "12.5", "1-2", "stage 3", "Juno 10"])
def test_what_is_no_date(cell):
    assert not is_date(cell)


def test_an_event_coded_1_and_2_comes_with_what_to_write():
    columns = {"t": ["1", "2", "3"], "death": ["1", "2", "2"]}
    with pytest.raises(DataError, match="write 0 for 1 and 1 for 2, if 2 is the event"):
        find_outcome(columns, "t", None)


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
