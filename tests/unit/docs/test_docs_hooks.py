"""The hooks of the docs site: links out of ``docs/``, a drawing that keeps up with its diagram, tables of settings."""

import pytest
from pydantic import Field
from support.docs_hooks import docs_hook
from support.processes import REPOSITORY

from dcam_dist.config.schema import Section

pytest.importorskip("mkdocs", reason="the docs site needs the extra docs")


@pytest.fixture
def repository(tmp_path):
    for path, text in {
        "docs/a.md": "",
        "docs/deep/b.md": "",
        "configs/x.yaml": "seed: 1\n",
        "configs/.hidden": "",
        "NOTES.md": "[x](configs/x.yaml)",
        "data/large.json": "1" * 60_000,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return docs_hook("repository_pages").Repository(tmp_path)


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        ("a.md", "../configs/x.yaml", "repository/configs/x.yaml.md"),
        ("a.md", "../NOTES.md#top", "repository/NOTES.md#top"),
        ("deep/b.md", "../../NOTES.md", "../repository/NOTES.md"),
        ("a.md", "../configs", "repository/configs/index.md"),
        ("a.md", "../data/large.json", "repository/data/large.json"),
        ("a.md", "deep/b.md", "deep/b.md"),
        ("repository/NOTES.md", "docs/a.md#one", "../a.md#one"),
        ("repository/configs/index.md", "x.yaml", "x.yaml.md"),
        ("a.md", "https://example.org/x", "https://example.org/x"),
        ("a.md", "#below", "#below"),
        ("a.md", "../nowhere.md", "../nowhere.md"),
        ("a.md", "../../outside.md", "../../outside.md"),
    ],
)
def test_links_lead_to_the_pages_of_the_site(repository, page, link, turned):
    assert repository.with_site_links(f"see [`it`]({link}).", page) == f"see [`it`]({turned})."


def test_code_keeps_its_links(repository):
    text = "`[a](../NOTES.md)`\n\n```text\n[a](../NOTES.md)\n```\n"
    assert repository.with_site_links(text, "a.md") == text


def test_files_and_folders_become_pages(repository):
    assert repository.text_of("configs/x.yaml") == "# configs/x.yaml\n\n````yaml\nseed: 1\n\n````\n"
    assert "[x.yaml](x.yaml)" in repository.text_of("configs")
    assert repository.path_of(repository.page_of("configs/x.yaml")) == "configs/x.yaml"
    assert repository.path_of(repository.page_of("NOTES.md")) == "NOTES.md"
    assert set(repository.targets("[x](configs/x.yaml) `[y](docs/a.md)`", "NOTES.md")) == {"configs/x.yaml"}


def test_a_drawing_that_lacks_what_the_diagram_has_is_refused(tmp_path):
    diagram, PluginError = docs_hook("diagram"), pytest.importorskip("mkdocs.exceptions").PluginError
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "<svg" in diagram.with_diagrams(page, "architecture.md", REPOSITORY)
    renamed = page.replace("bounded prefetch", "unbounded prefetch")
    with pytest.raises(PluginError, match="unbounded prefetch"):
        diagram.with_diagrams(renamed, "architecture.md", REPOSITORY)
    with pytest.raises(PluginError, match="without a drawing"):
        diagram.with_diagrams(page, "other.md", REPOSITORY)


class Sample(Section):
    """A group."""

    often: int = Field(3, gt=0, le=9)
    """How ``often``,
    or | not."""
    never: float | None = None


def test_a_field_is_told_by_its_docstring():
    page = docs_hook("settings_page")
    assert page.field_texts(Sample) == {"often": "How `often`, or \\| not.", "never": ""}
    rows = list(page._section(Sample, "sample."))
    assert "| `sample.often` | whole number > 0, ≤ 9 | `3` | How `often`, or \\| not. |" in rows
    assert "| `sample.never` | number or `null` | `null` |  |" in rows
