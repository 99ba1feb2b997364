"""Branching vessel trees that fill the lungs from their roots and taper outwards."""

import numpy as np
from numpy.typing import NDArray

from dcam_dist.phantom.fields import Field, Frame, Point

Points = NDArray[np.float64]

LEAF_RADIUS_MM = 0.78
ROOT_RADIUS_MM = 6.5
BRANCHING_EXPONENT = 2.7  # Murray's law has 3; pulmonary arteries measure a little lower
PATH_WEIGHT = 0.35  # between a shortest spanning tree (0) and straight spokes from the root (large)
PLEURA_MM = 5.0


def vessel_fraction(
    frame: Frame, lungs: Field, roots: list[Point], tips: int, spare: Field | None, rng: np.random.Generator
) -> Field:
    """Share of each voxel that vessels fill, 0…1, shape ``(D, H, W)``.

    Args:
        frame: The voxels.
        lungs: Distance field of the lungs.
        roots: Where the trees start, ``(z, y, x)``; each grows into the lung on its side of the midline.
        tips: End points of each tree.
        spare: Destroyed share of the tissue, 0…1, where most vessels are gone; none if ``None``.
        rng: Draws the tips.
    """
    pieces: list[tuple[Points, Points, Points]] = []
    for root in roots:
        ends = _draw_tips(frame, lungs, np.sign(root[2]), tips, spare, rng)
        nodes, parent = grow_tree(np.array(root), ends)
        pieces.append(_walk(nodes, parent, branch_radii(parent)))
    points, radii, steps = (np.concatenate(values) for values in zip(*pieces, strict=True))
    return _splat(frame, points, radii, steps)


def grow_tree(root: Points, tips: Points) -> tuple[Points, NDArray[np.int64]]:
    """Connect points to a root by the least of (edge length + weighted path to the root), greedily.

    Source: Cuntz et al., "One rule to grow them all", PLoS Comput. Biol. 2010.

    Args:
        root: Position, shape ``(3,)``.
        tips: Positions, shape ``(N, 3)``.

    Returns:
        The nodes in the order of growth, shape ``(N + 1, 3)``, and the parent of each (−1 for the root, which is 0).
    """
    count = len(tips)
    order = np.zeros(count + 1, dtype=np.int64)
    parent = np.full(count + 1, -1, dtype=np.int64)
    edge = np.linalg.norm(tips - root, axis=1)
    cost, nearest, path = edge.copy(), np.zeros(count, dtype=np.int64), np.zeros(count + 1)
    for step in range(1, count + 1):
        best = int(np.argmin(cost))
        order[step], parent[step] = best, nearest[best]
        path[step] = path[nearest[best]] + edge[best]
        distance = np.sqrt(((tips - tips[best]) ** 2).sum(axis=1))
        cost[best] = np.inf
        closer = (distance + PATH_WEIGHT * path[step] < cost) & np.isfinite(cost)
        cost[closer] = distance[closer] + PATH_WEIGHT * path[step]
        edge[closer], nearest[closer] = distance[closer], step
    return np.vstack([root, tips[order[1:]]]), parent


def branch_radii(parent: NDArray[np.int64]) -> Points:
    """Radius of the vessel that leads to each node, in millimetres: cross-sections add up towards the root."""
    load = np.ones(len(parent))
    has_child = np.zeros(len(parent), dtype=bool)
    has_child[parent[1:]] = True
    load[has_child] = 0.35  # a passing branch carries its tips' flow and little of its own
    for node in range(len(parent) - 1, 0, -1):
        load[parent[node]] += load[node]
    radii = np.minimum(LEAF_RADIUS_MM * load ** (1 / BRANCHING_EXPONENT), ROOT_RADIUS_MM)
    return np.asarray(radii, dtype=np.float64)


def _draw_tips(
    frame: Frame, lungs: Field, side: float, tips: int, spare: Field | None, rng: np.random.Generator
) -> Points:
    at = np.flatnonzero((lungs < -PLEURA_MM) & (frame.x * side > 0))
    chosen = at[rng.integers(0, at.size, tips)]
    survival = rng.random(tips)
    jitter = rng.uniform(-0.5, 0.5, (tips, 3)) * frame.spacing_mm
    if spare is not None:
        keep = survival > 0.8 * spare.reshape(-1)[chosen]
        chosen, jitter = chosen[keep], jitter[keep]
    index = np.stack(np.unravel_index(chosen, frame.shape), axis=1)
    return np.asarray(frame.origin_mm + index * frame.spacing_mm + jitter, dtype=np.float64)


def _walk(nodes: Points, parent: NDArray[np.int64], radii: Points) -> tuple[Points, Points, Points]:
    """Points along every edge, a little over 1 mm apart: positions, radii, and the length that each stands for."""
    start, end = nodes[parent[1:]], nodes[1:]
    span = end - start
    length = np.linalg.norm(span, axis=1)
    pieces = np.maximum(np.ceil(length / 1.2), 1).astype(np.int64)
    edge = np.repeat(np.arange(len(pieces)), pieces)
    place = (np.arange(edge.size) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5) / pieces[edge]
    # Bow each edge sideways, so that vessels curve from node to node.
    bow = np.cross(span, np.roll(span, 1, axis=1))
    bow /= np.maximum(np.linalg.norm(bow, axis=1, keepdims=True), 1e-9)
    aside = bow * (0.10 * length)[:, None]
    points = start[edge] + span[edge] * place[:, None] + aside[edge] * np.sin(np.pi * place)[:, None]
    inlet = radii[np.maximum(parent[1:], 0)]
    taper = np.minimum(inlet, 1.35 * radii[1:])
    along = taper[edge] + (radii[1:] - taper)[edge] * place
    return points, along, (length / pieces)[edge]


def _splat(frame: Frame, points: Points, radii: Points, steps: Points) -> Field:
    """Add up the tubes' volume on the voxels, trilinearly: thin vessels get their true partial volume."""
    copies = np.ceil((radii / (0.35 * frame.spacing_mm[1:].mean())) ** 2).clip(1, 80).astype(np.int64)
    which = np.repeat(np.arange(len(points)), copies)
    turn = np.arange(which.size) * 2.399963  # the golden angle spreads the copies evenly over the cross-section
    rank = (np.arange(which.size) - np.repeat(np.cumsum(copies) - copies, copies) + 0.5) / copies[which]
    reach = radii[which] * np.cbrt(rank)
    tilt = np.arange(which.size) * 0.618034 % 1.0 * 2 - 1
    flat = np.sqrt(1 - tilt**2)
    offset = np.stack([tilt, flat * np.sin(turn), flat * np.cos(turn)], axis=1) * reach[:, None]
    position = (points[which] + offset - frame.origin_mm) / frame.spacing_mm
    volume = np.pi * radii**2 * steps / copies / np.prod(frame.spacing_mm)
    return np.minimum(_deposit(frame.shape, position, volume[which]), 1)


def _deposit(shape: tuple[int, int, int], position: Points, weight: Points) -> Field:
    base = np.floor(position).astype(np.int64)
    part = position - base
    total = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        index = base + corner
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        share = np.where(corner, part, 1 - part).prod(axis=1) * weight
        flat = (index[:, 0] * shape[1] + index[:, 1]) * shape[2] + index[:, 2]
        total += np.bincount(flat[inside], share[inside], total.size)
    return total.reshape(shape).astype(np.float32)
