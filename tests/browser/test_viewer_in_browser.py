"""The viewer in a real browser with WebGL: it draws what is there, obeys its controls, and asks nobody for anything."""

import time

import numpy as np
import pytest
from support.browser import CHROMIUM, browser
from support.viewer_cases import BLOB, BLOB_HU, HOSTILE, HOSTILE_NAMES, NAMES, SHAPE, viewer_case
from support.viewer_page import Viewer, differ, is_coloured

from dcam_dist.maps.compute import softmax
from dcam_dist.report.viewer import write_view

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install --no-install-recommends chromium"),
]

FROM_RIGHT = BLOB[0], SHAPE[1] - 1 - BLOB[1], SHAPE[2] - 1 - BLOB[2]
"""The nodule's slice, row and column in the viewer's order: upwards, to the front, to the patient's right."""


class NoduleViewer(Viewer):
    def go_to_nodule(self):
        for axis, index in zip("zyx", FROM_RIGHT, strict=True):
            self.set(axis, str(index + 1))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile"), webgl=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    cases = [viewer_case("first case"), viewer_case("second case", cluster=0, nodule=False)]
    return write_view(cases, NAMES, tmp_path_factory.mktemp("view") / "view.html")


@pytest.fixture
def viewer(page, written, tmp_path):
    made = NoduleViewer(page, tmp_path)
    made.open(written)
    yield made
    assert page.complaints() == []
    assert page.requests() == [written.as_uri()]


def test_the_page_shows_a_case_soon(viewer):
    assert viewer.page.ask("performance.timing.loadEventEnd - performance.timing.navigationStart") < 10_000
    picture = viewer.picture()
    assert picture.std() > 20 and is_coloured(picture) > 0.05
    assert viewer.page.ask("document.getElementById('viewer-map').selectedOptions[0].text").startswith("cluster 2 ◂")
    assert viewer.page.ask("[...document.getElementById('viewer-map').options].map(o => o.value)") == [
        *"102",
        "winner",
        "none",
    ]


def test_the_readout_is_what_the_scan_and_the_head_say(viewer):
    viewer.set("map", "0")
    viewer.go_to_nodule()
    probability = softmax(viewer_case().dense_KDHW)[0][BLOB]
    assert viewer.text("hu") == f"−{-BLOB_HU} HU"
    assert abs(float(viewer.text("probability").split(" ")[0]) / 100 - probability) < 0.004
    assert f"{probability * 3:.1f}" in viewer.text("probability")
    assert viewer.text("probability-name") == "Probability of cluster 1"
    world = viewer_case().native.matrix @ [*BLOB[::-1], 1.0]
    said = [float(text) for text in viewer.text("mm").replace("−", "-").split(", ")]
    assert said == pytest.approx(world[:3], abs=0.051)
    assert viewer.text("region") == "right side, upper third"
    viewer.set("x", "20")
    assert viewer.text("region") == "outside the lungs" and viewer.text("hu") == "40 HU"


def test_the_patients_right_is_on_the_left(viewer):
    viewer.set("map", "none")
    viewer.go_to_nodule()
    viewer.set("x", "1")  # the crosshair away from the nodule
    viewer.set("y", "1")
    viewer.set("view", "axial")
    picture = viewer.picture().mean(axis=2)
    height, width = picture.shape
    rows, columns = (round((BLOB[axis] + 0.5) / SHAPE[axis] * size) for axis, size in ((1, height), (2, width)))
    lung = picture[round((14.5) / SHAPE[1] * height), columns]
    assert picture[rows, columns] > lung + 60  # in front and on the left, where the array has it
    assert picture[rows, width - columns] < lung + 20
    marks = viewer.page.ask(
        "[...document.querySelectorAll('#viewer-marks span')].map(s => [s.textContent, s.offsetLeft])"
    )
    place = dict(marks)
    assert list(place) == ["axial", "R", "L", "A", "P"] and place["R"] < place["A"] < place["L"]


def test_every_control_changes_the_picture(viewer):
    before = viewer.picture()
    for name, value in [
        ("map", "0"),
        ("map", "winner"),
        ("opacity", "40"),
        ("threshold", "13"),
        ("threshold", "0"),
        ("map", "none"),
        ("outline", False),
        ("window", "soft"),
        ("z", "20"),
        ("case", "1"),
        ("view", "coronal"),
        ("view", "sagittal"),
    ]:
        viewer.set(name, value)
        after = viewer.picture()
        assert differ(before, after), name
        before = after


def test_in_3d_the_lungs_turn(viewer):
    viewer.set("view", "render")
    before = viewer.picture()
    assert before.std() > 5 and viewer.page.ask("document.getElementById('viewer-window').disabled")
    viewer.set("turn", "140")
    viewer.press("ArrowLeft")
    assert viewer.text("turn-value") == "135°"
    assert differ(before, viewer.picture())


