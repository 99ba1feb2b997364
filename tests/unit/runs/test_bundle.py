"""A bundle is read as it was written, and the same run gives the same bytes; damaged and hostile ones are refused."""

import json
import os
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcam_dist.cohort import open_cohort
from dcam_dist.errors import DataError, EnvironmentFault, UsageError
from dcam_dist.runs import bundle as bundle_module
from dcam_dist.runs import bundle_of_run, model_sha256, read_bundle, restore_run, write_bundle
from dcam_dist.runs.bundle_files import ABOUT, CARD, MODEL, to_files
from dcam_dist.runs.places import MANIFEST
from dcam_dist.runs.sealed import write_sealed
from dcam_dist.runs.trained_on import FEWEST, OTHER, summarize

shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(scope="module")
def bundle(dcam_run, small_cohort):
    return bundle_of_run(restore_run(dcam_run), open_cohort(small_cohort))


@pytest.fixture(scope="module")
def files(bundle):
    return dict(to_files(bundle, "# A card\n"))


@pytest.fixture(scope="module")
def written(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    write_bundle(folder, bundle, "# A card\n")
    return folder


@pytest.fixture
def forged(files, tmp_path):
    """A bundle whose seal is good and whose content is not."""

    def forge(about=None, tensors=None, **whole):
        folder = tmp_path / f"forged{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        tree = json.loads(files[ABOUT])
        for path, value in (about or {}).items():
            *sections, name = path.split(".")
            place = tree
            for section in sections:
                place = place[section]
            place[name] = value
        content = {**files, ABOUT: json.dumps(tree).encode()}
        if tensors is not None:
            changed = {**safetensors.torch.load(files[MODEL]), **tensors}
            kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
            content[MODEL] = safetensors.torch.save(kept)
        write_sealed(folder, {**content, **whole}.items())
        return folder

    return forge


def refused(folder, *parts, kind=DataError):
    with pytest.raises(kind) as caught:
        read_bundle(folder)
    line = str(caught.value)
    assert line.startswith(f"{folder}: ") and "\n" not in line and len(line) < 500 + len(str(folder)), line
    for part in parts:
        assert part in line, line


def test_what_is_written_is_read(written, bundle, files):
    found = read_bundle(written)
    assert dict(to_files(found, "# A card\n")) == files
    assert found.model.clustering.whiten is bundle.model.clustering.whiten and not found.model.network.training
    np.testing.assert_array_equal(found.size_K, bundle.size_K)
    assert sorted(path.name for path in written.iterdir()) == sorted([CARD, MANIFEST, ABOUT, MODEL])


def test_the_same_run_gives_the_same_bytes(dcam_run, small_cohort, files):
    again = bundle_of_run(restore_run(dcam_run), open_cohort(small_cohort))
    assert dict(to_files(again, "# A card\n")) == files


def test_it_names_no_case_and_no_path(files, small_cohort):
    about = files[ABOUT].decode() + files[MODEL][:100_000].decode("latin-1")
    assert "case0" not in about and "patient" not in about and str(small_cohort.parent) not in about
    assert not any(part in about for part in ("zarr", "output", "cohort"))


def test_without_the_cohort_it_says_nothing_of_the_cases(dcam_run, tmp_path):
    alone = bundle_of_run(restore_run(dcam_run), None)
    write_bundle(tmp_path / "b", alone, "")
    assert read_bundle(tmp_path / "b").trained_on is None and alone.size_K.sum() == 9


def test_what_few_cases_have_is_counted_as_other(small_cohort):
    cohort = open_cohort(small_cohort)
    cases = [
        replace(case, covariates={"kernel": "L" if index < 6 else "B", "manufacturer": f"Clinic of {index}"})
        for index, case in enumerate(cohort.cases)
    ]
    named = [replace(cases[0], covariates={"kernel": "Mrs Miller"}), *cases[1:]]
    seen = summarize(replace(cohort, cases=tuple(named)), [case.case_id for case in named])
    assert seen.kernels == {"B": 7, "L": 5, OTHER: 1} and seen.manufacturers == {OTHER: 12}
    assert FEWEST == 5 and seen.ranges == {}, "13 cases are too few for ranges"


def test_ranges_are_of_nine_in_ten_cases(small_cohort):
    cohort = open_cohort(small_cohort)
    cases = tuple(
        replace(cohort.cases[0], case_id=f"c{value}", densitometry={"laa950": float(value)}) for value in range(101)
    )
    seen = summarize(replace(cohort, cases=cases), [case.case_id for case in cases])
    assert seen.ranges == {"laa950": (5.0, 95.0)} and seen.cases == 101
    thick = [replace(case, covariates={"slice_thickness_mm": str(1 + n / 100)}) for n, case in enumerate(cases)]
    seen = summarize(replace(cohort, cases=tuple(thick)), [case.case_id for case in cases])
    assert seen.ranges["slice_thickness_mm"] == (1.05, 1.95)


def test_only_a_bundle_is_replaced(written, bundle, tmp_path):
    folder = shutil.copytree(written, tmp_path / "b")
    write_bundle(folder, bundle, "# Another\n")
    assert (folder / CARD).read_text() == "# Another\n" and len(list(tmp_path.iterdir())) == 1
    (folder / "mine.txt").touch()
    with pytest.raises(UsageError, match=r"mine\.txt, which would be lost"):
        write_bundle(folder, bundle, "")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x").touch()
    with pytest.raises(UsageError, match="is no bundle"):
        write_bundle(tmp_path / "c", bundle, "")


@pytest.mark.parametrize("about", ['{"kind": "of another program", "format": 1}', "[]", "{"])
def test_the_files_of_others_are_not_replaced(bundle, tmp_path, about):
    """Even where they are named as a bundle's."""
    for name, text in ((ABOUT, about), (CARD, "# Months of work\n"), (MANIFEST, "{}")):
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="is no bundle"):
        write_bundle(tmp_path, bundle, "")
    assert (tmp_path / CARD).read_text() == "# Months of work\n"


