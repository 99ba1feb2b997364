"""The optional network: offline, from a local file, with our labels on canonical axes.

The published weights are not at hand. Weights made by hand stand in for them: they let the real network tell classes by
density, so that a chest with lungs of two densities shows which side comes out as what.
"""

import socket
import sys

import numpy as np
import pytest
from support.ct_files import geometry

from dcam_dist.config.schema import IngestConfig
from dcam_dist.errors import CaseRejected, EnvironmentFault, Reason, UsageError
from dcam_dist.ingest.lung_mask import lung_mask_of
from dcam_dist.ingest.lungs import LEFT, RIGHT, network_lungs, weights_digest
from dcam_dist.ingest.scan import make_scan

SHAPE = (5, 128, 128)
SPACING_MM = (20.0, 3.0, 3.0)
RIGHT_HU, LEFT_HU = -900, -600


def chest():
    where = geometry(SHAPE, SPACING_MM)
    hu = np.full(SHAPE, 40, np.int16)
    sides = np.zeros(SHAPE, np.uint8)
    sides[1:-1, 34:90, 20:58] = RIGHT
    sides[1:-1, 34:90, 70:108] = LEFT
    hu[sides == RIGHT], hu[sides == LEFT] = RIGHT_HU, LEFT_HU
    hu += np.random.default_rng(0).integers(-15, 16, SHAPE).astype(np.int16)
    hu[:, :8] = -1000
    return hu, where, sides


def scaled(hu):
    """HU as the package hands them to the network."""
    return (np.clip(hu, -1024, 600) + 1024) / 1624


@pytest.fixture
def package(monkeypatch):
    """The package, without any network to reach."""
    pytest.importorskip("lungmask")

    def no_network(*args, **kwargs):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(socket.socket, "connect", no_network)


def save_weights(path, classes=3, swap=False):
    """Weights whose classes are bands of density: the network copies its input through the uppermost bridge."""
    torch = pytest.importorskip("torch")
    from lungmask.resunet import UNet

    torch.manual_seed(0)
    network = UNet(n_classes=classes, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    for name in state:
        if name.endswith("running_var") or ("block.2.weight" in name or "block.5.weight" in name):
            state[name] += 1.0
    for block, source in (("down_path.0.block", 0), ("up_path.3.conv_block.block", 64)):
        state[f"{block}.0.weight"][0, source, 1, 1] = 1.0
        state[f"{block}.3.weight"][0, 0, 1, 1] = 1.0
    # Tangents of a parabola: each class wins where the density is nearest to its own.
    densities = [scaled(hu) for hu in (40, RIGHT_HU, LEFT_HU)]
    if swap:
        densities = [densities[0], densities[2], densities[1]]
    for number, density in enumerate(densities[:classes]):
        state["last.weight"][number, 0] = 2.0 * density
        state["last.bias"][number] = -(density**2)
    network.load_state_dict(state)
    torch.save(network.state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("swap", [False, True], ids=["right is 1", "right is 2"])
def test_labels_are_ours_whatever_the_network_calls_the_sides(tmp_path, package, swap):
    hu, where, sides = chest()
    found = network_lungs(hu, where, save_weights(tmp_path / "r231.pth", swap=swap))
    assert found.mask_DHW.dtype == np.uint8
    for side in (RIGHT, LEFT):
        assert 2 * np.count_nonzero((found.mask_DHW == side) & (sides == side)) > 0.95 * (
            np.count_nonzero(found.mask_DHW == side) + np.count_nonzero(sides == side)
        )


@pytest.mark.slow
def test_the_setting_takes_the_network(tmp_path, package):
    hu, where, sides = chest()
    config = IngestConfig(lungmask_weights=save_weights(tmp_path / "r231.pth"))
    found, _ = lung_mask_of(make_scan(hu, where, format="nrrd"), None, config)
    assert (found[sides == LEFT] == LEFT).mean() > 0.95


def test_random_weights_run_and_give_no_other_label(tmp_path, package):
    torch = pytest.importorskip("torch")
    from lungmask.resunet import UNet

    torch.manual_seed(1)
    network = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    torch.save(network.state_dict(), tmp_path / "random.pth")
    hu, _, _ = chest()
    try:
        found = network_lungs(hu[1:3], geometry((2, 128, 128), SPACING_MM), tmp_path / "random.pth")
    except CaseRejected as fault:
        assert fault.reason is Reason.NO_LUNGS
    else:
        assert set(np.unique(found.mask_DHW)) <= {0, RIGHT, LEFT}


def test_other_files_are_refused(tmp_path, package):
    hu, where, _ = chest()
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(UsageError, match="cannot be read"):
        network_lungs(hu, where, tmp_path / "junk.pth")


def test_a_network_of_lobes_is_refused(tmp_path, package):
    hu, _, _ = chest()
    with pytest.raises(UsageError, match="two lungs"):
        network_lungs(hu[1:3], geometry((2, 128, 128), SPACING_MM), save_weights(tmp_path / "lobes.pth", classes=6))


class Shell:
    def __reduce__(self):
        return (print, ("code has run",))


def test_a_weights_file_cannot_run_code(tmp_path, package, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"last.bias": Shell()}, tmp_path / "evil.pth")
    hu, where, _ = chest()
    with pytest.raises(UsageError, match="cannot be read"):
        network_lungs(hu, where, tmp_path / "evil.pth")
    assert "code has run" not in capsys.readouterr().out


def test_unsafe_loading_is_refused(tmp_path, monkeypatch):
    (tmp_path / "any.pth").write_bytes(b"x")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    hu, where, _ = chest()
    with pytest.raises(EnvironmentFault, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        network_lungs(hu, where, tmp_path / "any.pth")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "other.pth").write_bytes(b"y")
    monkeypatch.setitem(sys.modules, "lungmask", None)
    hu, where, _ = chest()
    with pytest.raises(EnvironmentFault, match=r"dcam-dist\[lungmask\]"):
        network_lungs(hu, where, tmp_path / "other.pth")


def test_a_missing_file_is_a_wrong_setting(tmp_path):
    hu, where, _ = chest()
    with pytest.raises(UsageError, match="no such file"):
        network_lungs(hu, where, tmp_path / "absent.pth")


def test_the_digest_follows_the_content(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1"), second.write_bytes(b"22")
    assert weights_digest(first) != weights_digest(second)
    first.write_bytes(b"22")
    assert weights_digest(first) == weights_digest(second)
