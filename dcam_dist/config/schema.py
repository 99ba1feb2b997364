"""The configuration tree: frozen, unknown keys refused.

Every choice that the paper leaves open is a field here. A comment or docstring says *paper* where the paper states the
value, and *open* where it does not and the default is ours (DeepCluster's where it has one).
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FLEISCHNER_GRADES = ("absent", "trace", "mild", "moderate", "confluent", "advanced destructive")

Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Shape3 = tuple[Positive, Positive, Positive]


def _fit_for_network(shape: Shape3) -> Shape3:
    if any(size % 16 for size in shape):
        raise ValueError(f"each size must be divisible by 16 (four down-samplings), not {list(shape)}")
    return shape


class Section(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class GridConfig(Section):
    """The training grid: a box around the lungs, resampled (open: the paper gives no input size)."""

    shape: Shape3 = (128, 224, 288)
    """Voxels along (z, y, x); each divisible by 16, the deepest down-sampling of the baseline."""
    fit: Literal["stretch", "spacing"] = "stretch"
    """``stretch``: the lungs' box fills the grid. ``spacing``: fixed voxel size, the lungs centred, the rest air."""
    spacing_mm: tuple[Rate, Rate, Rate] | None = None
    """Voxel size along (z, y, x) for ``fit: spacing``."""
    margin_mm: Annotated[float, Field(ge=0)] = 5.0
    """Added around the lungs' bounding box on each side."""

    @field_validator("shape")
    @classmethod
    def _divisible(cls, shape: Shape3) -> Shape3:
        return _fit_for_network(shape)

    @model_validator(mode="after")
    def _spacing_where_needed(self) -> "GridConfig":
        if (self.fit == "spacing") != (self.spacing_mm is not None):
            raise ValueError("spacing_mm goes with fit: spacing, and only with it")
        return self


class LabelConfig(Section):
    """The label set, in ascending order of severity."""

    names: tuple[str, ...] = FLEISCHNER_GRADES
    """At least two; a table may also give a label by its place, from 0 (paper: the six Fleischner grades)."""

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) < 2 or len({name.casefold() for name in names}) != len(names):
            raise ValueError("a label set needs at least two distinct names")
        return names


class IngestConfig(Section):
    """How scans become a cohort."""

    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of patients in the test split where the table names none (paper: 500 of 2500)."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Dask worker processes; 0: one a core."""
    memory_limit_gb: Annotated[float, Field(ge=0.5)] = 4.0
    """Memory limit of one Dask worker; below the bound it could not even start."""
    max_voxels: Positive = 700_000_000
    """Larger volumes are refused from their header."""
    decode_timeout_s: Positive = 120
    """Longest time that the decoding of one compressed DICOM series may take, in a process of its own."""
    decode_memory_gb: Rate = 4.0
    """Most memory that this process may have."""
    resample_tilt: bool = False
    """Resample scans with a tilted gantry onto a right-angled grid; otherwise they are set aside."""
    allow_cut_lungs: bool = False
    """Keep scans whose first or last slice cuts the lungs, with a flag; otherwise they are set aside."""
    lungmask_weights: Path | None = None
    """Weights of the ``lungmask`` package's R231 network (extra ``lungmask``); null: the classical segmentation."""


class DataConfig(Section):
    """How volumes reach the network."""

    cohort: Path | None = None
    """What ``ingest`` made."""
    window_hu: tuple[float, float] = (-1150.0, -300.0)
    """Mapped to 0…1 and clipped (open; the range of the authors' supervised emphysema network)."""
    prefetch: Positive = 4
    """Volumes read ahead by each rank."""
    threads: Positive = 2
    """Reading threads of each rank."""
    patch: Shape3 | None = None
    """Train on random patches of this shape (z, y, x) that hold lung; null: on whole volumes (paper)."""
    stage: Path | None = None
    """Copy the training volumes to this folder of node-local disk first; ``$TMPDIR`` and the like are expanded."""

    @field_validator("window_hu")
    @classmethod
    def _ordered(cls, window: tuple[float, float]) -> tuple[float, float]:
        if window[0] >= window[1]:
            raise ValueError("window_hu needs its lower bound first")
        return window

    @field_validator("patch")
    @classmethod
    def _divisible(cls, patch: Shape3 | None) -> Shape3 | None:
        return None if patch is None else _fit_for_network(patch)


