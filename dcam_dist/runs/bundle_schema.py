"""``bundle.json``: every field, with its bounds. A bundle may come from anywhere, so what is not here is refused."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from dcam_dist.config import Config
from dcam_dist.config.schema import ClusteringConfig, GridConfig, LabelConfig, NetworkConfig, Section
from dcam_dist.runs.trained_on import Count, TrainedOn

FORMAT = 1
KIND = "dcam-dist bundle"
MOST_VOXELS, MOST_VALUES = 1 << 26, 1 << 31
"""Of the training grid, eight times the paper's; and of its dense features, which take some 20 bytes each in a pass."""
MOST_FILTERS, MOST_CLASSES, LONGEST_NAME = 1024, 255, 64
"""The winning class of a voxel is one byte, and 0 lies outside the lungs."""
WIDEST_HU, NARROWEST_WINDOW, SPACING_MM, WIDEST_MARGIN_MM = 1e5, 1.0, (0.1, 50.0), 200.0

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, Field(max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$")]


class BundleIngest(Section):
    """The settings of ingest that decide what the network sees."""

    resample_tilt: bool
    allow_cut_lungs: bool


class BundleSettings(Section):
    """The part of a run's configuration that a new scan needs; it names no path."""

    method: Literal["dcam", "baseline", "supervised"]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    labels: LabelConfig
    grid: GridConfig
    ingest: BundleIngest
    window_hu: tuple[float, float]
    network: NetworkConfig
    last_relu: bool
    clustering: ClusteringConfig

    @classmethod
    def of(cls, config: Config) -> "BundleSettings":
        """The settings of a run, its network in the form that is applied: nothing to recompute, nothing to compile."""
        return cls(
            method=config.method,
            seed=config.seed,
            labels=config.labels,
            grid=config.grid,
            ingest=BundleIngest(
                resample_tilt=config.ingest.resample_tilt, allow_cut_lungs=config.ingest.allow_cut_lungs
            ),
            window_hu=config.data.window_hu,
            network=config.network.model_copy(update={"checkpointing": "none", "compile": False}),
            last_relu=config.training.last_relu,
            clustering=config.clustering,
        )

    def config(self) -> Config:
        """As a configuration, everything else at its default."""
        return Config.model_validate(
            {
                "method": self.method,
                "seed": self.seed,
                "labels": self.labels,
                "grid": self.grid,
                "ingest": self.ingest.model_dump(),
                "data": {"window_hu": self.window_hu},
                "network": self.network,
                "training": {"last_relu": self.last_relu},
                "clustering": self.clustering,
            }
        )

    @model_validator(mode="after")
    def _of_a_chest(self) -> Self:
        low, high = self.window_hu
        if max(abs(low), abs(high)) > WIDEST_HU or high - low < NARROWEST_WINDOW:
            raise ValueError("an HU window that is none of a CT")
        if any(not SPACING_MM[0] <= size <= SPACING_MM[1] for size in self.grid.spacing_mm or ()):
            raise ValueError(f"voxels of a size that is not used ({SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm)")
        if self.grid.margin_mm > WIDEST_MARGIN_MM:
            raise ValueError(f"a margin that is wider than {WIDEST_MARGIN_MM:g} mm")
        return self

    @model_validator(mode="after")
    def _of_a_size_that_is_used(self) -> Self:
        z, y, x = self.grid.shape
        filters = max(self.network.filters, self.network.baseline_filters or 0)
        if z * y * x > MOST_VOXELS or max(z, y, x) > 4096:
            raise ValueError("a grid larger than any that is used")
        if filters > MOST_FILTERS or z * y * x * filters > MOST_VALUES:
            raise ValueError("a network larger than any that is used")
        if self.network.compile or self.network.checkpointing != "none" or self.network.precision == "auto":
            raise ValueError("a network that is not in the form that is applied")
        if max(self.clustering.clusters, len(self.labels.names)) > MOST_CLASSES:
            raise ValueError("more classes than are used")
        if any(not name.isprintable() or not 0 < len(name) <= LONGEST_NAME for name in self.labels.names):
            raise ValueError("a label that is no name")
        return self


class BundleAbout(Section):
    """All of ``bundle.json``."""

    format: Literal[1]
    kind: Literal["dcam-dist bundle"]
    settings: BundleSettings
    epochs: Count
    """That training took."""
    class_sizes: Annotated[list[Count], Field(max_length=MOST_CLASSES)]
    """Training cases of each cluster or grade."""
    trained_on: TrainedOn | None
    """``null``: the cohort was not at hand when the bundle was written."""
    run_sha256: Digest
    """Names the run without saying where it is: a hash of its closing checkpoint."""
    versions: Annotated[dict[Version, Version], Field(max_length=50)]

    @model_validator(mode="after")
    def _a_size_for_each_class(self) -> Self:
        if len(self.class_sizes) != self.settings.config().classes:
            raise ValueError("another number of class sizes than of classes")
        return self


class BundleKind(Section):
    """What is looked at first, for a newer format has other fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Annotated[int, Field(ge=1, le=10**6)]
    kind: str
