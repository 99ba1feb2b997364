"""The command line, one file a verb."""

from dcam_dist.commands.app import app

__all__ = ["app"]
