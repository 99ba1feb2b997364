"""The report in a real browser: it fits, its switches work by pointer and keyboard, it prints, and names are text."""

import pytest
from support.browser import CHROMIUM, browser
from support.reports import made_up_report, made_up_study

from dcam_dist.report.render import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install --no-install-recommends chromium"),
]

CHOOSE = "(() => {{ const s = document.getElementById('{0}'); s.value = '{1}'; s.dispatchEvent(new Event('{2}')); }})()"
ROWS = "[...document.querySelectorAll('#cases-table tbody tr')].map(r => r.cells[{}].textContent)"
LEGEND = "[...document.querySelectorAll('#plane-legend span')].map(s => s.textContent)"
PIXELS = "document.getElementById('plane-canvas').toDataURL()"
SAID = "document.getElementById('plane-case').textContent.trim()"
SHOWN = "document.getElementById('cases-shown').textContent"
KEYS = {"ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Escape": 27}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(made_up_report(made_up_study(120))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    path.write_text(render(made_up_report(made_up_study(60, hostile=True))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def press(page, key):
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_it_fits_any_width_without_a_complaint(page, written, hostile, width, scheme):
    for path in (written, hostile):
        page.show_as(width, scheme=scheme)
        page.open(path)
        page.ask("for (const d of document.querySelectorAll('details')) d.open = true")
        assert page.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        assert page.complaints() == [] and page.requests() == [path.as_uri()]


UNDER = """[...document.querySelectorAll('table')].filter(t => t.tBodies[0]?.rows.length).flatMap(t => {
  const cells = r => [...r.cells].filter(c => c.offsetWidth).map(c => c.getBoundingClientRect());
  const above = cells(t.tHead.rows[0]), below = cells(t.tBodies[0].rows[0]);
  const same = above.length === below.length && above.every((c, i) => Math.abs(c.left - below[i].left) < 1);
  return same ? [] : [t.caption.textContent];
})"""


@pytest.mark.parametrize("width", [390, 1280])
def test_values_stand_under_their_headers(page, written, width):
    page.show_as(width)
    page.open(written)
    page.ask("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.ask("document.querySelectorAll('table .b').length") > 10
    assert page.ask(UNDER) == []


def test_hostile_names_are_text(page, hostile):
    page.show_as(1280)
    page.open(hostile)
    assert page.ask("document.querySelectorAll('img, main script').length") == 0
    assert page.ask(CHOOSE.format("plane-colour", 2, "change")) is None
    assert {"<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'} & set(page.ask(LEGEND))
    assert page.complaints() == []


def test_the_map_is_coloured_by_what_is_chosen(page, written):
    page.show_as(1280)
    page.open(written)
    first, names = page.ask(PIXELS), page.ask(LEGEND)
    assert names == [f"cluster {k}" for k in range(1, 7)]
    page.ask(CHOOSE.format("plane-colour", 1, "change"))
    assert page.ask(LEGEND)[0] == "absent" and page.ask(PIXELS) != first
    page.ask(CHOOSE.format("plane-colour", 2, "change"))
    assert set(page.ask(LEGEND)) == {"B31f", "B60f", "STANDARD", "BONE"}
    page.ask(CHOOSE.format("plane-colour", 0, "change"))
    assert page.ask(PIXELS) == first
    page.ask("document.querySelector('#plane-legend button').click()")
    assert (
        page.ask("document.querySelector('#plane-legend button').ariaPressed") == "true" and page.ask(PIXELS) != first
    )


def test_the_map_is_walked_by_keys_and_pointer(page, written):
    page.show_as(1280)
    page.open(written)
    page.ask("document.getElementById('plane-canvas').focus()")
    press(page, "ArrowRight")
    first = page.ask(SAID)
    press(page, "ArrowRight")
    assert first.startswith("case-") and "cluster" in first and page.ask(SAID) not in ("", first)
    press(page, "Escape")
    assert page.ask(SAID) == "" and page.ask("document.activeElement === document.body")
    page.ask("document.getElementById('plane-canvas').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y, width, height = page.ask(
        "(() => { const r = document.getElementById('plane-canvas').getBoundingClientRect();"
        " return [r.x, r.y, r.width, r.height]; })()"
    )
    said = set()
    for step in range(1, 40):
        page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + width * step / 40, y=y + height / 2)
        said.add(page.ask(SAID))
    assert any(text.startswith("case-") for text in said)


def test_the_list_is_searched_and_paged(page, written):
    page.show_as(1280)
    page.open(written)
    assert page.ask(SHOWN) == "1–25 of 120 cases" and len(page.ask(ROWS.format(0))) == 25
    page.ask("document.getElementById('cases-next').click()")
    assert page.ask(SHOWN) == "26–50 of 120 cases" and page.ask(ROWS.format(0))[0] == "case-0025"
    page.ask(CHOOSE.format("cases-class", 2, "change"))
    assert set(page.ask(ROWS.format(2))) == {"cluster 3"}
    page.ask(CHOOSE.format("cases-class", "", "change"))
    page.ask(CHOOSE.format("cases-search", "CASE-0007 train", "input"))
    assert page.ask(ROWS.format(0)) == ["case-0007"] and page.ask("document.getElementById('cases-pages').hidden")
    page.ask(CHOOSE.format("cases-search", "nobody", "input"))
    assert page.ask(SHOWN) == "no case fits"


def test_every_control_is_reached_by_tab_with_a_visible_focus(page, written):
    page.show_as(1280)
    page.open(written)
    reached, visible = [], []
    for _ in range(90):
        press(page, "Tab")
        reached.append(
            page.ask("document.activeElement.id || document.activeElement.hash || document.activeElement.tagName")
        )
        visible.append(page.ask("getComputedStyle(document.activeElement).outlineStyle"))
    assert reached[0] == "#main"
    for wanted in (
        "#glance",
        "plane-kind",
        "plane-colour",
        "plane-canvas",
        "cases-search",
        "cases-class",
        "cases-next",
    ):
        assert wanted in reached, wanted
    at = [place for place, name in enumerate(reached) if name != "BODY"]
    assert all(visible[place] != "none" for place in at)


def test_the_contents_stay_in_sight_and_follow(page, written):
    page.show_as(1280)
    page.open(written)
    page.ask("document.getElementById('training').scrollIntoView({behavior: 'instant'})")
    page.ask("new Promise(done => setTimeout(done, 300))")
    assert page.ask("document.querySelector('nav').getBoundingClientRect().top") == 0
    assert page.ask("document.querySelector('nav [aria-current]').hash") == "#training"


def test_on_paper_everything_is_open_and_no_control_is_left(page, written, tmp_path):
    page.show_as(1280, scheme="dark")
    page.open(written)
    page.ask(
        "window.opened = []; addEventListener('beforeprint', () =>"
        " document.querySelectorAll('main details').forEach(d => opened.push(d.open)))"
    )
    page.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert page.ask("opened.length") > 5 and page.ask("opened.every(Boolean)")
    assert not page.ask("[...document.querySelectorAll('main details')].some(d => d.open)")
    page.show_as(1040, media="print")
    hidden = "['nav', '.controls', '.skip', '#cases .scroll'].every(s => !document.querySelector(s).offsetHeight)"
    assert page.ask(hidden) and page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_thousands_of_cases_open_at_once(page, tmp_path):
    path = tmp_path / "many.html"
    path.write_text(render(made_up_report(made_up_study(2500))), encoding="utf-8")
    page.show_as(1280)
    page.open(path)
    assert page.ask(SHOWN) == "1–25 of 2500 cases"
    assert page.ask("document.querySelectorAll('*').length") < 6000
    assert page.complaints() == []


def test_without_script_the_rest_is_there(page, written):
    page.show_as(1280)
    page.run_scripts(False)
    try:
        page.open(written)
        root = page.call("DOM.getDocument", depth=1)["root"]["nodeId"]
        cards = page.call("DOM.querySelectorAll", nodeId=root, selector="article.card")["nodeIds"]
        controls = page.call("DOM.querySelectorAll", nodeId=root, selector=".controls:not([hidden])")["nodeIds"]
    finally:
        page.run_scripts(True)
    assert len(cards) == 6 and controls == []