def test_a_bundle_without_its_manifest_is_not_replaced(written, bundle, tmp_path):
    folder = shutil.copytree(written, tmp_path / "b")
    (folder / MANIFEST).unlink()
    with pytest.raises(UsageError, match="is no bundle"):
        write_bundle(folder, bundle, "")


def test_a_failed_write_leaves_the_earlier_one(written, bundle, tmp_path, monkeypatch):
    folder = shutil.copytree(written, tmp_path / "b")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module, "write_sealed", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(folder, bundle, "# Another\n")
    assert (folder / CARD).read_text() == "# A card\n" and len(list(tmp_path.iterdir())) == 1


@shared
@given(
    name=st.sampled_from([MODEL, ABOUT, CARD, MANIFEST]), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
)
def test_every_flipped_bit_is_found(written, tmp_path_factory, name, place, bit):
    folder = shutil.copytree(written, tmp_path_factory.mktemp("flipped") / "b")
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)
    refused(folder)


@shared
@given(name=st.sampled_from([MODEL, ABOUT, CARD, MANIFEST]), share=st.floats(0, 0.999))
def test_every_cut_is_found(written, tmp_path_factory, name, share):
    folder = shutil.copytree(written, tmp_path_factory.mktemp("cut") / "b")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    refused(folder, name)


@pytest.mark.parametrize("name", [MODEL, CARD, MANIFEST])
def test_missing_files_and_links_are_refused(written, tmp_path, name):
    folder = shutil.copytree(written, tmp_path / "b")
    (folder / name).unlink()
    refused(folder, f"{name} is missing")
    (folder / name).symlink_to(written / name)
    refused(folder, name, "not a plain file")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, name)


def test_files_that_are_too_large_are_not_read(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "b")
    with (folder / ABOUT).open("r+b") as stream:
        stream.truncate(1 << 40)
    refused(folder, f"{ABOUT} is larger than it can be")


def test_files_beside_the_known_ones_are_refused(forged):
    refused(forged(**{"extra.py": b"import os"}), "extra.py")


