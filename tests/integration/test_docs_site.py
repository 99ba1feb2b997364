"""The docs site: it builds without a complaint, all its links lead somewhere, and it loads nothing from elsewhere."""

import re
from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from support.processes import REPOSITORY
from support.site import SitePage, build_site

from dcam_dist.commands import app
from dcam_dist.config.schema import Config
from dcam_dist.errors import DcamError, Reason

pytest.importorskip("mkdocs", reason="the docs site needs the extra docs")

FROM_ELSEWHERE = re.compile(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[\w./@-]*")
ONLY_WHERE_ASKED_FOR = {
    "https://unpkg.com/mermaid@11/dist/mermaid.min.js": "elements of class mermaid, of which the site has none",
    "https://unpkg.com/resize-observer-polyfill": "browsers without ResizeObserver, from before 2020",
    "https://api.github.com/repos/": "a repository's address, which the site does not have",
    "https://api.github.com/users/": "a repository's address, which the site does not have",
}
"""What the theme's script may load, and when."""
IN_COMMENTS = (
    "http://www.w3.org/",
    "https://clipboardjs.com/",
    "http://lunrjs.com",
    "http://tartarus.org/",
    "https://bit.ly/",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "site"
    return folder, build_site(folder)


@pytest.fixture(scope="module")
def pages(built):
    return {str(path.relative_to(built[0])): SitePage(path) for path in built[0].rglob("*.html")}


def test_it_builds_without_a_complaint(built):
    _, (code, said) = built
    assert code == 0, said
    assert not re.search("warning|error|excluded|not found", said, re.I), said


def test_every_page_is_in_the_navigation(pages):
    sources = {path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")}
    named = {page.removesuffix(".html") for page in pages["index.html"].navigation}
    assert len(sources) > 15
    assert {str(path.with_suffix("")) for path in sources} - named == set()


def test_every_link_and_anchor_leads_somewhere(pages):
    by_file = {page.path.resolve(): page for page in pages.values()}
    broken = []
    for name, page in pages.items():
        if name == "404.html":  # its links are absolute, for a server's root
            continue
        for link in [*page.links, *page.navigation, *page.loads]:
            if found := page.target(link):
                file, anchor = found
                missing = not file.is_file() or (anchor and anchor not in by_file[file].ids and anchor != "__top")
                broken += [f"{name}: {link}"] * bool(missing)
    assert broken == []


def test_links_out_of_the_docs_lead_to_pages_of_the_site(pages):
    assert "../repository/configs/paper.yaml.html" in pages["reference/configuration.html"].links
    assert any(link.endswith("configs/sites/index.html") for link in pages["slurm.html"].links)
    assert "generic.yaml.html" in pages["repository/configs/sites/index.html"].links
    assert "head_lr" in pages["repository/configs/paper.yaml.html"].path.read_text(encoding="utf-8")
    assert "../dot-dockerignore.html" in pages["repository/containers/index.html"].links


def test_the_links_lead_somewhere_on_a_code_host_too():
    broken = []
    for page in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]:
        text = re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^()\s#]+)", text):
            if not link.startswith(("http://", "https://")) and not (page.parent / link).exists():
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(built, pages):
    loads = [load for page in pages.values() for load in page.loads]
    assert len(loads) > 100
    assert [load for load in loads if FROM_ELSEWHERE.match(load)] == []
    assert [name for name, page in pages.items() if 'class="mermaid"' in page.path.read_text(encoding="utf-8")] == []
    for style in built[0].rglob("*.css"):
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == [], style
    scripts = [path for path in built[0].rglob("*.js") if "lunr" not in path.parts and path.name != "search_index.js"]
    assert len(scripts) >= 3
    named = {
        address
        for script in scripts
        for address in re.findall(r"https?://[\w./@-]+", script.read_text(encoding="utf-8"))
        if not address.startswith(IN_COMMENTS)
    }
    assert named - set(ONLY_WHERE_ASKED_FOR) == set()


def test_lists_and_tables_are_lists_and_tables(pages):
    lost = [
        f"{name}: {line}"
        for name, page in pages.items()
        for text in page.paragraphs
        for line in text.splitlines()
        if re.match(r"- |\* |\d+\. |\||#+ |```", line)
    ]
    assert lost == []


def test_every_reason_code_and_exit_code_is_among_the_failures(pages):
    first = {row[0] for row in pages["failures.html"].rows if row}
    assert {str(reason) for reason in Reason} - first == set()
    codes = {kind.exit_code for kind in _kinds(DcamError)} | {0, 130}
    assert {str(code) for code in codes} - first == set()


def test_every_verb_and_option_is_in_the_reference(pages):
    page = pages["reference/commands.html"]
    firsts = " ".join(row[0] for row in page.rows if row)
    for command in app.registered_commands:
        assert command.callback.__name__.replace("_", "-") in page.ids
    for given in (
        "RUN",
        "[KEY=VALUE]...",
        "--case text, may be repeated",
        "--format dicom · nifti",
        "--dry-run",
        "--part I/N",
    ):
        assert given in firsts
    assert ["--seed whole number", "Same seed, same bytes.", "0"] in page.rows


def test_every_setting_is_in_the_reference_with_what_it_means(pages):
    rows = {row[0]: row for row in pages["reference/configuration.html"].rows if len(row) == 4}
    keys = set(_keys(Config))
    assert len(keys) > 60
    assert keys - set(rows) == set()
    assert [key for key in keys if not rows[key][3].strip()] == []
    assert rows["training.batch_size"][1:3] == ["whole number > 0", "4"]
    assert rows["grid.fit"][1:3] == ["stretch · spacing", '"stretch"']


def _kinds(kind: type) -> Iterator[type]:
    for below in kind.__subclasses__():
        if hasattr(below, "exit_code"):
            yield below
        yield from _kinds(below)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
