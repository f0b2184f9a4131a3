"""One step on the sphere: its mean, its covariance and its risk against brute force."""

import math

import numpy as np
import pytest

from solvers.systems.escape_mediocrity.diffusion import _project, _semidefinite_root
from solvers.systems.escape_mediocrity.formula import diffusion, escape_rate
from solvers.systems.escape_mediocrity.moments import (
    ORDER,
    covariance,
    mean_step,
    pack,
    risk,
    risk_of,
    unpack,
)
from tests.escape import random_overlaps


def closed_forms(student, teacher, *, ratio, noise):
    """Drift and covariance of `moments`."""
    p = len(teacher)
    state = pack(student, teacher)
    powers = np.empty((ORDER + 1, p + 1, p + 1))
    mean, spread = np.empty_like(state), np.empty((len(state), len(state)))
    mean_step(state, ratio, noise, p, powers, mean)
    covariance(state, mean, ratio, noise, p, powers, spread)
    return mean, spread


def fields_and_noise(student, teacher, nodes, noise_nodes):
    """Students' and the teacher's fields and ξ, with weights: a tensor Gauss-Hermite rule."""
    p = len(teacher)
    joint = np.block([[student, teacher[:, None]], [teacher[None], np.ones((1, 1))]])
    rules = []
    for n in [nodes] * (p + 1) + [noise_nodes]:
        x, w = np.polynomial.hermite_e.hermegauss(n)
        rules.append((x, w / w.sum()))
    normal = np.stack(np.meshgrid(*[x for x, _ in rules], indexing="ij")).reshape(p + 2, -1)
    weight = np.prod(np.meshgrid(*[w for _, w in rules], indexing="ij"), axis=0).ravel()
    return np.linalg.cholesky(joint) @ normal[:-1], normal[-1], weight, normal[:-1]


def moments_of(increments, weight):
    mean = increments @ weight
    return mean, (increments * weight) @ increments.T - np.outer(mean, mean)


@pytest.mark.parametrize(("width", "nodes"), [(1, 9), (2, 8), (3, 7)])
def test_drift_covariance_and_risk_are_averages_over_fields(width, nodes):
    """Gauss-Hermite rules are exact here: the increments are polynomials of degree six."""
    ratio, noise = 0.7, 0.3
    for seed in range(2):
        q, m = random_overlaps(width, seed)
        fields, xi, weight, _ = fields_and_noise(q, m, nodes, 5)
        own, target = fields[:-1], fields[-1]
        bare = target**2 - np.mean(own**2, axis=0)
        e = bare + math.sqrt(noise) * xi
        increments = list(
            e * (2 * own * target - 2 * m[:, None] * own**2)
            - ratio * e**2 * 2 * m[:, None] * own**2
        )
        for i in range(width):
            for j in range(i + 1, width):
                tangent = 4 * own[i] * own[j] - 2 * q[i, j] * (own[i] ** 2 + own[j] ** 2)
                increments.append((e + ratio * e**2) * tangent)
        expected = moments_of(np.array(increments), weight)
        found = closed_forms(q, m, ratio=ratio, noise=noise)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * np.max(np.abs(b)))
        assert risk(pack(q, m), width) == pytest.approx(weight @ bare**2 / 2, rel=1e-12)
        assert risk_of(q, m) == pytest.approx(weight @ bare**2 / 2, rel=1e-12)


def one_projected_step(student, teacher, *, ratio, noise, dimension):
    """Mean and covariance of the increments of the SGD update itself, in `dimension` dimensions.

    x has its component in the span of the weights from the fields, and a chi-square length
    orthogonal to it, integrated by a Gauss-Laguerre rule from the recurrence of the polynomials.
    """
    p = len(teacher)
    fields, xi, weight, normal = fields_and_noise(student, teacher, 13, 7)
    n, alpha = np.arange(6), (dimension - p - 1) / 2 - 1
    off = np.sqrt(n[1:] * (n[1:] + alpha))
    nodes, vectors = np.linalg.eigh(np.diag(2 * n + 1 + alpha) + np.diag(off, 1) + np.diag(off, -1))
    eta = ratio / dimension
    own, target = fields[:-1], fields[-1]
    g = 2 * eta * (target**2 - np.mean(own**2, axis=0) + math.sqrt(noise) * xi) * own
    parts, weights = [], []
    for length, share in zip(2 * nodes, vectors[0] ** 2, strict=True):
        square = np.sum(normal**2, axis=0) + length
        norm = np.sqrt(1 + 2 * g * own + g**2 * square)
        rows = list((teacher[:, None] + g * target) / norm - teacher[:, None])
        for i in range(p):
            for j in range(i + 1, p):
                new = student[i, j] + g[i] * own[j] + g[j] * own[i] + g[i] * g[j] * square
                rows.append(new / (norm[i] * norm[j]) - student[i, j])
        parts.append(np.array(rows) / eta)
        weights.append(weight * share)
    return moments_of(np.concatenate(parts, axis=1), np.concatenate(weights))


