"""Where a run starts: unit vectors, or only their overlaps.

`random`: all weights of teacher and student are independent and uniform on the sphere S^{d-1}; row
i of each is read from the stream "teacher" or "student" of the instance (seed, dimension) and
normalised, so that unit i is the same whatever the width. The overlaps m_i and q_ij then are of
order 1/√d, and escape begins from them: the theory needs the same deviations as the simulation that
it is compared with, and takes (dimension, seed) for this.

A file gives M, the overlaps (width,) with the teacher, and Q (width, width) with diagonal one. The
simulation then needs weights with exactly these overlaps: with Ω = [[1, Mᵀ], [M, Q]] and a
random frame U of p + 1 orthonormal rows, [w*; W] = Ω^(1/2) U, whose symmetric root is unique.
"""

from __future__ import annotations

import numpy as np

from solvers.axes import FileContent
from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.moments import pack

SYSTEM = "escape_mediocrity"


def read_overlaps(initial: FileContent, *, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Q (width, width) and m (width,) of a file; ValueError if no unit vectors have them."""
    student, teacher = (np.asarray(initial[name], dtype=float) for name in "QM")
    if teacher.shape == (width, 1):
        teacher = teacher[:, 0]
    for name, array, shape in (("Q", student, (width, width)), ("M", teacher, (width,))):
        if array.shape != shape:
            raise ValueError(
                f"initial: array {name} has shape {array.shape}; width={width} needs {shape}"
            )
    if np.max(np.abs(student - student.T)) > 1e-9:
        raise ValueError("initial: the array Q must be symmetric")
    if np.max(np.abs(np.diagonal(student) - 1.0)) > 1e-9:
        raise ValueError("initial: weights are unit vectors, so that the diagonal of Q must be 1")
    joint = np.block([[np.ones((1, 1)), teacher[None]], [teacher[:, None], student]])
    if np.linalg.eigvalsh(joint)[0] < -1e-9:
        raise ValueError(
            "initial: no unit vectors have these overlaps, because [[1, M^T], [M, Q]] has a "
            "negative eigenvalue; compute M and Q from one set of weights"
        )
    student = (student + student.T) / 2
    np.fill_diagonal(student, 1.0)
    return student, teacher


def check_start(*, initial: str | FileContent, width: int, dimension: int = 0, **_: object) -> None:
    """ValueError if a file does not fit the width, or the dimension is too small for weights."""
    if isinstance(initial, FileContent):
        read_overlaps(initial, width=width)
        if 0 < dimension < width + 1:
            raise ValueError(
                f"dimension={dimension} is too small for given overlaps of {width} units and a "
                f"teacher; take dimension >= {width + 1}"
            )


def start_states(
    initial: str | FileContent, *, width: int, dimension: np.ndarray, seed: np.ndarray
) -> np.ndarray:
    """Packed states (points, components) that the points start from."""
    if isinstance(initial, FileContent):
        state = pack(*read_overlaps(initial, width=width))
        return np.repeat(state[None], len(seed), axis=0)
    known: dict[tuple[int, int], np.ndarray] = {}
    for pair in zip(dimension.tolist(), seed.tolist(), strict=True):
        if pair not in known:
            student, teacher = _random_weights(width, *pair)
            known[pair] = pack(student @ student.T, student @ teacher)
    return np.stack([known[pair] for pair in zip(dimension.tolist(), seed.tolist(), strict=True)])


def start_weights(
    initial: str | FileContent, *, width: int, dimension: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Student weights (width, dimension) and teacher weights (dimension,), all of length 1."""
    if not isinstance(initial, FileContent):
        return _random_weights(width, dimension, seed)
    check_start(initial=initial, width=width, dimension=dimension)
    student, teacher = read_overlaps(initial, width=width)
    joint = np.block([[np.ones((1, 1)), teacher[None]], [teacher[:, None], student]])
    values, vectors = np.linalg.eigh(joint)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    frame = Stream(SYSTEM, seed, dimension, "frame").normals(0, width + 1, dimension)
    basis, triangle = np.linalg.qr(frame.T)
    # The factorisation is unique only once the signs of the triangle's diagonal are fixed.
    basis = basis * np.sign(np.diagonal(triangle))
    weights = root @ basis.T
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights[1:], weights[0]


def _random_weights(width: int, dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    student = Stream(SYSTEM, seed, dimension, "student").normals(0, width, dimension)
    teacher = Stream(SYSTEM, seed, dimension, "teacher").normals(0, 1, dimension)[0]
    student /= np.linalg.norm(student, axis=1, keepdims=True)
    return student, teacher / np.linalg.norm(teacher)
