"""The page: whatever anything is called is text, our own scripts run alone, thousands of cases stay small."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from support.reports import HOSTILE, made_up_report, made_up_study

from dcam_dist.report.render import render

VOID = {"meta", "img", "br", "input", "link", "hr"}


class Reader(HTMLParser):
    """Elements, attributes and texts as a browser sees them."""

    def __init__(self):
        super().__init__()
        self.elements, self.texts, self.open, self.inline = [], [], [], {"script": [], "style": []}

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, text):
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag in self.inline and attributes.get("type") != "application/json":
            self.inline[tag].append(text)
        else:
            self.texts.append((attributes.get("id"), text))


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def hostile():
    return read(render(made_up_report(made_up_study(60, hostile=True))))


@pytest.fixture(scope="module")
def plain():
    return read(render(made_up_report(made_up_study(60))))


def test_hostile_names_make_no_element(hostile, plain):
    def kinds(reader):
        return {tag for tag, _ in reader.elements}

    assert kinds(hostile) == kinds(plain)
    assert not any(name.startswith("on") or value == "x" for _, of in hostile.elements for name, value in of.items())
    assert len(hostile.inline["script"]) == len(plain.inline["script"]) == 1
    assert hostile.inline == plain.inline


def test_hostile_names_are_shown_as_they_are(hostile):
    shown = "\n".join(text for _, text in hostile.texts)
    for name in HOSTILE[:5]:
        assert name in shown, name
    data = json.loads(next(text for identity, text in hostile.texts if identity == "data"))
    assert {one.rsplit("-", 1)[0] for one in data["id"]} == set(HOSTILE)


def test_the_policy_allows_our_own_styles_and_scripts_alone(plain):
    policy = next(of["content"] for tag, of in plain.elements if "http-equiv" in of)
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy and "http" not in policy
    allowed = set(re.findall(r"'(sha256-[^']+)'", policy))
    texts = [*plain.inline["style"], *plain.inline["script"]]
    assert {"sha256-" + base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts} == allowed


def test_nothing_is_loaded_from_elsewhere(plain):
    for tag, of in plain.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href"):
            assert of.get(name, "#").startswith(("#", "data:")), (tag, of)
        assert "style" not in of


def test_headings_are_in_order_and_every_section_has_one(plain):
    levels = [int(tag[1]) for tag, _ in plain.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [of["id"] for _, of in plain.elements if "id" in of]
    assert len(ids) == len(set(ids))
    for tag, of in plain.elements:
        if tag == "section":
            assert of["aria-labelledby"] in ids
        if tag == "a":
            assert of["href"][1:] in ids


def test_tables_have_captions_and_headers_have_scopes(plain):
    tags = [tag for tag, _ in plain.elements]
    assert tags.count("table") == tags.count("caption") > 4
    assert all(of.get("scope") in ("col", "row") for tag, of in plain.elements if tag == "th")
    assert all(of.get("alt") for tag, of in plain.elements if tag == "img")
    assert all(of.get("aria-label") for tag, of in plain.elements if tag == "svg" and of.get("role") == "img")


def test_a_cluster_that_the_head_never_answers_has_a_note_on_its_card():
    study = made_up_study(60)
    clustered = replace(study.run, checkpoint=SimpleNamespace(clustering=object(), epoch=5))
    head_N = np.where(study.cluster_N == 2, 0, study.cluster_N)
    told = [
        re.findall(
            r"The head never answers ([^.]*)\.", render(made_up_report(replace(study, run=clustered, head_N=answers)))
        )
        for answers in (head_N, study.cluster_N)
    ]
    assert told == [["cluster 3"], []]


def test_thousands_of_cases_make_a_small_page_without_a_row_each():
    page = render(made_up_report(made_up_study(2500)))
    assert len(page) < 1_000_000
    assert sum(tag == "tr" for tag, _ in read(page).elements) < 200
