"""From layer to layer: kernels and all tensors of first order in 1/width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.systems.finite_width import differentials, fluctuations
from solvers.systems.finite_width.averages import KINKED, Averages
from solvers.systems.finite_width.contractions import lifted
from solvers.systems.infinite_width.averages import pair

Array = np.ndarray
TWO_INDICES = ("G", "G1", "H", "H1")
FOUR_INDICES = ("V", "A", "B", "D", "F", "P", "Q", "R", "S", "T", "U")
LARGEST = 1e60
"""Kernels beyond this are called infinite."""


@dataclass(frozen=True)
class Layers:
    """Tensors of every layer: nan after a kernel passed `LARGEST`, and where one does not exist."""

    tensors: dict[str, Array]
    """letter -> (points, depth, n, ...)"""
    ended: Array
    """(points,) first layer whose kernel is infinite, 0 if there is none"""
    vanished: Array
    """(points,) first layer with a kernel of zero, where a kink cannot be averaged; else 0"""
    resolved: Array
    """(points,) False where an average asked for more nodes than the rules have"""


def layers(activation: str, products: Array, *, depth: int, rates: dict[str, Array]) -> Layers:
    """All layers, for products x_a·x_b/n_0 (points, n, n) and columns c_b, c_w, lambda_*."""
    points, n = products.shape[:2]
    shapes = dict.fromkeys(TWO_INDICES, (n, n)) | dict.fromkeys(FOUR_INDICES, (n,) * 4)
    tensors = {name: np.full((points, depth, *s), np.nan) for name, s in shapes.items()}
    ended, vanished = np.zeros((2, points), dtype=int)
    resolved = np.ones(points, dtype=bool)
    layer = {name: np.zeros((points, *s)) for name, s in shapes.items()}
    layer["G"] = lifted(rates["c_b"], 2) + lifted(rates["c_w"], 2) * products
    layer["H"] = lifted(rates["lambda_b"], 2) + lifted(rates["lambda_w"], 2) * products
    alive = np.arange(points)
    for at in range(depth):
        variance = np.einsum("paa->pa", layer["G"])
        finite = np.all(variance < LARGEST, axis=1)
        above = np.all(variance > 0.0, axis=1) | (activation not in KINKED)
        ended[alive[~finite]] = at + 1
        vanished[alive[finite & ~above]] = at + 1
        keep = finite & above
        alive = alive[keep]
        layer = {name: tensor[keep] for name, tensor in layer.items()}
        rates = {name: column[keep] for name, column in rates.items()}
        if not len(alive):
            break
        for name, tensor in layer.items():
            tensors[name][alive, at] = tensor
        if at + 1 < depth:
            layer, fine = _next(activation, layer, rates)
            resolved[alive] &= fine
    return Layers(tensors, ended, vanished, resolved)


def _next(activation: str, layer: dict[str, Array], rates: dict[str, Array]):
    if activation == "step":
        return _next_of_step(layer, rates)
    patterns = (*fluctuations.TWO, *fluctuations.FOUR, *differentials.FOUR)
    found = Averages(activation, layer["G"], patterns)
    after = fluctuations.next_kernel(found, layer, rates)
    after |= fluctuations.next_tangent(found, layer, after, rates)
    after |= differentials.next_differentials(found, layer, rates)
    return after, found.resolved


def _next_of_step(layer: dict[str, Array], rates: dict[str, Array]):
    """A step has kernels, a vertex, and an NTK that is infinite at equal inputs; no more."""
    patterns = (*fluctuations.TWO_OF_KERNEL, *fluctuations.FOUR_OF_KERNEL)
    found = Averages("step", layer["G"], patterns)
    after = fluctuations.next_kernel(found, layer, rates)
    variance = np.einsum("paa->pa", layer["G"])
    slopes = pair("step", variance[:, :, None], variance[:, None], layer["G"])[1]
    after["H"] = (
        lifted(rates["lambda_b"], 2)
        + lifted(rates["lambda_w"], 2) * found[0, 0]
        + lifted(rates["c_w"], 2) * slopes * layer["H"]
    )
    return {name: after.get(name, np.full_like(layer[name], np.nan)) for name in layer}, True