class NetworkConfig(Section):
    """The feature extraction network f_θ."""

    filters: Positive = 32
    """Filters of the first convolution; the dense features have twice as many (open; authors' public net: 32)."""
    baseline_filters: Positive | None = None
    """First filters of the baseline; null: matched to the proposed network's parameters (paper: "more filters")."""
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the newest batch in the running statistics (open)."""
    norm: Literal["batch", "instance"] = "batch"
    """``batch``: statistics of the global batch. ``instance``: of each scan, without its mean density (open)."""
    checkpointing: Literal["none", "block", "conv", "offload", "deepspeed"] = "none"
    """Activation checkpointing, the same weights under every policy. ``block`` and ``conv`` recompute every block, or
    every convolution, in the backward pass; ``offload`` also keeps the blocks' inputs in main memory; ``deepspeed`` is
    DeepSpeed's own, set in its JSON."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """``bf16``: convolutions compute in bfloat16; parameters, statistics, pooling, head and loss stay float32.
    ``fp16``: the same in float16 with loss scaling, on a GPU. ``auto``: bf16 where the machine is made for it, else
    fp32."""
    compile: bool = False
    """Compile the passes of the normalizations with torch.compile, not the convolutions; the loss agrees to 1e-5."""


class ClusteringConfig(Section):
    """Scale → PCA → k-means, once an epoch."""

    clusters: Annotated[int, Field(ge=2)] = 6
    """Paper: six, as the Fleischner grades."""
    backend: Literal["auto", "sklearn", "torch", "cuml"] = "auto"
    """``sklearn``: the reference, on rank 0's CPU. ``torch``: over the ranks' own rows, on their device, in memory that
    does not grow with them. ``cuml``: on rank 0's GPU (extras ``gpu-cu12``, ``gpu-cu13``). ``auto``: scikit-learn below
    100,000 rows; above them cuML where it is installed on a GPU machine, else torch."""
    pca_components: Positive | Annotated[float, Field(gt=0, lt=1)] = 8
    """How many axes are kept, at most min(cases, channels); below 1: as many as hold this share of the variance (open:
    the paper says "PCA-reduced")."""
    whiten: bool = False
    """DeepCluster whitens; the paper says only "scaled", and whitening ruins silhouette and Davies-Bouldin (open)."""
    l2_normalize: bool = False
    """Row-wise unit length after PCA, as DeepCluster (open)."""
    init: Literal["k-means++", "random"] = "k-means++"
    """First centroids (open; DeepCluster: random rows); torch and cuML take k-means++'s scalable form, k-means‖."""
    iterations: Positive = 20
    """Lloyd iterations (open; DeepCluster: 20)."""
    restarts: Positive = 10
    """Starts, the best of which is kept (open; DeepCluster: 1)."""


class OptimizerConfig(Section):
    """One optimizer with the network and the head as its two groups."""

    name: Literal["sgd", "adam"] = "sgd"
    """Of both groups (open; DeepCluster: SGD)."""
    lr: Rate = 0.05
    """Network (open; DeepCluster: SGD 0.05)."""
    head_lr: Rate = 0.05
    """Head (open; DeepCluster: its own SGD, 0.05, without momentum)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Network only (open; DeepCluster: 0.9)."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    """Both groups (open; DeepCluster: 1e-5)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Both rates over the whole run, step by step (open); ``cosine`` falls to zero."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Both rates rise linearly over so many epochs first (open)."""