def test_colours_stay_in_the_lungs(viewer):
    viewer.set("view", "axial")
    viewer.set("outline", False)
    viewer.set("x", "20")
    viewer.set("y", "1")
    picture = viewer.picture()
    coloured = np.argwhere(picture.max(axis=2) - picture.min(axis=2) > 40)
    voxel = picture.shape[1] / SHAPE[2]
    # without the crosshair, which is in the last row and in the middle between the lungs
    inside = coloured[(coloured[:, 0] < len(picture) - 2.5 * voxel) & (abs(coloured[:, 1] / voxel - 20.5) > 1)]
    assert len(inside) > 1000
    assert (inside.min(axis=0) > (np.array([5, 4]) - 0.6) * voxel).all()


def test_keys_move_the_crosshair(viewer):
    viewer.set("view", "multi")
    start = [int(viewer.page.ask(f"document.getElementById('viewer-{axis}').value")) for axis in "xyz"]
    before = viewer.picture()
    viewer.press("PageUp", "PageUp")
    assert viewer.text("z-value") == f"{start[2] + 2} of {SHAPE[0]}" and differ(before, viewer.picture())
    viewer.press("ArrowLeft", "ArrowUp", "c", "v")
    assert viewer.text("x-value") == f"{start[0] + 1} of {SHAPE[2]}"
    assert viewer.text("y-value") == f"{start[1] + 1} of {SHAPE[1]}"
    assert viewer.page.ask("document.getElementById('viewer-view').value") == "multi"
    viewer.press("Home")
    assert viewer.text("z-value") == f"{start[2]} of {SHAPE[0]}"


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(viewer):
    named = (
        "[...document.querySelectorAll('#viewer input, #viewer select')].every(e => e.labels[0]?.textContent.trim())"
    )
    assert viewer.page.ask(named)
    for _ in range(12):
        viewer.page.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        if viewer.page.ask("document.activeElement.id") == "viewer-canvas":
            break
    assert viewer.page.ask("document.activeElement.id") == "viewer-canvas"


def test_it_says_what_is_seen(viewer):
    viewer.set("view", "coronal")
    viewer.set("map", "winner")
    time.sleep(0.6)
    assert viewer.page.ask("document.getElementById('viewer-seen').ariaLive") == "polite"
    assert viewer.text("seen").startswith(
        "Coronal slice of first case, coloured by the winning cluster. At the crosshair:"
    )
    assert viewer.text("note") == "About first case."


def test_the_legend_is_that_of_the_map(viewer):
    visible = "['scale', 'classes', 'plain'].filter(n => !document.getElementById('viewer-' + n).hidden)"
    shown = {}
    for value in ("1", "winner", "none"):
        viewer.set("map", value)
        shown[value] = viewer.page.ask(visible)
    assert shown == {"1": ["scale"], "winner": ["classes"], "none": ["plain"]}
    ticks = viewer.page.ask("[...document.querySelectorAll('.viewer-ticks span')].map(s => s.textContent)")
    assert ticks == ["1", "1.7", "3"]
    colour = "getComputedStyle(document.querySelector('.viewer-class-0')).backgroundColor"
    assert viewer.page.ask(colour).startswith("rgb(")
    assert "gradient" in viewer.page.ask("getComputedStyle(document.getElementById('viewer-bar')).backgroundImage")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1920, "dark")])
def test_it_fits(viewer, written, width, scheme):
    viewer.open(written, width=width, scheme=scheme)
    assert viewer.page.ask("document.documentElement.scrollWidth") <= width
    assert is_coloured(viewer.picture()) > 0.05


def test_hostile_names_are_text(page, tmp_path):
    path = write_view([viewer_case(HOSTILE), viewer_case("second")], HOSTILE_NAMES, tmp_path / "view.html")
    made = NoduleViewer(page, tmp_path)
    made.open(path)
    made.set("map", "0")
    time.sleep(0.6)
    assert page.ask("typeof hacked") == "undefined" and page.ask("document.images.length") == 0
    assert HOSTILE in made.text("seen") and made.text("note") == f"About {HOSTILE}."
    assert page.complaints() == [] and page.requests() == [path.as_uri()]


def test_in_print_there_is_a_sentence(viewer):
    viewer.page.show_as(900, media="print")
    assert viewer.page.ask("document.querySelector('.viewer-print').offsetHeight") > 0
    assert viewer.page.ask("document.getElementById('viewer-body').offsetHeight") == 0


def test_without_webgl_there_is_a_sentence(written, tmp_path):
    with browser(tmp_path / "profile") as page:
        page.open(written)
        assert page.ask("document.getElementById('viewer-unable').textContent").startswith(
            "The 3D viewer needs WebGL 2"
        )
        assert page.ask("document.getElementById('viewer-unable').offsetHeight") > 0
        assert page.ask("document.getElementById('viewer-body').offsetHeight") == 0
        assert [text for text in page.complaints() if "WebGL" not in text] == []
