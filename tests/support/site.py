"""The built docs site, read back from its files."""

import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from support.processes import REPOSITORY

LOADING_RELS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}
LOADING_ATTRIBUTES = {"src", "srcset", "poster", "data", "xlink:href"}


@dataclass
class SitePage(HTMLParser):
    """What a page holds.

    Attributes:
        ids: Anchors.
        links: Where it leads.
        loads: What it loads.
        navigation: Links of the site's own navigation.
        cells: The rows of its tables.
        paragraphs: Texts of its paragraphs.
    """

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    navigation: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    paragraphs: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self._open, self._in_navigation = "", 0
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if given.get("id"):
            self.ids.add(given["id"])
        if tag == "nav" and (self._in_navigation or "md-nav--primary" in given.get("class", "")):
            self._in_navigation += 1
        if tag == "a" and "href" in given:
            (self.navigation if self._in_navigation else self.links).append(given["href"])
        if tag == "link" and LOADING_RELS & set(given.get("rel", "").split()):
            self.loads.append(given["href"])
        self.loads += [given[name] for name in LOADING_ATTRIBUTES & set(given)]
        self._start_text(tag)

    def _start_text(self, tag):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag == "p":
            self.paragraphs.append("")
        if tag in ("td", "th", "p"):
            self._open = tag

    def handle_endtag(self, tag):
        self._in_navigation -= tag == "nav" and self._in_navigation > 0
        if tag == self._open:
            self._open = ""

    def handle_data(self, data):
        if self._open == "p":
            self.paragraphs[-1] += data
        elif self._open and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def target(self, link: str) -> tuple[Path, str] | None:
        """File and anchor that a link leads to; none where it leads out of the site."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return None
        file = (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path.resolve()
        return file / "index.html" if file.is_dir() else file, unquote(parts.fragment)


def build_site(folder: Path) -> tuple[int, str]:
    """Build the site into a folder: exit code and all that was said."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
