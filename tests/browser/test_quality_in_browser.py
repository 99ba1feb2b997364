"""The quality page in a real browser: it fits, filters and sorts, and a hostile case id is text."""

from dataclasses import replace

import numpy as np
import pytest
from support.browser import CHROMIUM, browser
from support.quality_cohorts import HOSTILE, table_case, table_cohort

from dcam_dist.ingest.quality.page import page_of
from dcam_dist.ingest.quality.table import rows_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install --no-install-recommends chromium"),
]

VISIBLE = "[...document.querySelectorAll('#cases tbody tr')].filter(r => r.offsetHeight).map(r => r.cells[1].dataset.s)"
FIRST = "document.querySelector('#cases tbody tr').cells[1].dataset.s"
CLICK = "[...document.querySelectorAll('#cases th button')].find(b => b.textContent == '{}').click()"
HOSTILE_ROW = "[...document.querySelectorAll('#cases tbody tr')].find(r => r.textContent.includes('onerror'))"
DECODED = "async i => { i.loading = 'eager'; await i.decode(); return i.naturalWidth; }"
SET = "{0}.value = '{1}'; {0}.dispatchEvent(new Event('{2}'))"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    made = table_cohort(tmp_path_factory.mktemp("cohort"), 60, 10)
    hostile = table_case(HOSTILE, np.random.default_rng(1), covariates={"kernel": HOSTILE, HOSTILE: HOSTILE * 5})
    return replace(made, cases=(*made.cases, hostile))


@pytest.fixture(scope="module")
def written(cohort, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "quality.html"
    path.write_text(page_of(rows_of(cohort), cohort.path), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_it_fits_any_width_without_a_complaint(page, written, width, scheme):
    page.show_as(width, scheme=scheme)
    page.open(written)
    page.ask("for (const d of document.querySelectorAll('details')) d.open = true")
    page.ask(f"{HOSTILE_ROW}.scrollIntoView()")
    assert page.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.complaints() == [] and page.requests() == [written.as_uri()]
    assert page.ask("document.title") == "Quality of the cohort"
    assert page.ask(f"Promise.all([...document.images].map({DECODED}))") == [500] * 62


def test_filters_and_search(page, written, cohort):
    page.show_as(1280)
    page.open(written)
    assert page.ask("shown.textContent") == "71 of 71 cases"
    page.ask(SET.format("show", "set-aside", "change"))
    assert sorted(page.ask(VISIBLE)) == sorted(entry.case_id for entry in cohort.quarantine)
    page.ask(SET.format("show", "reason tilted", "change"))
    assert page.ask(VISIBLE) == [entry.case_id for entry in cohort.quarantine if entry.reason == "tilted"]
    page.ask(SET.format("show", "", "change"))
    page.ask(SET.format("kernel", "kernel B50f", "change"))
    assert set(page.ask(VISIBLE)) == {c.case_id for c in cohort.cases if c.covariates["kernel"] == "B50f"}
    page.ask(SET.format("kernel", "", "change"))
    page.ask(SET.format("search", "C0007 siemens", "input"))
    assert page.ask(VISIBLE) == ["c0007"] and page.ask("shown.textContent") == "1 of 71 cases"


def test_sorting_by_column_puts_what_has_no_value_last(page, written, cohort):
    page.show_as(1280)
    page.open(written)
    by_hu = sorted((case.densitometry["mean_hu"], case.case_id) for case in cohort.cases)
    page.ask(CLICK.format("Mean HU"))
    assert page.ask(FIRST) == by_hu[-1][1]
    assert page.ask("document.querySelector('th[aria-sort]').ariaSort") == "descending"
    page.ask(CLICK.format("Mean HU"))
    assert page.ask(FIRST) == by_hu[0][1]
    assert set(page.ask(VISIBLE)[-10:]) == {entry.case_id for entry in cohort.quarantine}


def test_without_script_everything_is_there(page, written):
    page.show_as(1280)
    page.run_scripts(False)
    try:
        page.open(written)
        rows = page.call("DOM.getDocument", depth=-1)["root"]
        found = page.call("DOM.querySelectorAll", nodeId=rows["nodeId"], selector="#cases tbody tr:not([hidden])")
        controls = page.call("DOM.querySelectorAll", nodeId=rows["nodeId"], selector="#controls[hidden]")
    finally:
        page.run_scripts(True)
    assert len(found["nodeIds"]) == 71 and len(controls["nodeIds"]) == 1


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_long_kernel_leaves_the_figures_in_sight(page, tmp_path, width):
    rng = np.random.default_rng(2)
    named = [table_case(f"c{k}", rng, covariates={"kernel": name}) for k, name in enumerate(("x" * 120, "STANDARD"))]
    flagged = table_case("c2", rng, flags=("y" * 120,))
    made = replace(table_cohort(tmp_path / "c", 0, 0), cases=(*named, flagged))
    (tmp_path / "quality.html").write_text(page_of(rows_of(made), made.path), encoding="utf-8")
    page.show_as(width)
    page.open(tmp_path / "quality.html")
    edges = "[...document.querySelectorAll('.tables td, .tables th')].map(c => c.getBoundingClientRect().right)"
    assert max(page.ask(edges)) <= width
    broken = (
        "[...document.querySelectorAll('.kernel span')].find(s => s.textContent == 'STANDARD').getClientRects().length"
    )
    assert page.ask(broken) == 1


def test_print_leaves_out_what_needs_no_look(page, written, cohort, tmp_path):
    rows = rows_of(cohort)
    wanted = {row.case_id for row in rows if row.verdict == "set_aside" or row.is_outlier or row.flags}
    page.open(written)
    page.show_as(1280)
    assert len(page.ask(VISIBLE)) == len(rows)
    page.show_as(1280, media="print")
    assert set(page.ask(VISIBLE)) == wanted
    assert page.ask("document.querySelector('#printed').offsetHeight") > 0
    page.pdf(tmp_path / "quality.pdf")
    assert (tmp_path / "quality.pdf").read_bytes().startswith(b"%PDF")
