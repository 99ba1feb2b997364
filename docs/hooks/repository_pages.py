"""Files of the repository that a page leads to, as pages of the site: the same link works on a code host and here."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

FOLDER = "repository"
LANGUAGES = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".sh": "bash",
    ".py": "python",
    ".toml": "toml",
    ".cff": "yaml",
    ".txt": "text",
    ".dockerignore": "text",
    ".def": "text",
    ".json": "json",
}
LARGEST_LISTED = 50_000
"""Bytes of a text that is shown as a page; a larger file is only to be downloaded."""
CODE = r"^ *(?P<fence>`{3,})[^\n]*\n.*?^ *(?P=fence)|`+[^`\n]*`+"
LINK = re.compile(rf"(?P<code>{CODE})|(?P<open>\]\()(?P<to>[^()\s]+)(?=\))", re.M | re.S)
"""A link, or code, in which none is looked for."""


@dataclass(frozen=True)
class Repository:
    """The repository around ``docs/``.

    Args:
        root: Its folder.
    """

    root: Path

    def page_of(self, path: str) -> str:
        """Where a file or folder of the repository is in the site's sources."""
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        shown = re.sub(r"(^|/)\.", r"\1dot-", path)  # MkDocs leaves hidden files out
        if (self.root / path).is_dir():
            return f"{FOLDER}/{shown}/index.md"
        return f"{FOLDER}/{shown}.md" if self._is_listing(path) else f"{FOLDER}/{shown}"

    def path_of(self, page: str) -> str:
        """The file of the repository that a page of the site's sources is made of."""
        if not page.startswith(f"{FOLDER}/"):
            return f"docs/{page}"
        path = re.sub(r"(^|/)dot-", r"\1.", page.removeprefix(f"{FOLDER}/"))
        if path.endswith("/index.md"):
            return path.removesuffix("index.md") + "."
        return path if (self.root / path).is_file() else path.removesuffix(".md")

    def targets(self, markdown: str, source: str) -> Iterator[str]:
        """The files and folders that a page leads to, as paths in the repository.

        Args:
            markdown: The page.
            source: Its own path in the repository.
        """
        for match in LINK.finditer(markdown):
            if target := self._target(match["to"], source):
                yield target

    def with_site_links(self, markdown: str, page: str) -> str:
        """A page whose links lead to pages of the site.

        Args:
            markdown: The page.
            page: Its path in the site's sources.
        """

        def turned(match: re.Match[str]) -> str:
            target = self._target(match["to"], self.path_of(page))
            if not target:
                return match[0]
            anchor = "#" + match["to"].split("#", 1)[1] if "#" in match["to"] else ""
            return match["open"] + posixpath.relpath(self.page_of(target), posixpath.dirname(page) or ".") + anchor

        return LINK.sub(turned, markdown)

    def text_of(self, path: str) -> str:
        """The page of a file or folder that is no picture.

        Args:
            path: In the repository.
        """
        if (self.root / path).is_dir():
            names = sorted(entry.name + "/" * entry.is_dir() for entry in (self.root / path).iterdir())
            return f"# {path}\n\n" + "\n".join(f"- [{name}]({name})" for name in names) + "\n"
        text = (self.root / path).read_text(encoding="utf-8")
        if not self._is_listing(path):
            return text
        return f"# {path}\n\n````{LANGUAGES[self._suffix(path)]}\n{text}\n````\n"

    def _target(self, link: str | None, source: str) -> str | None:
        if not link or re.match(r"[a-z]+:|#|/", link):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link.split("#")[0]))
        return path if not path.startswith("..") and (self.root / path).exists() else None

    def _is_listing(self, path: str) -> bool:
        size = (self.root / path).stat().st_size if (self.root / path).is_file() else 0
        return self._suffix(path) in LANGUAGES and size <= LARGEST_LISTED

    @staticmethod
    def _suffix(path: str) -> str:
        return PurePosixPath(path).suffix or PurePosixPath(path).name


def add_repository_pages(repository: Repository, files: Files, config: MkDocsConfig) -> None:
    """Add to the site everything outside ``docs/`` that its pages lead to, and what those lead to.

    Args:
        repository: The repository.
        files: The site's files; those made are added.
        config: MkDocs' configuration, whose navigation may name such pages.
    """
    waiting = [(f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()]
    waiting.append(("mkdocs.yml", "".join(f"]({page})" for page in _named(config.nav))))
    while waiting:
        source, text = waiting.pop()
        for target in repository.targets(text, source):
            page = repository.page_of(target)
            if target.startswith("docs/") or page in files.src_uris:
                continue
            if page.endswith(".md"):
                text_there = repository.text_of(target)
                files.append(File.generated(config, page, content=text_there))
                waiting.append((repository.path_of(page), text_there))
            else:
                files.append(File.generated(config, page, abs_src_path=str(repository.root / target)))


def _named(nav: object) -> Iterator[str]:
    if isinstance(nav, str) and nav.startswith(f"{FOLDER}/"):
        yield nav.removeprefix(f"{FOLDER}/")
    elif isinstance(nav, dict | list):
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(part)
