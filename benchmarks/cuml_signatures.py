"""Whether the real cuML and CuPy take what the cuML backend passes: they import and construct without a GPU.

    python -m benchmarks.cuml_signatures --out DIR

Needs cuML and CuPy, as the extra gpu-cu13 installs them; beside a torch for CPUs they work too. Nothing is computed.
"""

import argparse
import inspect
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.report import table
from dcam_dist.clustering.cuml_check import load_libraries, new_kmeans, new_pca
from dcam_dist.config.schema import ClusteringConfig
from dcam_dist.errors import EnvironmentFault

PACKAGES = ("cuml-cu13", "cuml-cu12", "cupy-cuda13x", "cupy-cuda12x", "torch", "numpy", "scikit-learn")
READ = {"PCA": ("components_", "explained_variance_"), "KMeans": ("cluster_centers_",)}
"""What the backend reads of a fitted object."""


@dataclass(frozen=True)
class Check:
    """One call, held against the real libraries.

    Attributes:
        call: As the backend makes it.
        problem: Empty where it is taken.
    """

    call: str
    problem: str


def checks() -> Iterator[Check]:
    """All calls of the backend."""
    from dcam_dist.clustering import cuml_libraries

    made: list[tuple[str, dict[str, Any], Any]] = []

    def noting(name: str) -> Any:
        def make(**options: Any) -> None:
            made.append((name, options, getattr(cuml_libraries, name)))

        return make

    noted: Any = SimpleNamespace(PCA=noting("PCA"), KMeans=noting("KMeans"))
    new_pca(noted, 8)
    for init in ("k-means++", "random"):
        new_kmeans(noted, ClusteringConfig(init=init), 2**32 - 1)
    for name, options, real in made:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        yield Check(f"cuml.{name}({given})", _constructs(real, options))
    for name, attributes in READ.items():
        real = getattr(cuml_libraries, name)
        yield Check(f"cuml.{name}.fit(X)", _binds(real.fit, None, "X"))
        for attribute in attributes:
            yield Check(f"cuml.{name}.{attribute}", "" if hasattr(real, attribute) else "no such attribute")
    cupy = cuml_libraries.cupy
    yield Check("cupy.from_dlpack(tensor)", "" if callable(cupy.from_dlpack) else "no such function")
    yield Check(
        "cupy.cuda.Device(index)", "" if {"__enter__", "__exit__"} <= set(dir(cupy.cuda.Device)) else "no context"
    )
    for name in ("mean", "var", "astype", "__isub__", "__itruediv__", "__dlpack__"):
        yield Check(f"cupy.ndarray.{name}", "" if hasattr(cupy.ndarray, name) else "no such method")


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def first_use() -> str:
    """What becomes of the backend's trial on this machine."""
    try:
        return f"{load_libraries('cuda:0').VERSIONS}: PCA and k-means of a few rows ran on this machine's GPU"
    except EnvironmentFault as fault:
        return str(fault)


def main() -> None:
    """Write ``OUT/cuml_signatures.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = [[f"`{one.call}`", one.problem or "yes"] for one in checks()]
    packages = ", ".join(f"{name} {found}" for name, found in versions().items())
    text = f"""# The cuML backend's calls against the real libraries

{table(["call", "taken"], rows)}

Signatures and construction only: nothing of this was computed. What the first use says here: {first_use()}

{platform.platform()}, Python {platform.python_version()}, {packages}.
`python -m benchmarks.cuml_signatures --out DIR`
"""
    out.mkdir(parents=True, exist_ok=True)
    (out / "cuml_signatures.md").write_text(text, encoding="utf-8")
    print(text)


def _constructs(real: Any, options: dict[str, Any]) -> str:
    problem = _binds(real, **options)
    if problem:
        return problem
    kept = real(**options).get_params()
    return ", ".join(f"{key} became {kept[key]!r}" for key, value in options.items() if kept[key] != value)


def _binds(real: Any, *arguments: Any, **options: Any) -> str:
    try:
        inspect.signature(real).bind(*arguments, **options)
    except TypeError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    main()