@pytest.mark.parametrize(
    ("width", "ratio", "noise"), [(1, 0.15, 0.0), (1, 0.05, 0.4), (2, 0.1, 0.2)]
)
def test_closed_forms_are_the_limit_of_the_projected_update(width, ratio, noise):
    """Differences fall as 1/d; extrapolated from three dimensions, they vanish to 1e-6."""
    q, m = random_overlaps(width, 5)
    found = closed_forms(q, m, ratio=ratio, noise=noise)
    steps = [
        one_projected_step(q, m, ratio=ratio, noise=noise, dimension=d)
        for d in (100_000, 200_000, 400_000)
    ]
    for part in range(2):
        one, two, four = (step[part] for step in steps)
        scale = np.max(np.abs(four))
        assert np.max(np.abs(one - found[part])) > 1e-6 * scale
        np.testing.assert_allclose(
            np.max(np.abs(one - found[part])) / np.max(np.abs(two - found[part])), 2, rtol=0.1
        )
        limit = (8 * four - 6 * two + one) / 3
        np.testing.assert_allclose(found[part], limit, rtol=1e-6, atol=1e-6 * scale)


def test_growth_and_diffusion_at_the_start_are_those_of_the_formula():
    """At orthogonal units m grows at Λ/2; and the variance of a step there is V."""
    for width in (1, 2, 5):
        ratio, noise, tiny = 0.2, 0.7, 1e-6
        m = tiny * np.arange(1, width + 1)
        mean, spread = closed_forms(np.eye(width), m, ratio=ratio, noise=noise)
        rate = escape_rate(width=width, step_size=ratio * width, noise=noise)
        np.testing.assert_allclose(mean[:width], rate / 2 * m, rtol=1e-9)
        omega = diffusion(width=width, step_size=ratio * width, noise=noise)
        expected = np.eye(width) * omega * rate / ratio
        np.testing.assert_allclose(spread[:width, :width], expected, atol=1e-4)


def test_a_teacher_found_up_to_signs_is_at_rest():
    m = np.array([1.0, -1.0, 1.0])
    q = np.outer(m, m)
    mean, spread = closed_forms(q, m, ratio=0.8, noise=0.0)
    assert risk_of(q, m) == 0.0
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    np.testing.assert_allclose(spread, 0, atol=1e-12)


def test_root_and_projection():
    student, teacher = random_overlaps(3, 0)
    _, spread = closed_forms(student, teacher, ratio=0.3, noise=0.1)
    spread[-1] = spread[0] + spread[1]  # a dependent row: semidefinite
    spread[:, -1] = spread[:, 0] + spread[:, 1]
    spread[-1, -1] = spread[0, 0] + spread[1, 1] + 2 * spread[0, 1]
    root = np.full_like(spread, np.nan)
    _semidefinite_root(spread, root)
    np.testing.assert_allclose(root @ root.T, spread, atol=1e-12 * np.max(spread))
    state = np.array([0.9, 0.9, 0.2])  # units both near the teacher and apart: impossible
    _project(state, np.empty((3, 3)), 2)
    q, m = unpack(state, width=2)
    joint = np.block([[q, m[:, None]], [m[None], np.ones((1, 1))]])
    assert abs(np.linalg.eigvalsh(joint)[0]) < 1e-14
    kept = pack(*random_overlaps(2, 3))
    state = kept.copy()
    _project(state, np.empty((3, 3)), 2)
    np.testing.assert_array_equal(state, kept)
