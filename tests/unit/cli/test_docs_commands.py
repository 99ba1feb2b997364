"""Commands in the docs: every verb and option that a page names is one that there is."""

import re

import pytest
from support.docs_hooks import docs_hook
from support.processes import REPOSITORY

from dcam_dist.commands import app

PAGES = sorted([*REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"])
COMMAND = re.compile(r"(?:dcam-dist|-m dcam_dist) (?P<verb>[a-z][a-z-]+)(?P<rest>[^\n`#|;]*)")
EVERYWHERE = {"--help", "--debug"}
LATER = "<!-- check -->"
"""A section that speaks of verbs which are not there yet bears this."""


def options_by_verb():
    page = docs_hook("commands_page")
    every = {}
    for command in app.registered_commands:
        spelt = " ".join(one.spelt for one in page.taken(command.callback) if not one.is_argument)
        name = command.name or command.callback.__name__.replace("_", "-")
        every[name] = EVERYWHERE | set(re.findall(r"`(--?[a-z][a-z-]*)`", spelt))
    return every


def commands_of(path):
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for section in re.split(r"^(?=#+ )", text, flags=re.M):
        if LATER not in section:
            for match in COMMAND.finditer(section):
                yield match["verb"], re.findall(r"(?<![\w-])--[a-z][a-z-]*", match["rest"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_verb_and_option_of_a_page_is_one(path):
    known = options_by_verb()
    for verb, options in commands_of(path):
        assert verb in known, f"{path.name}: there is no dcam-dist {verb}"
        assert set(options) <= known[verb], f"{path.name}: dcam-dist {verb} has no {set(options) - known[verb]}"


def test_the_pages_name_commands():
    named = {verb for path in PAGES for verb, _ in commands_of(path)}
    assert named >= {"phantom", "ingest", "train", "evaluate", "maps", "plan", "status", "submit", "doctor", "assign"}
