"""One rank of the loop that ``benchmarks.peers_cycle`` compares with: DeepCluster brought to volumes, written plainly.

    python -m benchmarks.cycle_port ARRAYS OUT SETTING…

What one writes who has a folder of `.npy` files, torch, scikit-learn and faiss: modules of torch.nn in float32, a
DataLoader that reads in the training process itself, features gathered as Python objects into one NumPy array, the
sampler that draws clusters alike, DDP and its sampler that pads. Rank 0 writes a line and a checkpoint an epoch.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torch.utils.data.distributed import DistributedSampler

from benchmarks.peers import find
from benchmarks.plain_unet import PlainUNet
from dcam_dist.config import Config, load_config
from dcam_dist.distributed import open_processes

Item = tuple[Tensor, Tensor, int, int]
HU, MASK, LOG = "hu", "mask", "metrics.jsonl"


def main() -> None:
    """All epochs."""
    arrays, out, *settings = sys.argv[1:]
    with open_processes() as context:
        port = make_port(load_config(None, settings), Path(arrays), context.rank, context.world_size)
        for epoch in range(port.config.training.epochs):
            told = run_epoch(port, epoch)
            if context.rank == 0:
                Path(out).mkdir(exist_ok=True)
                with (Path(out) / LOG).open("a", encoding="utf-8") as log:
                    log.write(f"{json.dumps({'epoch': epoch, **told})}\n")
                momenta = (state["momentum_buffer"] for state in port.optimizer.state.values())
                kept = {f"momentum.{place}": momentum for place, momentum in enumerate(momenta)}
                save_file({**port.network.state_dict(), **kept}, Path(out) / "checkpoint.safetensors")


def run_epoch(port: "Port", epoch: int) -> dict[str, Any]:
    """Extract, cluster, reset the head, train; what it took and what was drawn."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "extract"):
        features_MC, row_M = extract(port)
    with _timed(seconds, "cluster"):
        port.cases.label_N = cluster(port, features_MC, row_M, epoch)
    with _timed(seconds, "reset"):
        head_optimizer = reset_head(port, epoch)
    drawn = uniform_by_cluster(port.cases.label_N, port.draws, np.random.default_rng((port.config.seed, epoch)))
    with _timed(seconds, "train"):
        loss, trained, waited = train(port, drawn, head_optimizer)
    return {
        "seconds": seconds,
        "loss": loss,
        "waited": waited,
        "rows_clustered": len(row_M),
        "drawn": trained * port.ranks,
    }


