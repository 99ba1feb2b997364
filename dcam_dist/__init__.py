"""Deep Clustering Activation Maps: unsupervised emphysema subtyping from chest CT, distributed over GPUs.

Each verb of the command line is a plain function here. Importing the package imports neither torch nor CUDA:
a function's module is loaded when the function is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "write_phantom_cohort": "dcam_dist.phantom",
    "ingest": "dcam_dist.ingest",
    "open_cohort": "dcam_dist.cohort",
    "load_config": "dcam_dist.config",
    "train": "dcam_dist.training",
    "evaluate": "dcam_dist.evaluation",
    "write_maps": "dcam_dist.maps",
    "run_demo": "dcam_dist.commands.demo",
}

__all__ = [
    "__version__",
    "evaluate",
    "ingest",
    "load_config",
    "open_cohort",
    "run_demo",
    "train",
    "write_maps",
    "write_phantom_cohort",
]

if TYPE_CHECKING:
    from dcam_dist.cohort import open_cohort
    from dcam_dist.commands.demo import run_demo
    from dcam_dist.config import load_config
    from dcam_dist.evaluation import evaluate
    from dcam_dist.ingest import ingest
    from dcam_dist.maps import write_maps
    from dcam_dist.phantom import write_phantom_cohort
    from dcam_dist.training import train


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'dcam_dist' has no attribute {name!r}")
