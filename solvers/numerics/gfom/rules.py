"""Rules for Gaussian averages: nodes and weights for standard normals in several dimensions.

`Quadrature`  the trapezoidal rule in every dimension, on |ξ| <= 8.5 where the Gaussian has fallen
              to 2e-16 of its top. For functions that are analytic in a strip of half-width δ around
              the real line its error is of the order of exp(-2πδ/h), h = 17/(nodes - 1); at kinks
              it is of the order of h². Every average is taken over the dimensions that it depends
              on, at most `dimensions` of them.
`Paths`       scrambled Sobol points turned into normals, `paths` of them (rounded up to a power of
              2) in each of `replicates` independent copies, and in each copy whitened, so that
              first and second moments of the normals are exact. Every copy follows its own
              self-consistent path; the spread of the copies gives standard errors.
`Linear`      the 2D nodes ±√D e_i of weight 1/(2D): exact for polynomials up to degree three, hence
              for covariances, responses and means of an affine iteration of any length.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from solvers.numerics.gfom.iteration import Atoms, Normal

Array = Any

_REACH = 8.5
_MOST_NODES = 4_000_000


class TooManyDimensionsError(ValueError):
    """An average depends on more Gaussian dimensions than quadrature can take."""


@dataclass(frozen=True)
class Quadrature:
    """Tensor quadrature of averages that depend on few dimensions."""

    nodes: int = 101
    dimensions: int = 3

    def draw(self, dimensions: int) -> tuple[Array, Array]:
        """Nodes (1, number, dimensions) and weights (number,)."""
        if dimensions > self.dimensions or self.nodes ** min(dimensions, 9) > 2 * _MOST_NODES:
            raise TooManyDimensionsError(
                f"an average depends on {dimensions} Gaussian dimensions, which is too many for "
                f"quadrature with {self.nodes} nodes in each of at most {self.dimensions}; take "
                "Paths, or fewer nodes and more dimensions"
            )
        line = np.linspace(-_REACH, _REACH, self.nodes)
        grids = np.meshgrid(*[line] * dimensions, indexing="ij") if dimensions else []
        nodes = np.stack([g.ravel() for g in grids], axis=-1) if grids else np.zeros((1, 0))
        square = np.sum(nodes**2, axis=-1)
        inside = square <= _REACH**2 * (1 + 1e-12)
        weights = np.exp(-0.5 * square[inside])
        return nodes[None, inside], weights / np.sum(weights)


@dataclass(frozen=True)
class Paths:
    """Quasi-random paths with standard errors."""

    paths: int = 4096
    replicates: int = 16
    seed: int = 0

    def draw(self, dimensions: int) -> tuple[Array, Array]:
        """Nodes (replicates, number, dimensions) and weights (number,)."""
        power = max(math.ceil(math.log2(max(self.paths, 2 * dimensions + 2))), 1)
        number = 2**power
        copies = []
        for replicate in range(self.replicates):
            generator = np.random.default_rng([self.seed, replicate])
            sobol = scipy.stats.qmc.Sobol(max(dimensions, 1), scramble=True, rng=generator)
            normals = scipy.special.ndtri(
                np.clip(sobol.random_base2(power), 2.0**-40, 1 - 2.0**-40)
            )
            normals -= normals.mean(axis=0)
            # Whitened by the inverse Cholesky factor: column k is changed by earlier ones alone.
            factor = np.linalg.cholesky(normals.T @ normals / number)
            copies.append(np.linalg.solve(factor, normals.T).T[:, :dimensions])
        return np.stack(copies), np.full(number, 1.0 / number)


@dataclass(frozen=True)
class Linear:
    """Exact averages of an affine iteration."""

    def draw(self, dimensions: int) -> tuple[Array, Array]:
        """Nodes (1, 2·dimensions, dimensions) and weights."""
        unit = math.sqrt(max(dimensions, 1)) * np.eye(max(dimensions, 1))
        nodes = np.concatenate([unit, -unit])[None, :, :dimensions]
        return nodes, np.full(nodes.shape[1], 1.0 / nodes.shape[1])


def spread(
    normals: Array, weights: Array, side: Mapping[str, Normal | Atoms]
) -> tuple[dict[str, Array], Array, Array]:
    """Side information, the other normals, and weights, on rows = atoms x nodes.

    The first columns of `normals` (replicates, nodes, dimensions) are those of the `Normal` side
    information in its order; all combinations of atoms are taken with their probabilities. Returns
    arrays with four axes; the other normals as (1, replicates, rows, dimensions).
    """
    atoms = {name: law for name, law in side.items() if isinstance(law, Atoms)}
    combined = list(itertools.product(*[range(len(a.values)) for a in atoms.values()]))
    copies, number, _ = normals.shape
    rows = np.tile(normals, (1, len(combined), 1))[None]
    values: dict[str, Array] = {}
    used = 0
    for name, law in side.items():
        if isinstance(law, Normal):
            values[name] = rows[..., used : used + law.columns]
            used += law.columns
    parts = []
    for combination in combined:
        share: Any = np.ones((1, 1, 1, 1))
        for law, chosen in zip(atoms.values(), combination, strict=True):
            share = share * np.asarray(law.probabilities[chosen], dtype=float)
        parts.append(share * weights[:, None])
    shares = np.concatenate(np.broadcast_arrays(*parts), axis=-2)
    for place, (name, law) in enumerate(atoms.items()):
        column = np.repeat([law.values[c[place]] for c in combined], number)
        values[name] = np.broadcast_to(column[None, None, :, None], (1, copies, len(column), 1))
    return values, rows[..., used:], shares


def normal_columns(side: Mapping[str, Normal | Atoms]) -> int:
    """How many normals the side information of a row takes."""
    return sum(law.columns for law in side.values() if isinstance(law, Normal))
