"""The docs site in a real browser, opened as files: no complaint, nothing from elsewhere, and a search that works."""

import time

import pytest
from support.browser import CHROMIUM, browser
from support.site import build_site

pytest.importorskip("mkdocs", reason="the docs site needs the extra docs")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install --no-install-recommends chromium"),
]

FOUND = "[...document.querySelectorAll('.md-search-result__link')].map(a => a.getAttribute('href'))"
TYPE = "(f => { f.focus(); f.value = '%s'; f.dispatchEvent(new Event('keyup', {bubbles: true})); })"
FIELD = "(document.querySelector('.md-search__input'))"
WIDEST = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
PATIENCE_S = 20


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    code, said = build_site(folder)
    assert code == 0, said
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("name", ["index", "tutorial", "failures", "architecture", "reference/commands"])
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark"), (1920, "light")])
def test_a_page_fits_and_asks_for_nothing_elsewhere(page, site, name, width, scheme):
    page.show_as(width, scheme=scheme)
    page.open(site / f"{name}.html")
    assert page.ask(WIDEST)
    assert page.ask(
        "document.fonts.ready.then(() => [...document.images].every(i => i.loading == 'lazy' || i.naturalWidth))"
    )
    assert page.ask("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(site.as_uri())] == []


@pytest.mark.parametrize(
    ("words", "file"), [("reason code", "reason_codes.html"), ("preflight", "reference/commands.html")]
)
def test_the_search_finds_without_a_server(page, site, words, file):
    assert any(link.split("?")[0].endswith(file) for link in _search(page, site / "index.html", words))
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith((site.as_uri(), "about:"))] == []


def test_the_search_finds_nothing_where_there_is_nothing(page, site):
    assert _search(page, site / "index.html", "xyzzyplugh") == []


def test_a_result_of_the_search_leads_to_its_page(page, site):
    assert _search(page, site / "tutorial.html", "reason code")
    page.ask("document.querySelector('.md-search-result__link[href*=reason_codes]').click()")
    assert _until(lambda: page.ask("document.querySelector('h1')?.textContent.startsWith('Reason codes')"))


def _search(page, path, words):
    page.show_as(1280)
    page.open(path)
    assert _until(lambda: page.ask("!!document.querySelector('iframe')"))  # where the search runs
    page.ask(TYPE % words + FIELD)
    assert _until(
        lambda: page.ask("document.querySelector('.md-search-result__meta').textContent.includes('matching')")
    )
    time.sleep(0.5)  # results are drawn over several frames
    return page.ask(FOUND)


def _until(true):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False
