import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.cohorts import SHAPE, make_volume

from dcam_dist.cohort import (
    CohortDescription,
    VolumeLevels,
    close_cohort,
    create_cohort,
    open_cohort,
    stored_record,
    write_case,
)
from dcam_dist.cohort.layout import record_from_json, record_to_json
from dcam_dist.config import GridConfig
from dcam_dist.errors import DataError, UsageError, VolumeDamaged
from dcam_dist.types import CaseRecord, Geometry, QuarantineEntry

DESCRIPTION = CohortDescription(GridConfig(shape=SHAPE), ("none", "some"))
GEOMETRY = Geometry.from_matrix(SHAPE, np.diag([2.0, 3.0, 4.0, 1.0]))


def record(case_id="a", shape=SHAPE):
    native = Geometry(shape, GEOMETRY.affine)
    return CaseRecord(case_id, "p", "train", 1, GEOMETRY, native, GEOMETRY, provenance={"source_fingerprint": "f"})


def levels(seed=0, native=None):
    hu, mask = make_volume(2, np.random.default_rng(seed))
    native_hu = hu if native is None else native
    return VolumeLevels(native_hu, native_hu < -500, hu, mask)


def test_a_written_case_reads_back_equal_at_both_levels(tmp_path):
    native = np.random.default_rng(1).integers(-1024, 3071, (140, 33, 20)).astype(np.int16)
    written = levels(native=native)
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    write_case(tmp_path / "c.zarr", record(shape=native.shape), written)
    close_cohort(tmp_path / "c.zarr", [record(shape=native.shape)], [QuarantineEntry("b", "tilted", "7°")])
    cohort = open_cohort(tmp_path / "c.zarr")
    assert cohort.cases == (record(shape=native.shape),)
    assert cohort.quarantine == (QuarantineEntry("b", "tilted", "7°"),)
    assert cohort.description == DESCRIPTION
    np.testing.assert_array_equal(cohort.hu("a", "0").compute(), native)
    np.testing.assert_array_equal(cohort.hu("a").compute(), written.grid_hu_DHW)
    np.testing.assert_array_equal(cohort.lung_mask("a", "0").compute(), native < -500)
    np.testing.assert_array_equal(cohort.lung_mask("a").compute().astype(bool), written.grid_mask_DHW)


def test_a_volume_is_one_file_with_a_checksum_on_every_chunk(tmp_path):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    native = np.full((150, 20, 20), -1000, dtype=np.int16)
    write_case(tmp_path / "c.zarr", record(shape=native.shape), levels(native=native))
    array = tmp_path / "c.zarr" / "cases" / "a" / "0"
    assert len([file for file in (array / "c").rglob("*") if file.is_file()]) == 1
    inner = json.loads((array / "zarr.json").read_text())["codecs"][0]["configuration"]["codecs"]
    assert "crc32c" in [codec["name"] for codec in inner]


def test_a_case_is_an_ome_zarr_image_with_its_lungs_as_a_label(tmp_path):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    write_case(tmp_path / "c.zarr", record(), levels())
    group = zarr.open_group(tmp_path / "c.zarr" / "cases" / "a", mode="r")
    (multiscale,) = group.attrs["ome"]["multiscales"]
    assert group.attrs["ome"]["version"] == "0.5"
    assert [dataset["path"] for dataset in multiscale["datasets"]] == ["0", "1"]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [4.0, 3.0, 2.0]
    assert group["labels"].attrs["ome"]["labels"] == ["lungs"]


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_in_a_shard_never_reads_as_data(tmp_path, seed):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    write_case(tmp_path / "c.zarr", record(), levels())
    close_cohort(tmp_path / "c.zarr", [record()], [])
    (shard,) = [f for f in (tmp_path / "c.zarr" / "cases" / "a" / "1" / "c").rglob("*") if f.is_file()]
    content, rng = bytearray(shard.read_bytes()), np.random.default_rng(seed)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    shard.write_bytes(content)
    cohort, expected = open_cohort(tmp_path / "c.zarr"), levels().grid_hu_DHW
    with pytest.raises(VolumeDamaged, match="case a"):
        read = cohort.hu("a").compute()
        np.testing.assert_array_equal(read, expected)
        raise AssertionError("the damage went unnoticed")


def test_an_existing_cohort_is_gone_on_with_only_when_it_is_the_same(tmp_path):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    with pytest.raises(UsageError, match="another grid or label set"):
        create_cohort(tmp_path / "c.zarr", replace(DESCRIPTION, label_names=("x", "y")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").write_text("precious")
    with pytest.raises(UsageError, match="not a cohort"):
        create_cohort(tmp_path / "other", DESCRIPTION)
    assert (tmp_path / "other" / "thesis.doc").read_text() == "precious"


def test_writing_a_case_again_replaces_it_and_keeps_its_fingerprint(tmp_path):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    for seed in (0, 1):
        write_case(tmp_path / "c.zarr", record(), levels(seed))
    close_cohort(tmp_path / "c.zarr", [record()], [])
    np.testing.assert_array_equal(open_cohort(tmp_path / "c.zarr").hu("a").compute(), levels(1).grid_hu_DHW)
    assert stored_record(tmp_path / "c.zarr", "a") == record()
    assert stored_record(tmp_path / "c.zarr", "b") is None


def test_the_order_of_cases_does_not_depend_on_the_order_of_writing(tmp_path):
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    for case_id in "cab":
        write_case(tmp_path / "c.zarr", record(case_id), levels())
    close_cohort(tmp_path / "c.zarr", [record("b"), record("a"), record("c")], [])
    assert [case.case_id for case in open_cohort(tmp_path / "c.zarr").cases] == ["a", "b", "c"]


def test_what_is_no_cohort_or_half_of_one_says_so(tmp_path):
    with pytest.raises(UsageError, match="no cohort here"):
        open_cohort(tmp_path)
    create_cohort(tmp_path / "c.zarr", DESCRIPTION)
    with pytest.raises(DataError, match="interrupted"):
        open_cohort(tmp_path / "c.zarr")


@settings(max_examples=50)
@given(
    matrix=hnp.arrays(np.float64, (4, 4), elements=st.floats(-1e4, 1e4)),
    text=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    numbers=st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)
def test_a_record_survives_json(matrix, text, numbers):
    geometry = Geometry.from_matrix((3, 4, 5), matrix)
    one = CaseRecord("a", "p", "test", -100, geometry, geometry, geometry, text, numbers, ("flag",), text)
    assert record_from_json(json.loads(json.dumps(record_to_json(one)))) == one


@pytest.mark.parametrize("damage", [lambda t: t.pop("grid"), lambda t: t.update(surplus=1), lambda t: t.update(scan=3)])
def test_a_malformed_record_is_a_data_error(damage):
    tree = record_to_json(record())
    damage(tree)
    with pytest.raises(DataError, match="malformed"):
        record_from_json(tree)