def test_files_that_the_manifest_does_not_list_are_refused(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "b")
    (folder / "extra.py").touch()
    refused(folder, "extra.py", "does not belong to a bundle")


@pytest.mark.parametrize("name", ["\0", "\ud800", "..", "a/b", "extra.py"])
def test_manifests_with_other_names_are_refused_before_a_file_is_opened(written, tmp_path, name):
    folder = shutil.copytree(written, tmp_path / "b")
    manifest = json.loads((folder / MANIFEST).read_text())
    tree = {**manifest, name: manifest[CARD]}
    (folder / MANIFEST).write_bytes(json.dumps(tree, indent=1, sort_keys=True).encode())
    refused(folder, MANIFEST)


@shared
@given(data=st.data())
def test_no_tree_of_json_is_believed(files, tmp_path_factory, data):
    """Any one value of bundle.json replaced by any other: refused in one line, or read as what it says."""
    tree = json.loads(files[ABOUT])
    place = tree
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(),
            st.text(max_size=5),
            st.just([]),
            st.just({}),
            st.just("/etc"),
        )
    )
    folder = tmp_path_factory.mktemp("json") / "b"
    folder.mkdir()
    write_sealed(folder, {**files, ABOUT: json.dumps(tree).encode()}.items())
    try:
        found = read_bundle(folder)
    except (DataError, EnvironmentFault) as error:
        assert "\n" not in str(error)
    else:
        assert json.loads(dict(to_files(found, ""))[ABOUT]) == tree


@pytest.mark.parametrize(
    ("about", "word"),
    [
        ({"settings.network.filters": 1 << 40}, "larger"),
        ({"settings.network.filters": 1000}, "larger|is of shape|shape|tensors"),
        ({"settings.grid.shape": [1 << 20, 1 << 20, 1 << 20]}, "grid"),
        ({"settings.grid.shape": [512, 512, 512]}, "grid larger"),
        ({"settings.network.filters": 512}, "1024 channels"),
        ({"settings.network.filters": 512, "settings.grid.shape": [256, 256, 256]}, "network larger"),
        ({"settings.window_hu": [-1e308, 1e308]}, "window"),
        ({"settings.window_hu": [-600.0, -599.9]}, "window"),
        ({"settings.grid.margin_mm": 1e300}, "margin"),
        ({"settings.grid": {}}, "missing"),
        ({"settings.grid.fit": "spacing", "settings.grid.spacing_mm": [1e-9, 1.0, 1.0]}, "voxels of a size"),
        ({"format": int("9" * 4000)}, "format"),
        ({"settings.network.compile": True}, "form"),
        ({"settings.network.precision": "auto"}, "form"),
        ({"settings.ingest.lungmask_weights": "/etc/passwd"}, "unknown key"),
        ({"settings.labels.names": ["a" * 100, "b"]}, "label"),
        ({"settings.clustering.clusters": 4, "class_sizes": [1, 1, 1, 1]}, "head"),
        ({"class_sizes": [1]}, "class sizes"),
        ({"run_sha256": "x"}, "run_sha256"),
        ({"kind": "pickle"}, "kind"),
        ({"epochs": "6"}, "epochs"),
        ({"trained_on.kernels": {"../..": 5}}, "kernels"),
    ],
)
def test_settings_that_do_not_belong(forged, about, word):
    folder = forged(about)
    with pytest.raises(DataError, match=word):
        read_bundle(folder)
    refused(folder)


def test_a_newer_format_asks_for_a_newer_version(forged):
    refused(forged({"format": 2, "of the future": 1}), "format 2", "install a newer", kind=EnvironmentFault)


def test_deep_and_endless_json(forged):
    refused(forged(**{ABOUT: b"[" * 100_000}), ABOUT)
    refused(forged(**{ABOUT: b'{"format":1,"kind":' + b'{"a":' * 5000 + b"1" + b"}" * 5001}), ABOUT)
    refused(forged(**{ABOUT: b"\xff\xfe"}), ABOUT)


