"""What a preflight says of the accounts of nodes, and what one node finds out alone."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.cohorts import make_cohort

import dcam_dist
from dcam_dist.cohort.manifest import read_seal
from dcam_dist.errors import UsageError
from dcam_dist.hpc.preflight import Wanted, parse_place, preflight
from dcam_dist.hpc.preflight.node_state import NodeState, folder_of, look_around, source_digest, versions
from dcam_dist.hpc.preflight.verdict import Clock, judge

WANTED = Wanted(2, 4, ("gpu07", 29400), Path("c.zarr"))
FIRST = NodeState("node 0 (gpu07)", 0, {"torch": "2.13.0", "files": "aa"}, "ab" * 32, 2000)
OTHER = replace(FIRST, name="node 1 (gpu08)", number=1)


def _judge(*states, clocks=None, wanted=WANTED):
    return judge(wanted, states, clocks or [Clock()] * len(states), ())


def test_when_all_is_well_one_line_says_so():
    found = _judge(FIRST, OTHER, clocks=[Clock(), Clock(-0.0021, 0.0009)])
    assert (found.faults, found.warnings) == ((), ())
    assert found.summary == (
        "preflight: 2 nodes × 4 GPUs, cohort c.zarr (2000 training cases), clocks within 3 ms, versions equal"
    )
    alone = judge(Wanted(1, 1, output=Path("run")), [FIRST], [Clock()], ())
    assert alone.summary == "preflight: 1 node × 1 GPU, output run writable"


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"versions": {"torch": "2.10.0", "files": "aa"}}, "torch 2.10.0, but node 0 (gpu07) has 2.13.0"),
        ({"versions": {"torch": "2.13.0"}}, "files unknown, but node 0 (gpu07) has aa"),
        ({"seal": "cd" * 32}, "c.zarr is another cohort there than on node 0 (gpu07) (seal cdcdcdcdcdcd, not abab"),
        ({"number": 0}, "two tasks of it came"),
    ],
)
def test_each_difference_is_a_line_that_names_the_node(other, line):
    (fault,) = _judge(FIRST, replace(OTHER, **other)).faults
    assert fault.startswith("node 1 (gpu08): ") and line in fault and "; " in fault


def test_what_a_node_says_of_itself_is_told():
    fault = "node 1 (gpu08): sees 3 of 4 GPUs; look"
    assert _judge(FIRST, replace(OTHER, faults=(fault,))).faults == (fault,)


@pytest.mark.parametrize(
    ("offset_s", "error_s", "warnings", "faults"),
    [(1.9, 0.1, 0, 0), (2.1, 0.2, 0, 0), (-2.1, 0.05, 1, 0), (59.0, 0.1, 1, 0), (61.0, 0.1, 0, 1), (-61.0, 0.1, 0, 1)],
)
def test_clocks_that_are_apart(offset_s, error_s, warnings, faults):
    found = _judge(FIRST, OTHER, clocks=[Clock(), Clock(offset_s, error_s)])
    assert (len(found.warnings), len(found.faults)) == (warnings, faults)
    assert all(f"{abs(offset_s):.1f} s off" in line for line in (*found.warnings, *found.faults))


@pytest.mark.parametrize(
    ("text", "place"),
    [("gpu07:29400", ("gpu07", 29400)), ("[fd77::1]:1", ("fd77::1", 1)), ("10.0.0.1:65535", ("10.0.0.1", 65535))],
)
def test_a_place_to_meet(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["gpu07", "gpu07:", ":29400", "gpu07:0", "gpu07:65536", "fd77::1:29400", "a b:1"])
def test_what_is_no_place_is_refused(text):
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_place(text)


def test_several_nodes_need_a_place():
    with pytest.raises(UsageError, match="say --meet"):
        preflight(Wanted(2, 0))


def test_one_node_looks_at_itself_and_leaves_nothing(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 3)
    before = sorted(tmp_path.iterdir())
    wanted = Wanted(1, 0, cohort=cohort, output=tmp_path / "deep" / "run")
    state = look_around(wanted, {"SLURM_NODEID": "3", "SLURM_STEP_NUM_NODES": "1"})
    assert (state.number, state.seal, state.cases, state.faults) == (3, read_seal(cohort), 2, ())
    assert state.name == f"node 3 ({os.uname().nodename})" and state.versions == versions()
    assert sorted(tmp_path.iterdir()) == before
    assert preflight(wanted, {}).summary.endswith(f"({state.cases} training cases), output {wanted.output} writable")


def test_all_faults_of_a_node_are_told_at_once(tmp_path):
    (tmp_path / "file").touch()
    wanted = Wanted(2, 1000, cohort=tmp_path / "no.zarr", output=tmp_path / "file" / "run")
    faults = look_around(wanted, {"SLURM_STEP_NUM_NODES": "3"}).faults
    said = ("of 1000 GPUs", "srun started this on 3 nodes, --nodes says 2", "no cohort here", "cannot be written")
    assert len(faults) == 4 and all(words in fault for words, fault in zip(said, faults, strict=True))


def test_a_damaged_cohort_is_told(tmp_path):
    cohort = make_cohort(tmp_path / "c.zarr", 3)
    (cohort / "cases.json").write_text("[]")
    (fault,) = look_around(Wanted(1, 0, cohort=cohort), {}).faults
    assert "cases.json" in fault and fault.count(str(cohort / "cases.json")) == 1


def test_the_digest_is_of_files_and_names_but_not_of_compiled_ones(tmp_path):
    package = Path(dcam_dist.__file__).parent
    digests = [source_digest(package), source_digest(package)]
    (tmp_path / "a.py").write_text("1")
    digests.append(source_digest(tmp_path))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("1")
    digests.append(source_digest(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    digests.append(source_digest(tmp_path))
    assert digests[0] == digests[1] and digests[2] == digests[3] != digests[4]


def test_the_folder_of_a_run_that_is_not_there_is_the_nearest_above(tmp_path):
    assert folder_of(tmp_path / "a" / "b") == tmp_path
    (tmp_path / "a").mkdir()
    assert folder_of(tmp_path / "a" / "b") == tmp_path / "a"
