"""Where a run starts: weights, or only their overlaps.

`random`: all weights of teacher and student are independent N(0, 1), row i of each read from the
stream "teacher" or "student" of the instance (seed, dimension); unit i is the same whatever the
width. Then Q = W Wᵀ/d, M = W W*ᵀ/d and P = W* W*ᵀ/d deviate from 1, 0 and 1 by O(1/√d), which is
what breaks the symmetry between units: the theory needs the same deviations as the simulation that
it is compared with, and takes (dimension, seed) for this alone.

A file gives M, Q and P. The simulation then needs weights with exactly these overlaps: with
Ω = [[P, Mᵀ], [M, Q]] and a random frame U of k + p orthonormal rows, [W*; W] = √d Ω^(1/2) U, in
which the symmetric square root is unique.
"""

from __future__ import annotations

import numpy as np

from solvers.axes import FileContent
from solvers.numerics.random import Stream

SYSTEM = "sgd_two_layer"

Overlaps = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Q (width, width), M (width, teacher_width), P (teacher_width, teacher_width)."""


def overlaps_of(student: np.ndarray, teacher: np.ndarray) -> Overlaps:
    """Q, M and P of weights of shape (units, dimension)."""
    dimension = student.shape[1]
    return (
        student @ student.T / dimension,
        student @ teacher.T / dimension,
        teacher @ teacher.T / dimension,
    )


def read_overlaps(initial: FileContent, *, width: int, teacher_width: int) -> Overlaps:
    """Q, M and P of a file; ValueError if they are not the overlaps of any weights."""
    student, teacher, target = (np.asarray(initial[name], dtype=float) for name in "QMP")
    for name, array, shape in (
        ("Q", student, (width, width)),
        ("M", teacher, (width, teacher_width)),
        ("P", target, (teacher_width, teacher_width)),
    ):
        if array.shape != shape:
            raise ValueError(
                f"initial: array {name} has shape {array.shape}; width={width} and "
                f"teacher_width={teacher_width} need {shape}"
            )
    joint = np.block([[target, teacher.T], [teacher, student]])
    size = float(np.max(np.abs(joint)))
    if np.max(np.abs(joint - joint.T)) > 1e-9 * size:
        raise ValueError("initial: the arrays Q and P must be symmetric")
    if np.linalg.eigvalsh(joint)[0] < -1e-9 * size:
        raise ValueError(
            "initial: no weights have these overlaps, because [[P, M^T], [M, Q]] has a negative "
            "eigenvalue; compute M, Q and P from one set of weights"
        )
    return (student + student.T) / 2, teacher, (target + target.T) / 2


def check_start(
    *, initial: str | FileContent, width: int, teacher_width: int, dimension: int = 0, **_: object
) -> None:
    """ValueError if a file does not fit the widths, or the dimension is too small for weights."""
    if isinstance(initial, FileContent):
        read_overlaps(initial, width=width, teacher_width=teacher_width)
        if 0 < dimension < width + teacher_width:
            raise ValueError(
                f"dimension={dimension} is too small for given overlaps of "
                f"{width + teacher_width} units; take dimension >= {width + teacher_width}"
            )


def start_overlaps(
    initial: str | FileContent, *, width: int, teacher_width: int, dimension: int, seed: int
) -> Overlaps:
    """The overlaps that a run starts from, of one instance or of a file."""
    if isinstance(initial, FileContent):
        return read_overlaps(initial, width=width, teacher_width=teacher_width)
    return overlaps_of(*_random_weights(width, teacher_width, dimension, seed))


def start_weights(
    initial: str | FileContent, *, width: int, teacher_width: int, dimension: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Student weights (width, dimension) and teacher weights (teacher_width, dimension)."""
    if not isinstance(initial, FileContent):
        return _random_weights(width, teacher_width, dimension, seed)
    units = width + teacher_width
    check_start(initial=initial, width=width, teacher_width=teacher_width, dimension=dimension)
    student, teacher, target = read_overlaps(initial, width=width, teacher_width=teacher_width)
    values, vectors = np.linalg.eigh(np.block([[target, teacher.T], [teacher, student]]))
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    frame = Stream(SYSTEM, seed, dimension, "frame").normals(0, units, dimension)
    basis, triangle = np.linalg.qr(frame.T)
    # The factorisation is unique only once the signs of the triangle's diagonal are fixed.
    basis = basis * np.sign(np.diagonal(triangle))
    weights = np.sqrt(dimension) * root @ basis.T
    return weights[teacher_width:], weights[:teacher_width]


def _random_weights(
    width: int, teacher_width: int, dimension: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    student = Stream(SYSTEM, seed, dimension, "student").normals(0, width, dimension)
    teacher = Stream(SYSTEM, seed, dimension, "teacher").normals(0, teacher_width, dimension)
    return student, teacher
