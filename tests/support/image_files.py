"""What Dockerfiles, Apptainer definitions and a .dockerignore say, parsed as far as the tests ask."""

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Dockerfile:
    """Its instructions in their order: name and arguments, lines joined and comments left out."""

    instructions: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [arguments for instruction, arguments in self.instructions if instruction == name]

    def one(self, name: str) -> str:
        (arguments,) = self.all(name)
        return arguments

    def pairs(self, name: str) -> dict[str, str]:
        """The ``KEY=VALUE`` of all LABEL or ENV instructions."""
        return dict(word.split("=", 1) for arguments in self.all(name) for word in shlex.split(arguments))

    def commands(self) -> list[str]:
        """The shell commands of all RUN instructions."""
        return [command for arguments in self.all("RUN") for command in re.split(r"\s+&&\s+", arguments)]

    def copies(self) -> list[tuple[str, str]]:
        """Source and destination; one that ends in ``/`` has the source's own name added."""
        pairs = []
        for arguments in self.all("COPY"):
            *sources, destination = shlex.split(arguments)
            for source in sources:
                into = destination.endswith("/")
                pairs.append((source, destination + PurePosixPath(source).name if into else destination))
        return pairs


def parse_dockerfile(text: str) -> Dockerfile:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    instructions = [tuple(re.split(r"\s+", line.strip(), maxsplit=1)) for line in joined.splitlines()]
    return Dockerfile([(name, re.sub(r"\s+", " ", arguments)) for name, arguments in instructions])


@dataclass(frozen=True)
class Definition:
    """The header of an Apptainer definition, and the text of each section."""

    header: dict[str, str]
    sections: dict[str, str]

    def lines(self, section: str) -> list[str]:
        stripped = (line.strip() for line in self.sections[section].splitlines())
        return [line for line in stripped if line and not line.startswith("#")]

    def pairs(self, section: str) -> dict[str, str]:
        """The first word of each line, and the rest."""
        return dict(re.split(r"\s+", line, maxsplit=1) for line in self.lines(section))

    def exports(self) -> dict[str, str]:
        exported = (line.removeprefix("export ") for line in self.lines("environment") if line.startswith("export "))
        return {name: value.strip('"') for name, value in (line.split("=", 1) for line in exported)}


def parse_definition(text: str) -> Definition:
    header, *rest = re.split(r"^%(\w+)[ \t]*\n", text, flags=re.MULTILINE)
    titles, bodies = rest[::2], rest[1::2]
    assert len(set(titles)) == len(titles), "a section is there twice"
    return Definition(
        {key: value.strip() for key, value in (line.split(":", 1) for line in header.splitlines() if line.strip())},
        dict(zip(titles, bodies, strict=True)),
    )


def sent(dockerignore: str, path: str) -> bool:
    """Whether any builder gets a file.

    By Docker's rules the last that matches it, or a folder it is in, decides. Builders other than BuildKit moreover go
    into a folder that is left out only when a ``!`` rule begins with that folder's very name.
    """
    rules = [line.strip() for line in dockerignore.splitlines() if line.strip() and not line.startswith("#")]
    folders = [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "."]
    return _kept(rules, path) and all(
        _kept(rules, folder) or any(rule.startswith(f"!{folder}/") for rule in rules) for folder in folders
    )


def _kept(rules: list[str], path: str) -> bool:
    names = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    kept = True
    for rule in rules:
        pattern = _regex(rule.removeprefix("!"))
        if any(pattern.fullmatch(name) for name in names):
            kept = rule.startswith("!")
    return kept


def _regex(rule: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?)", rule.strip("/"))
    return re.compile("".join(parts.get(token, re.escape(token)) for token in tokens))
