r"""Gaussian averages of products of smooth factors: closed forms and quadrature.

* linear: by Wick; sin: σ^(k) = sin(z + kπ/2), and products of sines are sums over signs,
  ⟨Π_i sin(z_i + φ_i)⟩ = 2^-m Σ_s cos(Σ_i s_i (φ_i - π/2)) e^{-s·Ks/2}.
* one field (one input, or inputs on one ray): rules graded towards z = 0 (`bump_rule`).
* two to four fields z = L u, L L^T = K: the trapezoidal rule in every u. Its error is
  exp(-2πr/(h√K)) for poles at distance r (sigmoid, tanh, softplus, swish), times powers from the
  order of the poles, and exp(-π²/(h²a)) for a product that falls as e^{-a u²} (erf, gelu), so that
  h is taken as r/(s√K) or π/√(37a), with s = 9, 6.5, 5 for two, three and four fields, and at most
  1/2.

Where that asks for more nodes than `_MOST`, `resolved` is False.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from solvers.numerics.gaussian import bump_rule
from solvers.systems.finite_width.derivatives import derivatives
from solvers.systems.infinite_width.activations import ACTIVATIONS

Array = np.ndarray
_STRIPS = {2: 9.0, 3: 6.5, 4: 5.0}
_REACH = {2: 8.5, 3: 7.5, 4: 6.5}
_MOST = {2: 2000, 3: 300, 4: 100}
_CHUNK = 1 << 14
_RANK = 1e-14


@dataclass
class Smooth:
    """Averages of any products at one kernel (n, n), by `two` and `four` factors."""

    name: str
    kernel: Array
    resolved: bool = True

    def __post_init__(self) -> None:
        self.tables: dict[tuple[int, ...], Array] = {}

    def mean(self, orders: Iterable[int], where: Iterable[int]) -> float:
        """The average of a product of factors, one (order, input) each."""
        orders, where = tuple(orders), tuple(where)
        if self.name in ("linear", "sin"):
            closed = _wick if self.name == "linear" else _sines
            return closed(orders, self.kernel[np.ix_(where, where)])
        place = sorted(range(len(where)), key=where.__getitem__)
        key = tuple(where[i] for i in place)
        if key not in self.tables:
            self._integrate(tuple(sorted(set(key))))
        return float(self.tables[key][tuple(orders[i] for i in place)])

    def _integrate(self, support: tuple[int, ...]) -> None:
        """Tables over all orders, for the products of two and four factors of these inputs."""
        keys = [
            key
            for count in (2, 4)
            for key in itertools.combinations_with_replacement(support, count)
            if len(set(key)) == len(support)
        ]
        root = _root(self.kernel[np.ix_(support, support)])
        totals = {key: np.zeros(()) for key in keys}
        top = 5 if len(support) <= 2 else 3
        for outer, weight, inner, inner_weight in self._nodes(root):
            values: dict[int, Array] = {}
            for i, far, near in zip(support, outer, inner, strict=True):
                own = derivatives(self.name, top, far if near is None else near)
                values[i] = np.stack(own, axis=-1)
            for key in keys:
                factors = [values[i][..., : 6 if len(key) == 2 else 4] for i in key]
                totals[key] = totals[key] + _contracted(factors, weight, inner_weight)
        self.tables |= totals

    def _nodes(self, root: Array) -> Iterator[tuple]:
        """Chunks of nodes of all u but the last, and at each of them all nodes of the last u.

        Fields that do not depend on the last u are given for the first (outer, nodes), the others
        for both (nodes, inner nodes); each with its weights.
        """
        rank = root.shape[1]
        if rank <= 1:
            scale = max(1.0, float(np.max(np.abs(root), initial=0.0)))
            u, weight = bump_rule(0.0, 1.0 / scale)
            fields = root @ u if rank else np.zeros((len(root), u.shape[1]))
            yield [None] * len(root), np.ones(1), list(fields[:, None]), weight[0]
            return
        spread = math.sqrt(float(np.max(np.sum(root**2, axis=1))))
        step = _step(self.name, spread, rank)
        half = math.ceil(_REACH[rank] / step)
        if 2 * half + 1 > _MOST[rank]:
            half, self.resolved = _MOST[rank] // 2, False
        u = np.arange(-half, half + 1) * (_REACH[rank] / half)
        weight = np.exp(-0.5 * u * u)
        weight /= weight.sum()
        count, chunk = len(u), max(1, _CHUNK // len(u))
        for start in range(0, count ** (rank - 1), chunk):
            flat = np.arange(start, min(start + chunk, count ** (rank - 1)))
            at = np.array(np.unravel_index(flat, (count,) * (rank - 1)))
            far = root[:, :-1] @ u[at]
            near = [
                f[:, None] + slope * u if slope != 0.0 else None
                for f, slope in zip(far, root[:, -1], strict=True)
            ]
            yield far, np.prod(weight[at], axis=0), near, weight


def _contracted(factors: list[Array], weight: Array, inner_weight: Array) -> Array:
    """Σ over nodes of the product of all factors, with an axis of orders for each."""
    near = [i for i, f in enumerate(factors) if f.ndim == 3]
    far = [i for i, f in enumerate(factors) if f.ndim == 2]
    inner = inner_weight[None, :, None]
    for i in near:
        inner = (inner[..., None] * factors[i][:, :, None, :]).reshape(*factors[i].shape[:2], -1)
    summed = inner.sum(axis=1)
    outer = weight[:, None]
    for i in far:
        outer = (outer[..., None] * factors[i][:, None, :]).reshape(len(weight), -1)
    table = (outer.T @ summed).reshape([factors[i].shape[-1] for i in (*far, *near)])
    return table.transpose(np.argsort([*far, *near]))


def single(name: str, variance: Array, patterns: Iterable[tuple[int, ...]]) -> dict:
    """⟨Π σ^(a)⟩ at one input, for every variance (points,) and pattern of orders."""
    patterns = list(patterns)
    if name in ("linear", "sin"):
        closed = _wick if name == "linear" else _sines
        return {
            p: np.array([closed(p, np.full((len(p),) * 2, v)) for v in variance]) for p in patterns
        }
    t, weight = bump_rule(0.0, 1.0 / np.sqrt(np.maximum(variance, 1.0)))
    fields = np.sqrt(variance)[:, None] * t
    values = derivatives(name, max(max(p) for p in patterns), fields)
    return {p: np.sum(weight * math.prod(values[o] for o in p), axis=-1) for p in patterns}


def _step(name: str, spread: float, rank: int) -> float:
    strip = ACTIVATIONS[name].strip
    if math.isfinite(strip):
        return min(0.5, strip / (_STRIPS[rank] * spread))
    fall = (4.0 if name == "erf" else 2.0) * spread**2 + 0.5
    return min(0.5, math.pi / math.sqrt(37.0 * fall) * _STRIPS[2] / 9.0)


def _root(kernel: Array) -> Array:
    """L (n, rank) with L L^T = kernel, by Cholesky with pivots."""
    left, columns = kernel.copy(), []
    floor = _RANK * float(np.max(np.diag(kernel)))
    for _ in range(len(kernel)):
        pivot = int(np.argmax(np.diag(left)))
        if left[pivot, pivot] <= floor:
            break
        columns.append(left[:, pivot] / math.sqrt(left[pivot, pivot]))
        left -= np.outer(columns[-1], columns[-1])
        left[pivot] = left[:, pivot] = 0.0
    return np.stack(columns, axis=1) if columns else np.zeros((len(kernel), 0))


def _wick(orders: tuple[int, ...], kernel: Array) -> float:
    """Factors z (order 0), 1 (order 1) and 0."""
    if max(orders) > 1:
        return 0.0
    at = [i for i, order in enumerate(orders) if order == 0]
    if len(at) % 2:
        return 0.0
    if len(at) == 4:
        k = kernel
        return float(k[0, 1] * k[2, 3] + k[0, 2] * k[1, 3] + k[0, 3] * k[1, 2])
    return float(kernel[at[0], at[1]]) if at else 1.0


def _sines(orders: tuple[int, ...], kernel: Array) -> float:
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(orders))))
    phase = signs @ (0.5 * math.pi * (np.array(orders) - 1.0))
    exponent = -0.5 * np.einsum("si,ij,sj->s", signs, kernel, signs)
    return float(np.mean(np.cos(phase) * np.exp(exponent)))
