"""YAML from anywhere: plain values, bounded in size, and no surprise that PyYAML has in store."""

from collections.abc import Hashable
from typing import Any

import yaml

MOST_CHARACTERS = 32 << 10
"""Configurations are a few kilobytes; PyYAML takes a second for each hundred."""
_LONGEST_MESSAGE = 200
_INT_BITS = 63


def parse_yaml(text: str) -> Any:
    """Read one YAML document.

    Args:
        text: The document.

    Returns:
        Its value, of the plain types that YAML knows.

    Raises:
        ValueError: Malformed YAML, or YAML with aliases (a few of them unfold to gigabytes), a doubled or unnamed key,
            text with NUL or half characters, numbers beyond 64 bits, or too much of it. In one line.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"more than {MOST_CHARACTERS >> 10} kB")
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except Exception as error:  # PyYAML raises almost any type on malformed values: KeyError, AttributeError and more
        about = str(error) if isinstance(error, yaml.YAMLError) else type(error).__name__
        raise ValueError(f"not valid YAML: {' '.join(about.split())[:_LONGEST_MESSAGE]}") from None
    check_plain(tree)
    return tree


def check_plain(tree: Any) -> None:
    """Refuse what no setting can be, but what breaks printing, paths or arithmetic later.

    Raises:
        ValueError: In one line.
    """
    if isinstance(tree, dict):
        if not all(isinstance(key, str) for key in tree):
            raise ValueError("a key that is no text")
        for item in (*tree, *tree.values()):
            check_plain(item)
    elif isinstance(tree, list | tuple | set):
        for item in tree:
            check_plain(item)
    elif isinstance(tree, str) and ("\0" in tree or any("\ud800" <= letter <= "\udfff" for letter in tree)):
        raise ValueError("text with NUL or half characters")
    elif isinstance(tree, int) and tree.bit_length() > _INT_BITS:
        raise ValueError("a number beyond 64 bits")


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)
