"""``associate`` on a run: the join by any id, planted differences, what is written and what never is."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from support.canary import NAME, found_in, planted_in
from support.cohorts import make_cohort, settings
from support.verbs import call_verb

from dcam_dist.config import load_config
from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.errors import DataError, UsageError
from dcam_dist.evaluation.association.associate import associate
from dcam_dist.evaluation.association.gather import Asked, gather
from dcam_dist.evaluation.association.groups import q_values
from dcam_dist.ingest.identity import PrivateIdentity, private_path, save_identity
from dcam_dist.training import train

CASES = 36
FILES = {"summary.csv", "tests.csv", "pairwise.csv", "association.md", "association.json"}
HOSTILE = ("<script>alert(1)</script>", "=HYPERLINK(1)", "a|b*c", "zwölf, dreizehn")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A run whose clusters.csv gives its cases to three clusters in turn; the user knows them by other ids."""
    folder = tmp_path_factory.mktemp("study")
    cohort = make_cohort(folder / "cohort.zarr", CASES)
    origins = {f"case{i:03d}": {"case_id": f"Müller {i}", "patient": f"patient:P{i}"} for i in range(CASES)}
    save_identity(private_path(cohort), PrivateIdentity(b"k" * 32, origins))
    run = train(load_config(None, settings(cohort, output=folder / "dcam", training__epochs=1))).run
    write(
        run / "clusters.csv",
        [["case_id", "split", "cluster"], *([f"case{i:03d}", "x", 1 + i % 3] for i in range(CASES))],
    )
    return run


