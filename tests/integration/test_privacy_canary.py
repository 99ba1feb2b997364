"""A made-up name in every header field, folder and file name appears in no output."""

import os
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.canary import DATE, NAME, NUMBER, found_in, plant, planted_in
from support.ct_files import chest_hu, lung_box, write_image
from support.processes import python

from dcam_dist.cohort import open_cohort
from dcam_dist.ingest.identity import load_identity, private_path
from dcam_dist.phantom import write_phantom_cohort

CASES = 5
IDENTIFIED = "identified-dicom"
SETTINGS = [
    "grid.shape=[32,48,48]",
    "network.filters=4",
    "clustering.clusters=2",
    "training.epochs=1",
    "evaluation.permutations=20",
    "evaluation.bootstrap=20",
]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("canary")


@pytest.fixture(scope="module")
def sources(workplace):
    """DICOM folders, one of them broken, and images whose headers hold free text; all named for patients."""
    tree = workplace / "private" / f"{NAME} hospital"
    write_phantom_cohort(workplace / "phantom", cases=CASES, seed=40, matrix=96)
    tree.mkdir(parents=True)
    for number, folder in enumerate(sorted((workplace / "phantom").glob("*/ct"))):
        home = tree / f"{NAME}^{number}"
        folder.rename(home)
        plant(home, number)
    broken = sorted((tree / f"{NAME}^4").iterdir())
    broken[3].write_bytes(broken[3].read_bytes()[:9000])
    broken[7].unlink()
    (tree / f"{NAME}.dcm").write_bytes(b"\0" * 128 + b"DICM" + NAME.encode() * 50)
    _images(tree)
    return tree


def _images(tree: Path) -> None:
    for suffix in ("nii.gz", "nrrd", "mha"):
        write_image(tree / f"{NAME}.{suffix}", chest_hu(seed=len(suffix)))
    write_image(tree / f"{NAME}-mask.nrrd", lung_box().astype(np.uint8))
    header, _, voxels = (tree / f"{NAME}.nrrd").read_bytes().partition(b"\n\n")
    (tree / f"{NAME}.nrrd").write_bytes(header + f"\n# {NAME}\nPatientName:={NAME} {DATE}\n\n".encode() + voxels)
    rows = [
        f"{NAME} {number},{NAME}.{suffix},{NAME}-mask.nrrd,{NAME}{NUMBER}"
        for number, suffix in enumerate(("nii.gz", "nrrd", "mha"))
    ]
    rows.append(f"{NAME} away,{NAME}/gone.nrrd,,{NAME}")
    (tree / f"{NAME}.csv").write_text("\n".join(["case_id,image,lung_mask,patient_id", *rows]) + "\n")


def _clinical(file: Path) -> Path:
    rows = [f"{NAME} {number},{NAME}^{number},{DATE},{60 + number},{NAME} was seen {number}" for number in range(3)]
    file.write_text("\n".join(["case_id,name,seen_on,age,remark", *rows]) + "\n")
    return file


