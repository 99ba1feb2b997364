"""The strict configuration tree and how it is loaded."""

from dcam_dist.config.loading import dump_config, load_config
from dcam_dist.config.schema import Config, GridConfig

__all__ = ["Config", "GridConfig", "dump_config", "load_config"]
