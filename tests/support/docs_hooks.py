"""The hooks of the docs site, which are no package: modules in a folder."""

import sys
from importlib import import_module
from types import ModuleType

from support.processes import REPOSITORY


def docs_hook(name: str) -> ModuleType:
    """A module of ``docs/hooks``."""
    folder = str(REPOSITORY / "docs" / "hooks")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name)
