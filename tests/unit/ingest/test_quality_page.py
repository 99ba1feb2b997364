"""The quality page: all cases, all escaped, nothing from elsewhere, the same bytes each time."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from support.quality_cohorts import HOSTILE, table_case, table_cohort

from dcam_dist.cohort.layout import CASES
from dcam_dist.errors import Reason
from dcam_dist.ingest.quality.advice import WHAT_TO_DO, what_to_do
from dcam_dist.ingest.quality.histogram import histogram
from dcam_dist.ingest.quality.montage import MONTAGE
from dcam_dist.ingest.quality.outliers import LEAST_CASES, MEASURES
from dcam_dist.ingest.quality.page import page_of
from dcam_dist.ingest.quality.table import rows_of
from dcam_dist.types import QuarantineEntry


class _Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.content, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, data):
        self.content[self._inside] = self.content.get(self._inside, "") + data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def _page(cohort):
    return page_of(rows_of(cohort), cohort.path)


def test_every_case_is_on_the_page_with_its_picture(tmp_path):
    cohort = table_cohort(tmp_path, 12, 5)
    page = _Tags(_page(cohort))
    shown = page.content["b"]
    assert all(case.case_id in shown for case in (*cohort.cases, *cohort.quarantine))
    pictures = [attributes["src"] for attributes in page.all("img")]
    assert len(pictures) == 12 + 1  # one of five set aside was read
    expected = (tmp_path / CASES / "c0000" / MONTAGE).read_bytes()
    assert f"data:image/webp;base64,{base64.b64encode(expected).decode()}" in pictures


def test_the_same_cohort_gives_the_same_page(tmp_path):
    cohort = table_cohort(tmp_path, 12, 5)
    turned = replace(cohort, cases=cohort.cases[::-1], quarantine=cohort.quarantine[::-1])
    assert _page(cohort) == _page(turned)


def test_names_are_text_and_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    cases = [
        table_case(HOSTILE, rng, covariates={"kernel": HOSTILE, HOSTILE: HOSTILE}, flags=(HOSTILE,), split=HOSTILE),
        *(table_case(f"c{index}", rng) for index in range(5)),
    ]
    entry = QuarantineEntry(HOSTILE + "q", HOSTILE, HOSTILE, (HOSTILE,), picture='"><script>')
    plain = table_cohort(tmp_path, 0, 0)
    page = _Tags(_page(replace(plain, cases=tuple(cases), quarantine=(entry,))))
    assert [tag for tag, _ in page.tags].count("script") == 1 and not page.all("img")
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.tags for name in attributes)


def test_nothing_is_loaded_from_elsewhere_and_only_our_script_runs(tmp_path):
    text = _page(table_cohort(tmp_path, 6, 1))
    page = _Tags(text)
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    assert not page.all("link") and not page.all("iframe") and all("src" not in script for script in page.all("script"))
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    for name in ("style", "script"):
        content = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def test_pictures_come_from_the_cohort_only(tmp_path):
    cohort = table_cohort(tmp_path / "c.zarr", 2, 0, pictures=1)
    first = cohort.cases[0]
    (tmp_path / "c.zarr" / CASES / "c0000" / MONTAGE).write_bytes(b"<script>")
    outside = tmp_path / "c0001"
    outside.mkdir()
    (outside / MONTAGE).write_bytes((tmp_path / "c.zarr" / CASES / "c0001" / MONTAGE).read_bytes())
    astray = replace(first, case_id="../../c0001")
    page = _Tags(_page(replace(cohort, cases=(*cohort.cases, astray))))
    assert len(page.all("img")) == 1 and page.content["span"].count("no picture") == 2


@pytest.mark.parametrize(("accepted", "aside"), [(0, 0), (0, 3), (1, 0), (4, 0), (4, 2)])
def test_small_and_empty_cohorts_have_a_page(tmp_path, accepted, aside):
    text = _page(table_cohort(tmp_path, accepted, aside))
    page = _Tags(text)
    assert page.content["dd"].split()[0] == str(accepted + aside)
    assert len(page.all("figure")) == (4 if accepted else 0)
    assert not any(row.outlier for row in rows_of(table_cohort(tmp_path / "again", accepted, aside)))
    assert not any("nan" in page.content.get(tag, "") for tag in ("dd", "td", "text"))


def test_every_reason_says_what_to_do():
    assert set(WHAT_TO_DO) == set(Reason) and all(WHAT_TO_DO.values())
    assert what_to_do("of_another_release")


def test_a_page_of_hundreds_stays_small_beside_its_pictures(tmp_path):
    cohort = table_cohort(tmp_path, 280, 20)
    text = _page(cohort)
    pictures = sum(len(attributes["src"]) for attributes in _Tags(text).all("img"))
    assert len(text) - pictures < 300 * 4000


def test_histograms_count_every_case():
    drawn = histogram("Volume", "L", [[3.0, 4.0, 4.1], [5.0], [4.0, 900.0]])
    area = sum(bar.height for bar in drawn.bars) * drawn.most / 120
    assert drawn.cases == 6 and drawn.beyond == 1 and area == pytest.approx(6, abs=0.01)
    assert all(0 <= bar.x < 300 and 0 <= bar.y < 120 and bar.group in (0, 1, 2) for bar in drawn.bars)
    assert drawn.ticks[-1][0] <= 300 and max(float(text.strip("≥ ")) for _, text in drawn.ticks) < 20


def test_the_end_bars_of_a_cut_axis_say_so():
    usual = np.random.default_rng(0).normal(100, 3, 200)
    drawn = histogram("x", "", [[*usual, 1.0, 2.0, 900.0]])
    assert drawn.beyond == 3
    (first, low), (last, high) = drawn.ticks[0], drawn.ticks[-1]
    assert low.startswith("≤ ") and high.startswith("≥ ") and 80 < float(low[2:]) < 100 < float(high[2:]) < 120
    left, right = min(drawn.bars, key=lambda bar: bar.x), max(drawn.bars, key=lambda bar: bar.x)
    assert left.x + left.width == pytest.approx(first, abs=0.02) and right.x == pytest.approx(last, abs=0.02)
    places = [place for place, _ in drawn.ticks]
    assert min(np.diff(places)) > 30  # no text on another
    assert not any(mark in text for mark in "≤≥" for _, text in histogram("x", "", [usual]).ticks[1:-1])
    assert histogram("x", "", [[*usual, 900.0]]).ticks[0][1].isdecimal()


def test_slice_spacing_is_drawn_where_it_is(tmp_path):
    drawn = histogram("Slice spacing", "mm", [[1.0] * 80 + [1.25] * 60 + [5.0] * 10], whole=True)
    (zero, first), (_, second) = drawn.ticks[:2]
    unit = (drawn.ticks[1][0] - zero) / (float(second) - float(first))
    right = max(drawn.bars, key=lambda bar: bar.x)
    assert float(first) + (right.x - zero) / unit == pytest.approx(5.0, abs=0.01) and drawn.beyond == 0
    assert right.height == pytest.approx(120 * 10 / drawn.most, abs=0.01)

    at_edges = histogram("Slice spacing", "mm", [[0.8, 1.2, 1.4, 5.0]], whole=True)  # 0.2 · 6 > 1.2 in floating point
    assert [round(bar.x / bar.width) for bar in at_edges.bars] == [0, 2, 3, 21]

    figures = _page(table_cohort(tmp_path, 60, 0)).split("<figure>")
    spacing = next(figure for figure in figures if "Slice spacing" in figure)
    assert "beyond" not in spacing and "≥" not in spacing and ">5</text>" in spacing


def test_the_page_says_what_is_scored_and_how(tmp_path):
    few, many = _page(table_cohort(tmp_path / "few", 8, 0)), _page(table_cohort(tmp_path / "many", 30, 0))
    assert f"fewer than {LEAST_CASES} accepted cases" in few and "accepted cases, so" not in many
    assert all(f"{measure.title} {measure.least_sigma:g}" in many for measure in MEASURES)


def test_only_cases_to_look_at_are_printed_and_the_page_says_so(tmp_path):
    cohort = table_cohort(tmp_path, 60, 10)
    rows = rows_of(cohort)
    plain = sum(row.verdict == "accepted" and not row.is_outlier and not row.flags for row in rows)
    page = _Tags(_page(cohort))
    classes = [attributes["class"].split() for attributes in page.all("tr") if "data-is" in attributes]
    assert 0 < plain < 60 and sum("plain" in names for names in classes) == plain
    assert f"the {plain} others" in page.content["p"]


@pytest.mark.parametrize("values", [[1.0], [0.7] * 50, [0.0], [-850.0, -850.0], [0.0, 1e-9]])
def test_histograms_of_next_to_nothing(values):
    drawn = histogram("x", "", [values])
    assert drawn.most >= 1 and drawn.beyond == 0 and drawn.ticks
    assert histogram("x", "", [[], [float("nan")]]) is None
