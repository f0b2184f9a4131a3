"""Euler-Maruyama steps of the overlaps, compiled."""

from __future__ import annotations

import math

import numpy as np

from solvers.numerics.compiled import jit
from solvers.systems.escape_mediocrity.moments import (
    ORDER,
    covariance,
    fill_covariance_of_fields,
    mean_step,
    risk,
)


@jit
def _semidefinite_root(matrix, root):
    """Lower L with L Lᵀ = matrix up to rounding; a pivot lost in rounding gives a zero column."""
    size = len(matrix)
    scale = 0.0
    for i in range(size):
        scale = max(scale, matrix[i, i])
    for j in range(size):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= root[j, k] * root[j, k]
        root[: j + 1, j] = 0.0
        if pivot <= 1e-12 * matrix[j, j] or pivot <= 1e-30 * scale:
            root[j:, j] = 0.0
            continue
        root[j, j] = math.sqrt(pivot)
        for i in range(j + 1, size):
            value = matrix[i, j]
            for k in range(j):
                value -= root[i, k] * root[j, k]
            root[i, j] = value / root[j, j]


@jit
def _product(a, b):
    total = 0.0
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@jit
def _project(state, joint, p):
    """Replace the overlaps by those of unit vectors, if they are of none.

    Negative eigenvalues of the Gram matrix are cut, and its diagonal made one again.
    """
    if p == 1:
        state[0] = min(1.0, max(-1.0, state[0]))
        return
    fill_covariance_of_fields(joint, state, p)
    values, vectors = np.linalg.eigh(joint)
    if values[0] >= 0.0:
        return
    for k in range(p + 1):
        vectors[:, k] *= math.sqrt(max(values[k], 0.0))
    for a in range(p + 1):
        length = 0.0
        for k in range(p + 1):
            length += vectors[a, k] * vectors[a, k]
        if length > 0.0:
            vectors[a] /= math.sqrt(length)
    at = p
    for i in range(p):
        state[i] = _product(vectors[i], vectors[p])
        for j in range(i + 1, p):
            state[at] = _product(vectors[i], vectors[j])
            at += 1


@jit
def walk(state, normals, first, ratio, noise, unit, dt, level, records, following, kept, exit_at):
    """Take len(normals) Euler-Maruyama steps of length `dt` from step `first` on.

    `state` (components,) is moved in place; `unit` is η = γ/(pd), `level` the risk of the exit,
    `kept` (records, components) what is recorded. Returns the next record, and the time of the
    first exit (`exit_at` if there was one before, NaN if none), and whether the state is finite.
    """
    size = len(state)
    p = 0
    while (p + 1) * (p + 2) // 2 <= size:
        p += 1
    powers = np.empty((ORDER + 1, p + 1, p + 1))
    joint = np.empty((p + 1, p + 1))
    mean, spread, root = np.empty(size), np.empty((size, size)), np.zeros((size, size))
    before = risk(state, p)
    amplitude = math.sqrt(unit * dt)
    for s in range(len(normals)):
        mean_step(state, ratio, noise, p, powers, mean)
        covariance(state, mean, ratio, noise, p, powers, spread)
        _semidefinite_root(spread, root)
        for a in range(size):
            kick = 0.0
            for b in range(a + 1):
                kick += root[a, b] * normals[s, b]
            mean[a] = dt * mean[a] + amplitude * kick
            if not math.isfinite(mean[a]):
                return following, exit_at, False
        for a in range(size):
            state[a] += mean[a]
        _project(state, joint, p)
        now = risk(state, p)
        if math.isnan(exit_at) and now <= level:
            share = (before - level) / (before - now) if before > now else 1.0
            exit_at = (first + s + share) * dt
        before = now
        while following < len(records) and records[following] == first + s + 1:
            kept[following] = state
            following += 1
    return following, exit_at, True