class TrainingConfig(Section):
    """The epochs of the DeepCluster cycle."""

    epochs: Positive = 100
    """How often features are extracted, clustered and trained on (open)."""
    batch_size: Positive = 4
    """Cases in a global batch, over all ranks (open). Normalization statistics span it."""
    accumulation: Positive = 1
    """Equal parts in which a global batch goes through the network, to save memory. Normalization statistics then span
    one part, whatever the number of ranks."""
    passes: Positive = 1
    """How often an epoch draws as many cases as the training split has (open)."""
    balance: bool = True
    """Draw every non-empty cluster equally often (DeepCluster's intent; open)."""
    last_relu: bool = True
    """Cluster the features after the last ReLU, f_θ's output in the paper; DeepCluster leaves it out (open)."""
    clip_norm: Rate | None = None
    """Largest norm of the gradient of all parameters; null: not clipped (open)."""
    optimizer: OptimizerConfig = OptimizerConfig()
    skipped_steps: Annotated[int, Field(ge=0)] = 3
    """Steps of an epoch that may be left out because loss or gradient was not finite; one more ends the run."""
    engine: Literal["ddp", "deepspeed"] = "ddp"
    """``ddp``: torch's. ``deepspeed``: ZeRO stage 0, 1 or 2 (extra ``deepspeed``)."""
    deepspeed_config: Path | None = None
    """DeepSpeed's own JSON; null: ZeRO stage 0."""
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2
    """Of the newest; at least two, for it is the next step that shows whether the weights are good."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Longest time between two checkpoints, which are made between steps and between phases; each epoch ends with one
    besides. 0: one at every step and phase."""
    max_minutes: Rate | None = None
    """Save and leave with exit code 75 this long after the start. Slurm's own end of the job is kept to in any case."""
    timeout_s: Positive = 600
    """Longest wait for another rank."""
    rank_logs: bool = False
    """Write a log of each rank into the run's directory."""
    mlflow: Path | None = None
    """A folder for MLflow's files (extra ``mlflow``); nothing is sent anywhere."""

    @model_validator(mode="after")
    def _whole_parts(self) -> "TrainingConfig":
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be divided into accumulation={self.accumulation} equal parts"
            )
        return self


class SupervisedConfig(Section):
    """What ``method: supervised`` adds: the comparison that learns from the labels."""

    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: each grade's loss weighs inversely to its frequency, in place of ``training.balance``, which draws
    the grades equally often (open)."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training patients kept out of training to stop early on; 0: none (open). The test split stays out of
    it."""
    patience: Positive = 10
    """Epochs without a better validation loss after which training stops; the best weights are kept (open)."""


class EvaluationConfig(Section):
    """How the results are judged."""

    permutations: Positive = 1000
    """Shuffles of the labels behind each accuracy's null."""
    bootstrap: Positive = 2000
    """Resamples behind each interval."""
    silhouette_cases: Positive = 5000
    """Above this many cases the silhouette is computed on a seeded sample."""


class MapsConfig(Section):
    """Which maps are made when no case is named."""

    typical_cases: Positive = 2
    """Most typical cases of each cluster (paper, Figure 1: two)."""


class PatternsConfig(Section):
    """Texture patterns: k-means over the dense features of the lungs' voxels (``cluster --features voxel``).

    Scaling, PCA, k-means and backend are those of ``clustering``, which also says how many subtypes are made of them.
    """

    clusters: Annotated[int, Field(ge=2, le=254)] = 12
    """Patterns (open: the paper clusters scans alone)."""
    voxels_per_case: Positive | None = 50_000
    """So many of each training scan's voxels, drawn with a seed of its own, make the patterns; null: all. All voxels of
    all scans are labelled in any case."""
    supervoxel: Literal[1, 2, 4, 8] = 1
    """Cluster the means over cubes of so many voxels along each axis, of their lung voxels; 1: voxels themselves."""
    scratch: Path | None = None
    """Where the features lie meanwhile; null: in the output folder. ``$TMPDIR`` and the like are expanded."""
    keep_features: bool = False
    """Leave them there, with the place of each voxel."""


class Config(Section):
    """Everything that decides a run."""

    method: Literal["dcam", "baseline", "supervised"] = "dcam"
    """``dcam``: the proposed network. ``baseline``: without the up-sampling path. ``supervised``: dcam's on labels."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """All that is drawn is drawn from it."""
    output: Path | None = None
    """The run's directory."""
    labels: LabelConfig = LabelConfig()
    grid: GridConfig = GridConfig()
    ingest: IngestConfig = IngestConfig()
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    training: TrainingConfig = TrainingConfig()
    supervised: SupervisedConfig = SupervisedConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    maps: MapsConfig = MapsConfig()
    patterns: PatternsConfig = PatternsConfig()

    @model_validator(mode="after")
    def _grades_balanced_once(self) -> "Config":
        if self.method == "supervised" and self.training.balance and self.supervised.class_weights == "balanced":
            raise ValueError(
                "supervised.class_weights=balanced on draws that are balanced already would favour rare grades twice; "
                "set training.balance=false or supervised.class_weights=none"
            )
        return self

    @property
    def classes(self) -> int:
        """Channels of the head: clusters, or grades when supervised."""
        return len(self.labels.names) if self.method == "supervised" else self.clustering.clusters