@pytest.fixture(scope="module")
def said(workplace, sources):
    """Everything that the verbs print, with --debug too; what they write is beside ``private``."""
    cohort, run, bundle, answers = (workplace / "out" / name for name in ("cohort.zarr", "run", "bundle", "answers"))
    table = sources / f"{NAME}.csv"
    cohort.parent.mkdir()
    dicom = sorted(folder for folder in sources.iterdir() if folder.is_dir())
    ingest = ["ingest", *dicom, sources / f"{NAME}.dcm", table, "--out", cohort, "--hash-ids"]
    given = f"{NAME} 0"
    clinical = _clinical(sources / f"{NAME}-clinical.csv")
    calls = [
        [*ingest, *SETTINGS, "--debug"],
        [*ingest, *SETTINGS, "--strict"],
        ["validate", cohort],
        ["train", f"data.cohort={cohort}", f"output={run}", *SETTINGS],
        ["evaluate", run],
        ["maps", run],
        ["maps", run, "--case", given, "--case", f"{NAME}1"],
        ["maps", run, "--case", f"{NAME} of nobody"],
        ["maps", run, "--case", f"{NAME}1", "--source-dicom", sources / f"{NAME}^1", "--ome-zarr"],
        ["maps", run, "--case", f"{NAME}1", "--source-dicom", sources / f"{NAME}^2"],
        ["maps", run, "--case", f"{NAME}1", "--source-dicom", sources / f"{NAME} of nobody"],
        ["validate", cohort],
        ["associate", run, "--table", clinical, "--adjust", "age", "--debug"],
        ["faithfulness", run, "--cases", "1"],
        ["report", run],
        ["export", run, "--out", bundle],
        ["infer", *dicom[-2:], table, "--hash-ids", "--out", answers, "--model", bundle, "--view", "--debug"],
    ]
    scratch = workplace / "out" / "tmp"
    scratch.mkdir()
    return [
        python(["-m", "dcam_dist", *map(str, call)], TMPDIR=str(scratch), HOME=str(scratch), timeout=400)
        for call in calls
    ]


@pytest.mark.slow
def test_the_verbs_did_their_work(said, workplace):
    assert [call.returncode for call in said] == [0, 3, 0, 0, 0, 0, 0, 2, 0, 3, 2, 0, 0, 0, 0, 0, 0], [
        call.stderr for call in said
    ]
    cohort = open_cohort(workplace / "out" / "cohort.zarr")
    assert len(cohort.cases) == CASES - 1 + 3
    assert {entry.reason for entry in cohort.quarantine} >= {"missing_file", "unreadable"}


@pytest.mark.slow
def test_the_name_is_in_nothing_that_was_printed(said):
    assert [call.args for call in said if planted_in(call.stdout + call.stderr)] == []


@pytest.mark.slow
def test_the_name_is_in_nothing_that_was_written(said, workplace):
    private = [private_path(workplace / "out" / name) for name in ("cohort.zarr", "answers")]
    written = [Path(root, name) for root, folders, names in os.walk(workplace / "out") for name in (*folders, *names)]
    assert len(written) > 100
    assert found_in(path for path in written if path not in private and IDENTIFIED not in path.parts) == []


@pytest.mark.slow
def test_the_one_folder_that_says_so_identifies_the_patient(said, workplace):
    """DICOM objects take over the patient's identifiers; the console says that, and no other maps do."""
    (folder,) = (workplace / "out" / "run" / "maps").rglob(IDENTIFIED)
    objects = sorted(folder.iterdir())
    assert [path.name for path in objects] == ["dcam-cluster-1.dcm", "dcam-cluster-2.dcm", "lungs.dcm", "winner.dcm"]
    assert all(NAME in str(pydicom.dcmread(path).PatientName) for path in objects)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    telling = [call.stdout for call in said if IDENTIFIED in call.stdout]
    assert len(telling) == 1 and "these objects identify the patient" in telling[0]


@pytest.mark.slow
def test_the_private_file_alone_leads_back(said, workplace):
    private = private_path(workplace / "out" / "cohort.zarr")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert found_in(iter([private])) == [f"the content of {private}"]
    given = {origin["case_id"] for origin in load_identity(private).cases.values()}
    assert {f"{NAME} {number}" for number in range(3)} < given


@pytest.mark.slow
def test_what_was_written_is_its_owners_alone(said, workplace):
    paths = [path for path in (workplace / "out").rglob("*") if path.relative_to(workplace / "out").parts[0] != "tmp"]
    assert [path for path in paths if path.stat().st_mode & 0o077] == []


@pytest.mark.slow
def test_the_search_finds_what_is_planted(workplace, sources):
    """The check can fail: the inputs themselves are full of it."""
    planted = [path for path in sources.rglob("*") if path.is_file()]
    assert len(found_in(iter(planted))) >= 2 * len(planted) - 3
