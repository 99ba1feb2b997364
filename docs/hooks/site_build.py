"""What MkDocs calls while it builds the site: pages that are made of the package, and links out of ``docs/``."""

from pathlib import Path

from commands_page import commands
from diagram import with_diagrams
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from reason_table import reasons
from repository_pages import Repository, add_repository_pages
from settings_page import settings

MADE = {"<!-- commands -->": commands, "<!-- settings -->": settings, "<!-- reason codes -->": reasons}
"""Marks in a page, and what is put in their place."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside ``docs/`` that a page leads to."""
    add_repository_pages(Repository(_root(config)), files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what is made of the package, draw diagrams, and turn links out of ``docs/`` to the pages made of them."""
    for mark, make in MADE.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make(_root(config)))
    markdown = with_diagrams(markdown, page.file.src_uri, _root(config))
    return Repository(_root(config)).with_site_links(markdown, page.file.src_uri)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent.resolve()
