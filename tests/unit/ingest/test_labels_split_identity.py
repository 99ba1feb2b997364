"""Labels, splits and pseudonyms."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcam_dist.config.schema import FLEISCHNER_GRADES
from dcam_dist.errors import CaseRejected, DataError, Reason
from dcam_dist.ingest.identity import PrivateIdentity, load_identity, private_path, save_identity
from dcam_dist.ingest.labels import parse_label
from dcam_dist.ingest.split import assign_splits
from dcam_dist.types import UNASSIGNED


@pytest.mark.parametrize("separator", [" ", "_", "-", "  "])
@pytest.mark.parametrize("index", range(6))
def test_grades_by_name_or_number(index, separator):
    written = FLEISCHNER_GRADES[index].upper().replace(" ", separator)
    assert parse_label(f" {written} ", FLEISCHNER_GRADES) == index
    assert parse_label(str(index), FLEISCHNER_GRADES) == index


def test_no_label_and_numeric_names():
    assert parse_label("  ", FLEISCHNER_GRADES) == UNASSIGNED
    assert parse_label("3", ("3", "7")) == 0
    assert parse_label("1", ("3", "7")) == 1


@pytest.mark.parametrize("text", ["6", "-1", "1.0", "severe", "²", "9" * 5000])
def test_other_labels_are_refused(text):
    with pytest.raises(CaseRejected) as caught:
        parse_label(text, FLEISCHNER_GRADES)
    assert caught.value.reason is Reason.BAD_LABEL
    assert "severe" not in caught.value.detail.replace(", ".join(FLEISCHNER_GRADES), "")


COHORTS = st.lists(st.integers(0, 12).map(lambda n: f"patient-{n}"), min_size=1, max_size=40)


def _draw(patients, given_splits=None, fraction=0.3, seed=1):
    ids = [f"case-{index}" for index in range(len(patients))]
    chosen = [None] * len(patients) if given_splits is None else given_splits
    return assign_splits(patients, chosen, ids, test_fraction=fraction, seed=seed)


@given(patients=COHORTS, fraction=st.floats(0, 0.99), seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_splits_are_by_patient_and_know_no_order(patients, fraction, seed, order):
    splits = _draw(patients, fraction=fraction, seed=seed)
    of_patient = dict(zip(patients, splits, strict=True))
    assert list(splits) == [of_patient[patient] for patient in patients]
    tests, total = list(of_patient.values()).count("test"), len(of_patient)
    assert abs(tests - fraction * total) <= 1
    if fraction > 0 and total >= 2:
        assert 1 <= tests < total
    shuffled = order.sample(patients, len(patients))
    assert dict(zip(shuffled, _draw(shuffled, fraction=fraction, seed=seed), strict=True)) == of_patient


@given(patients=COHORTS, data=st.data())
def test_given_splits_are_kept_and_followed(patients, data):
    of_patient = {patient: data.draw(st.sampled_from(["train", "test", None])) for patient in sorted(set(patients))}
    said = [of_patient[patient] if data.draw(st.booleans()) else None for patient in patients]
    splits = _draw(patients, said)
    known = {patient: split for patient, split in zip(patients, said, strict=True) if split}
    for patient, split in zip(patients, splits, strict=True):
        assert known.get(patient, split) == split


def test_seed_changes_the_draw():
    patients = [f"p{index}" for index in range(40)]
    assert len({_draw(patients, seed=seed) for seed in range(5)}) == 5


def test_a_patient_in_both_splits_is_refused_by_case():
    with pytest.raises(DataError, match=r"case-0 \(train\), case-2 \(test\)") as caught:
        _draw(["secret", "other", "secret"], ["train", None, "test"])
    assert "secret" not in str(caught.value)


def test_private_file_is_for_its_owner_and_keeps_ids(tmp_path):
    path = private_path(tmp_path / "lungs.zarr")
    assert path.name == "lungs.private.json"
    assert private_path(tmp_path / "lungs").name == "lungs.private.json"
    first = load_identity(path)
    save_identity(path, PrivateIdentity(first.key, {"abc": {"source": "/some/where"}}))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = load_identity(path)
    assert again.key == first.key
    assert again.cases == {"abc": {"source": "/some/where"}}
    assert again.pseudonym("series:1.2.3") == first.pseudonym("series:1.2.3")
    assert load_identity(tmp_path / "other.json").pseudonym("series:1.2.3") != first.pseudonym("series:1.2.3")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["", "{}", '{"key": "00", "cases": {}}', '{"key": 5, "cases": []}', "\ufeff["])
def test_damaged_private_file_is_one_line(tmp_path, content):
    path = tmp_path / "x.private.json"
    path.write_text(content)
    with pytest.raises(DataError, match="not a readable key file"):
        load_identity(path)


@given(st.text(min_size=1, max_size=80), st.booleans())
def test_ids_are_safe_folder_names(given_id, hash_ids):
    secret = PrivateIdentity(b"k" * 32, {})
    try:
        case_id = secret.case_id(given_id, "x", hash_ids=hash_ids, where="t.csv, line 2")
    except DataError:
        assert not hash_ids
        return
    assert hash_ids or case_id == given_id
    assert case_id.replace(".", "").replace("_", "").replace("-", "").isalnum()
    assert case_id.isascii() and case_id[0] != "." and len(case_id) <= 64
    assert json.dumps(case_id) == f'"{case_id}"'


def test_given_ids_are_kept_unless_hashed():
    secret = PrivateIdentity(b"k" * 32, {})
    assert secret.case_id("COPD-001", "x", hash_ids=False, where="") == "COPD-001"
    hashed = {secret.case_id(name, "x", hash_ids=True, where="") for name in ("COPD-001", "../../etc")}
    assert len(hashed) == 2 and all(len(name) == 16 and int(name, 16) >= 0 for name in hashed)
    assert secret.case_id(None, "x", hash_ids=False, where="") == secret.pseudonym("x")


@pytest.mark.parametrize("given_id", ["Anna Muster", "Müller", "../../etc", "-x", "a" * 65, "a\n"])
def test_ids_that_are_no_folder_names_are_refused_without_telling_them(given_id):
    secret = PrivateIdentity(b"k" * 32, {})
    with pytest.raises(DataError, match=r"^t\.csv, line 7: case_id is not usable .* pass --hash-ids$") as caught:
        secret.case_id(given_id, "x", hash_ids=False, where="t.csv, line 7")
    assert given_id not in str(caught.value)