@torch.no_grad()
def extract(port: "Port") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The rows of all ranks one after the other, and whose they are; torch's sampler pads, so a case may come twice."""
    port.network.eval()
    sampler: DistributedSampler[Item] = DistributedSampler(port.cases, port.ranks, port.rank, shuffle=False)
    found, rows = [], []
    for volume, mask, _, row in DataLoader(port.cases, port.share, sampler=sampler):
        found.append(port.network.pooled(volume, mask).numpy())
        rows.append(row.numpy())
    mine = np.concatenate(found), np.concatenate(rows)
    parts: list[Any] = [mine]
    if port.ranks > 1:
        parts = [None] * port.ranks
        dist.all_gather_object(parts, mine)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def cluster(port: "Port", features_MC: NDArray[np.float32], row_M: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
    """The cluster of each case, from rank 0. A padded row counts as any other."""
    told: list[Any] = [None]
    if port.rank == 0:
        label_N = np.zeros(len(port.cases), dtype=np.int64)
        label_N[row_M] = assign(features_MC, port.config, port.config.seed + epoch)
        told = [label_N]
    if port.ranks > 1:
        dist.broadcast_object_list(told)
    labels: NDArray[np.int64] = told[0]
    return labels


def assign(features_MC: NDArray[np.float32], config: Config, seed: int) -> NDArray[np.int64]:
    """Scaled, reduced, clustered: scikit-learn, and faiss where it is installed."""
    settings = config.clustering
    axes = min(int(settings.pca_components), *features_MC.shape)
    points = PCA(axes).fit_transform(StandardScaler().fit_transform(features_MC)).astype(np.float32)
    faiss = find("faiss")
    if faiss is None:
        means = KMeans(settings.clusters, n_init=settings.restarts, max_iter=settings.iterations, random_state=seed)
        labels: NDArray[np.int64] = means.fit_predict(points).astype(np.int64)
        return labels
    kmeans = faiss.Kmeans(
        axes,
        settings.clusters,
        niter=settings.iterations,
        nredo=settings.restarts,
        seed=seed,
        min_points_per_centroid=1,
    )
    kmeans.train(points)
    nearest: NDArray[np.int64] = kmeans.index.search(points, 1)[1][:, 0]
    return nearest


def uniform_by_cluster(label_N: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """As DeepCluster's sampler means it: as many of each cluster, some twice where it is small, rounded up and cut."""
    groups = [np.flatnonzero(label_N == label) for label in np.unique(label_N)]
    each = draws // len(groups) + 1
    drawn = np.concatenate([rng.choice(group, each, replace=len(group) <= each) for group in groups])
    return rng.permutation(drawn)[:draws]


def reset_head(port: "Port", epoch: int) -> torch.optim.Optimizer:
    """Random weights in place, the same on all ranks, and an optimizer of its own."""
    generator, head = torch.Generator().manual_seed(port.config.seed + epoch), port.network.head
    nn.init.normal_(head.weight, 0, 0.01, generator=generator)
    nn.init.zeros_(head.bias)
    settings = port.config.training.optimizer
    return torch.optim.SGD(head.parameters(), settings.head_lr, weight_decay=settings.weight_decay)


def train(port: "Port", drawn: NDArray[np.int64], head_optimizer: torch.optim.Optimizer) -> tuple[float, int, float]:
    """One pass over the draws: mean loss, this rank's draws, seconds waited for volumes."""
    port.network.train()
    chosen = Subset(port.cases, drawn.tolist())
    sampler: DistributedSampler[Item] = DistributedSampler(chosen, port.ranks, port.rank, shuffle=False)
    losses, count, waits = 0.0, 0, [0.0]
    for volume, mask, label, _ in _waited(DataLoader(chosen, port.share, sampler=sampler), waits):
        port.optimizer.zero_grad()
        head_optimizer.zero_grad()
        loss = F.cross_entropy(port.trained(volume, mask), label)
        torch.autograd.backward(loss)
        port.optimizer.step()
        head_optimizer.step()
        losses, count = losses + float(loss.detach()) * len(label), count + len(label)
    return losses / count, count, waits[0]


def write_arrays(folder: Path, volumes: Iterable[tuple[NDArray[np.int16], NDArray[np.bool_]]]) -> None:
    """Each case's HU and lung mask as two ``.npy`` files."""
    for name in (HU, MASK):
        (folder / name).mkdir(parents=True)
    for number, (hu, mask) in enumerate(volumes):
        np.save(folder / HU / f"{number:04d}.npy", hu)
        np.save(folder / MASK / f"{number:04d}.npy", mask)


def make_port(config: Config, arrays: Path, rank: int, ranks: int) -> "Port":
    """The network, its optimizer and the cases; every rank begins with the same weights."""
    torch.manual_seed(config.seed)
    network = PlainUNet(config.network.filters, config.classes, dtype=torch.float32, norm="batch", recompute=False)
    settings = config.training.optimizer
    body = [parameter for name, parameter in network.named_parameters() if not name.startswith("head.")]
    optimizer = torch.optim.SGD(body, settings.lr, settings.momentum, weight_decay=settings.weight_decay)
    trained = nn.parallel.DistributedDataParallel(network) if ranks > 1 else network
    cases = Cases(sorted((arrays / HU).iterdir()), sorted((arrays / MASK).iterdir()), config.data.window_hu)
    return Port(config, cases, network, trained, optimizer, rank, ranks)


def _waited(batches: Iterable[Any], waits: list[float]) -> Iterator[Any]:
    """The batches, with the seconds that each was waited for added up."""
    started = time.perf_counter()
    for batch in batches:
        waits[0] += time.perf_counter() - started
        yield batch
        started = time.perf_counter()


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started


class Cases(Dataset[Item]):
    """The windowed volume, the mask, the pseudo-label and the number of a case."""

    def __init__(self, volumes: Sequence[Path], masks: Sequence[Path], window_hu: tuple[float, float]) -> None:
        self.volumes, self.masks, self.window_hu = volumes, masks, window_hu
        self.label_N = np.zeros(len(volumes), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.volumes)

    def __getitem__(self, row: int) -> Item:
        low, high = self.window_hu
        volume = np.clip((np.load(self.volumes[row]).astype(np.float32) - low) / (high - low), 0, 1)
        mask = np.load(self.masks[row])
        return torch.from_numpy(volume)[None], torch.from_numpy(mask)[None], int(self.label_N[row]), row


@dataclass(frozen=True, eq=False)
class Port:
    """What the loop keeps from epoch to epoch.

    Attributes:
        config: The settings that ours takes as well.
        cases: On disk.
        network: The modules.
        trained: The same, in torch's DDP on several ranks.
        optimizer: Of all but the head.
        rank: Of this process.
        ranks: How many there are.
    """

    config: Config
    cases: Cases
    network: PlainUNet
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    rank: int
    ranks: int

    @property
    def share(self) -> int:
        """Cases of a batch on this rank."""
        return self.config.training.batch_size // self.ranks

    @property
    def draws(self) -> int:
        """Of an epoch, over all ranks: whole batches, as ours."""
        settings = self.config.training
        return -(-settings.passes * len(self.cases) // settings.batch_size) * settings.batch_size


if __name__ == "__main__":
    main()