@pytest.fixture
def run(study, tmp_path):
    return shutil.copytree(study, tmp_path / "dcam")


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def read(run, name):
    with (run / "association" / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def table(tmp_path, id_name="case_id", named="case{:03d}", cases=CASES, **columns):
    """A table with a column of planted differences; further columns are functions of the case's number."""
    rng = np.random.default_rng(5)
    columns = {"sgrq": lambda i: f"{10 * (i % 3) + rng.normal(0, 3):.2f}", **columns}
    rows = [[named.format(i), *(of(i) for of in columns.values())] for i in range(cases)]
    return write(tmp_path / "clinical.csv", [[id_name, *columns], *rows])


def test_a_planted_difference_is_found_and_null_columns_are_not(run, tmp_path):
    rng = np.random.default_rng(8)
    file = table(tmp_path, sex=lambda i: "MF"[i // 3 % 2], bmi=lambda i: f"{rng.normal(26, 4):.2f}")
    done = associate(run, table=file)
    assert {path.name for path in done.files} == FILES
    tests = {row["variable"]: row for row in read(run, "tests.csv")}
    assert float(tests["sgrq"]["q"]) < 1e-4
    assert float(tests["sgrq"]["effect_size"]) > 0.7
    assert min(float(tests[name]["q"]) for name in ("sex", "bmi")) > 0.2
    assert (tests["sex"]["kind"], tests["sex"]["test"], tests["laa950"]["source"]) == (
        "binary",
        "chi-square",
        "densitometry",
    )
    pairs = [row for row in read(run, "pairwise.csv") if row["variable"] == "sgrq"]
    assert [(row["cluster_a"], row["cluster_b"]) for row in pairs] == [("1", "2"), ("1", "3"), ("2", "3")]
    assert all(float(row["effect_size"]) < -0.9 for row in pairs)
    first = next(row for row in read(run, "summary.csv") if row["variable"] == "sgrq")
    assert (first["cluster"], first["n"]) == ("1", "12")
    assert float(first["median"]) == pytest.approx(0, abs=3)


@pytest.mark.parametrize(
    ("id_name", "named", "asked"),
    [("case_id", "Müller {}", None), ("Patient_ID", "P{}", None), ("Fallnummer", "P{}", "fallnummer")],
)
def test_rows_are_joined_by_the_ids_that_the_user_knows(run, tmp_path, id_name, named, asked):
    done = associate(run, table=table(tmp_path, id_name, named), id_column=asked)
    assert (done.join.matched, done.join.without_row) == (CASES, 0)
    assert float(next(row["q"] for row in read(run, "tests.csv") if row["variable"] == "sgrq")) < 1e-4


def test_every_row_and_case_is_accounted_for_in_one_line(run, tmp_path):
    file = table(tmp_path, cases=30)
    with file.open("a") as stream:
        stream.write("nobody,1\ncase003,2\n")
    done = associate(run, table=file)
    assert done.join.line() == (
        "32 rows, 29 matched, 1 fit no case, 2 name a case that another row names too; 7 cases without a row"
    )
    assert done.lines()[0] == f"table: {done.join.line()}"
    missing = sum(int(row["missing"]) for row in read(run, "summary.csv") if row["variable"] == "sgrq")
    assert missing == 7


def test_names_and_free_text_are_left_out_with_a_word_and_written_nowhere(run, tmp_path):
    file = table(
        tmp_path,
        named="Müller {}",
        name=lambda i: f"{NAME}, {i}",
        who=lambda i: f"{NAME}, {i}",
        remark=lambda i: f"{NAME} phoned" if i == 7 else "nothing",
        said=lambda i: f"{NAME} phoned {i}" if i < 3 else "nothing",
        born=lambda i: f"1933-05-{1 + i % 28:02d}",
    )
    file = file.rename(tmp_path / f"{NAME}.csv")
    done = associate(run, table=file, asked=Asked(adjust=("sgrq",)))
    assert {one.name: one.why.split(",")[0] for one in done.gathered.left_out} == {
        "name": "called like names",
        "remark": "called like names",
        "who": "mostly different texts",
        "born": "dates; give ages or days instead",
    }
    assert found_in((run / "association").iterdir()) == []
    assert not planted_in("\n".join(done.lines()))
    assert "Müller" not in "".join(path.read_text() for path in (run / "association").iterdir())
    said = [row for row in read(run, "summary.csv") if row["variable"] == "said"]
    assert {row["level"] for row in said} == {"nothing", "(other)"}


def test_hostile_names_and_levels_are_text(run, tmp_path):
    columns = {name: (lambda i, name=name: (name, "plain", "=1+1")[i // 3 % 3]) for name in HOSTILE}
    associate(run, table=table(tmp_path, **columns))
    page = (run / "association" / "association.md").read_text()
    assert "<script" not in page
    assert r"&lt;script&gt;alert\(1\)&lt;/script&gt;" in page
    assert r"a\|b\*c" in page
    cells = [cell for row in read(run, "summary.csv") for cell in (row["variable"], row["level"])]
    assert "'=HYPERLINK(1)" in cells
    assert "'=1+1" in cells
    assert not any(cell.startswith("=") for cell in cells)


def test_adjustment_and_survival_are_written_and_go_when_they_are_no_more_asked_for(run, tmp_path):
    rng = np.random.default_rng(1)
    file = table(
        tmp_path,
        age=lambda i: f"{rng.normal(60, 8):.0f}",
        smoking=lambda i: ("never", "former", "current")[i // 3 % 3],
        survival_days=lambda i: f"{rng.exponential(2000 / (1 + 4 * (i % 3))):.0f}",
        death=lambda i: "yes" if i % 8 else "no",
    )
    done = associate(run, table=file, asked=Asked(adjust=("age,smoking",)))
    assert {path.name for path in done.files} == FILES | {"adjusted.csv", "survival.csv"}
    adjusted = [row for row in read(run, "adjusted.csv") if row["variable"] == "sgrq"]
    assert [row["cluster"] for row in adjusted][-1] == "all"
    assert float(adjusted[-1]["q"]) < 1e-3  # of 9,999 permutations, for clusters of 12
    tree = json.loads((run / "association" / "association.json").read_text())
    reference = tree["reference_order"][0]
    assert {row["reference"] for row in adjusted} == {str(reference)}
    assert abs(float(adjusted[0]["estimate"])) == pytest.approx(
        10 * abs(int(adjusted[0]["cluster"]) - reference), abs=4
    )
    survival = {row["analysis"]: row for row in read(run, "survival.csv")}
    assert float(survival["log-rank"]["q"]) < 0.05
    assert survival["cox, adjusted, joint"]["p"]
    assert not {row["variable"] for row in read(run, "tests.csv")} & {"survival_days", "death"}
    assert tree["adjusted_for"] == ["age", "smoking"]

    associate(run, table=table(tmp_path))
    assert {path.name for path in (run / "association").iterdir()} == FILES


def test_figures_of_one_or_two_cases_are_not_written(run, tmp_path):
    write(run / "clusters.csv", [["case_id", "cluster"], *([f"case{i:03d}", 1 + (i > 1)] for i in range(CASES))])
    done = associate(run, table=table(tmp_path, sex=lambda i: "MF"[i % 2]))
    summary = read(run, "summary.csv")
    written = {(row["variable"], row["cluster"], row["n"], row["median"] != "", row["count"] != "") for row in summary}
    expected = {("sgrq", "1", "2", False, False), ("sgrq", "2", "34", True, False), ("sgrq", "3", "0", False, False)}
    expected |= {("sex", "1", "2", False, False), ("sex", "2", "34", False, False), ("sex", "3", "0", False, False)}
    assert {row for row in written if row[0] in ("sgrq", "sex")} == expected
    assert read(run, "pairwise.csv") == []
    page = (run / "association" / "association.md").read_text()
    assert next(line for line in page.splitlines() if line.startswith("| sex = M |")).startswith(
        "| sex = M | – | – | – |"
    )
    assert done.warnings[0] == "fewer than 5 cases, so in no model: cluster 1 (2), cluster 3 (0)"


def test_warnings_name_the_cluster_and_come_once_for_all_variables(run, tmp_path):
    rng = np.random.default_rng(3)
    write(run / "clusters.csv", [["case_id", "cluster"], *([f"case{i:03d}", 1 + (i > 3)] for i in range(CASES))])
    file = table(
        tmp_path,
        age=lambda i: f"{rng.normal(60, 8):.1f}",
        smoking=lambda i: "NA" if i > 3 else "1",
        pack_years=lambda i: f"{rng.normal(30, 8):.1f}",
        follow_up_days=lambda i: 10 + i,
        death=lambda i: i % 2,
    )
    done = associate(run, table=file, asked=Asked(adjust=("age",)))
    assert "survival, kaplan-meier, cluster 1: fewer than 5 cases" in done.warnings
    assert "survival, log-rank: fewer than two clusters with 5 cases; cluster 1 left out: fewer than 5 cases" in (
        done.warnings
    )
    adjusted = [one for one in done.warnings if "adjusted" in one and not one.startswith("survival")]
    (line,) = [one for one in adjusted if one.endswith("adjusted: fewer than two clusters with 5 complete cases")]
    assert int(line.split(" variables")[0]) == len(done.found.modelled) > 20
    survival = {row["analysis"] + row["cluster"]: row for row in read(run, "survival.csv")}
    assert (survival["kaplan-meier1"]["n"], survival["kaplan-meier1"]["events"]) == ("", "")


def test_rates_are_of_one_source_each(run, tmp_path):
    rng = np.random.default_rng(8)
    further = {f"null{k}": (lambda i: f"{rng.normal():.3f}") for k in range(5)}
    done = associate(run, table=table(tmp_path, **further), asked=Asked(adjust=("null0",)))
    for source in ("table", "cohort", "densitometry"):
        of = [one for one in done.found.compared if one.variable.source == source]
        assert [one.q_value for one in of] == pytest.approx(
            q_values(np.array([one.test.p_value for one in of])).tolist(), nan_ok=True
        )
        pairs = [pair.p_value for one in of for pair in one.pairs]
        assert [q for one in of for q in one.pair_q] == pytest.approx(q_values(np.array(pairs)).tolist())
        models = [one for one in done.found.modelled if one.variable.source == source and one.model.effects]
        joint = np.array([one.model.effects[-1].p_value for one in models])
        assert [one.effect_q[-1] for one in models] == pytest.approx(q_values(joint).tolist())
    assert "over all variables of one section" in (run / "association" / "association.md").read_text()


def test_a_cohort_of_an_older_version_is_compared_in_what_it_has(run):
    done = associate(run)
    assert not any("older version" in warning for warning in done.warnings)
    old = [replace(one, densitometry={"laa950": one.densitometry["laa950"]}) for one in done.cases.records]
    found = gather(old, FLEISCHNER_GRADES, {}, Asked())
    assert [one.name for one in found.variables if one.source == "densitometry"] == ["laa950"]
    (note,) = [note for note in found.notes if "older version" in note]
    assert "laa950_peel" in note
    mixed = gather([*old[:20], *done.cases.records[20:]], FLEISCHNER_GRADES, {}, Asked())
    peel = next(one for one in mixed.variables if one.name == "laa950_peel")
    assert np.isnan(peel.values_N).sum() == 20


def test_the_run_s_own_clusters_serve_before_it_was_evaluated(run):
    (run / "clusters.csv").unlink()
    done = associate(run)
    assert {record.split for record in done.cases.records} == {"train"}
    assert "training split only" in done.lines()[0]


@pytest.mark.parametrize(
    ("content", "asked", "error", "says"),
    [
        ("case_id,x\ncase000\n", Asked(), DataError, "line 2: 1 cells under 2 columns"),
        ("case_id,x,X\ncase000,1,2\n", Asked(), DataError, "every column needs a name of its own"),
        ("id,x\ncase000,1\n", Asked(), UsageError, "no column named case_id or patient_id; .*--id COLUMN"),
        ("case_id;x\ncase000;1\n", Asked(), UsageError, "separate the columns by commas"),
        ("case_id,x\nnobody,1\n", Asked(), DataError, "no row can be joined by column 'case_id'"),
        ("case_id,age\ncase000,1\n", Asked(adjust=("agee",)), UsageError, "--adjust agee: no such column; .*'age'"),
        ("case_id,age\ncase000,1\n", Asked(adjust=("age",)), UsageError, "--adjust age: has one value"),
        ("case_id,age\ncase000,1\n", Asked(numeric=("x",)), UsageError, "--numeric x: no such column"),
        ("case_id,age\ncase000,1\n", Asked(time="age"), UsageError, "needs both"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(run, tmp_path, content, asked, error, says):
    file = tmp_path / "clinical.csv"
    file.write_text(content)
    with pytest.raises(error, match=says) as raised:
        associate(run, table=file, asked=asked)
    assert "nobody" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (run / "association").exists()


def test_clusters_of_another_cohort_are_refused(run):
    write(run / "clusters.csv", [["case_id", "cluster"], ["someone", 1]])
    with pytest.raises(DataError, match="of another cohort or run; run evaluate again"):
        associate(run)
    write(run / "clusters.csv", [["case_id"], ["case000"]])
    with pytest.raises(DataError, match="not a table of evaluate"):
        associate(run)


@pytest.fixture
def call(run, tmp_path, monkeypatch, capsys):
    """The command line on a run and a table with an outcome: exit code, stdout, stderr."""
    rng = np.random.default_rng(0)
    further = {"age": lambda i: f"{rng.normal(60, 8):.1f}", "death": lambda i: i % 2, "survival_days": lambda i: 10 + i}
    file = table(tmp_path, **further)

    return partial(call_verb, monkeypatch, capsys, "associate", run, "--table", file)


def test_the_verb_says_what_was_joined_found_left_out_and_written(call, run):
    code, out, err = call("--adjust", "age", "--leave-out", "sgrq", "--categorical", "kernel")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "table: 36 rows, 36 matched; 0 cases without a row"
    assert lines[1] == "36 cases, by clusters.csv of evaluate, both splits"
    assert "variables differ between clusters at q < 0.05" in lines[2]
    assert "left out: sgrq: as asked" in lines
    assert lines[-1].startswith(f"written: {run / 'association' / 'summary.csv'}, ")
    code, out, err = call("--adjust", "height")
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_without_the_extra_what_needs_it_says_what_to_install_and_the_rest_works(call, tmp_path, monkeypatch):
    for name in ("statsmodels", "lifelines"):
        monkeypatch.setitem(sys.modules, name, None)  # as an import finds what is not installed
    for options, says in (
        (("--adjust", "age", "--leave-out", "death"), "package statsmodels"),
        ((), "package lifelines"),
    ):
        code, out, err = call(*options)
        assert (code, out, err.count("\n")) == (4, "", 1)
        assert says in err
        assert "pip install 'dcam-dist[association]'" in err
    code, out, err = call("--leave-out", "death", "--out", str(tmp_path / "out"))
    assert (code, err) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