def test_tensors_that_do_not_belong(forged, files):
    own = safetensors.torch.load(files[MODEL])
    head, mean = own["network.head.weight"], own["clustering.mean_C"]
    variance = next(name for name in own if name.endswith("running_var"))
    weights = sorted(name for name in own if name.endswith("conv.weight") or name.endswith(".weight"))
    for tensors, words in (
        ({"network.head.weight": head.repeat(2, 1, 1, 1, 1)}, ("network.head.weight",)),
        ({"network.head.weight": head.double()}, ("float64",)),
        ({"network.head.weight": torch.full_like(head, torch.nan)}, ("not finite",)),
        ({"network.head.weight": None}, ("missing or too many", "network.head.weight")),
        ({"network.extra": head}, ("missing or too many", "network.extra")),
        ({"clustering.mean_C": mean[:-1].clone()}, ("channels",)),
        ({"clustering.mean_C": None}, ()),
        ({"clustering.mean_C": torch.tensor(1.0)}, ()),
        ({"network.head.weight": head.bool()}, ("network.head.weight", "BOOL")),
        ({"clustering.scale_C": torch.zeros_like(mean)}, ("below",)),
        ({"outliers.score_M": own["outliers.score_M"].flip(0).contiguous()}, ("order",)),
        ({variance: -own[variance]}, ("below",)),
        ({"network.head.num_batches_tracked": torch.tensor(-5)}, ("num_batches_tracked",)),
        ({weights[0]: own[weights[1]], weights[1]: own[weights[0]]}, ("shape",)),
    ):
        refused(forged(tensors=tensors), MODEL, *words)


def test_huge_declared_shapes(forged, files):
    for shape, length in (([1 << 60], 8), ([1 << 31, 1 << 31], 1 << 62)):
        header = json.dumps(
            {"network.head.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, length]}}
        ).encode()
        refused(forged(**{MODEL: struct.pack("<Q", len(header)) + header + b"\0" * 8}), MODEL)
    refused(forged(**{MODEL: struct.pack("<Q", 1 << 62) + b"{}"}), MODEL)
    refused(forged(**{MODEL: b""}), MODEL)
    assert len(files[MODEL]) < 2_000_000


def test_nothing_is_built_of_a_file_whose_list_is_another(forged, files, monkeypatch):
    """Tensors that are larger than the network's cost no memory."""
    own = safetensors.torch.load(files[MODEL])
    folder = forged(tensors={"network.head.weight": own["network.head.weight"].repeat(2, 1, 1, 1, 1)})
    built = []
    monkeypatch.setattr(safetensors.torch, "load", built.append)
    refused(folder, "network.head.weight")
    assert built == []


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"a": 1}', b"[" * 50_000, b'{"a":{"dtype":"F32","shape":[-1]}}'])
def test_lists_of_tensors_that_are_none(forged, text):
    refused(forged(**{MODEL: struct.pack("<Q", len(text)) + text}), MODEL, "its list of tensors is damaged")


def test_a_model_is_known_by_what_it_holds(bundle, written):
    """Not by what it says of itself."""
    assert model_sha256(read_bundle(written)) == model_sha256(bundle)
    assert model_sha256(replace(bundle, run_sha256="0" * 64)) == model_sha256(bundle)
    clusters = bundle.model.clustering
    moved = replace(clusters, centroid_KP=clusters.centroid_KP + np.float32(1))
    settings = bundle.model.config.model_copy(update={"seed": 77})
    others = (replace(bundle.model, clustering=moved), replace(bundle.model, config=settings))
    assert len({model_sha256(replace(bundle, model=one)) for one in (bundle.model, *others)}) == 3


def test_settings_that_no_bundle_may_have_are_told_at_export(dcam_run, tmp_path):
    run = restore_run(dcam_run)
    grid = run.config.grid.model_copy(update={"margin_mm": 1e6})
    odd = replace(run, config=run.config.model_copy(update={"grid": grid}))
    with pytest.raises(UsageError, match="margin"):
        bundle_of_run(odd, None)


def test_no_bundle(tmp_path):
    with pytest.raises(UsageError, match="no run and no bundle here; make a bundle with: dcam-dist export"):
        read_bundle(tmp_path)
