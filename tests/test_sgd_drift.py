"""The mean one-step update of a two-layer network against averages over fields by brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import erf

from solvers.numerics import unit_averages
from solvers.numerics.erf_integrals import four_fields, slopes, three_fields
from solvers.numerics.unit_averages import CODES
from solvers.systems.sgd_two_layer import squared_error
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from tests.two_layer import random_overlaps

UNITS = {
    "erf": lambda u: erf(u / math.sqrt(2)),
    "relu": lambda u: np.maximum(u, 0),
    "quadratic": lambda u: u * u,
}
SLOPES = {
    "erf": lambda u: math.sqrt(2 / math.pi) * np.exp(-u * u / 2),
    "relu": lambda u: (u > 0) * 1.0,
    "quadratic": lambda u: 2 * u,
}
PAIRS = list(itertools.product(UNITS, UNITS))


def gaussian_cells(covariance, nodes, reach=9.5):
    """Points (fields, n) and weights of a Gaussian, one orthant after the other.

    Gauss-Legendre in each orthant: the kinks of relu units lie on its borders.
    """
    n = len(covariance)
    x, w = np.polynomial.legendre.leggauss(nodes)
    size = np.sqrt(np.diag(covariance))
    inverse = np.linalg.inv(covariance)
    norm = 1 / math.sqrt((2 * math.pi) ** n * np.linalg.det(covariance))
    for signs in itertools.product((-1, 1), repeat=n):
        axes = [s * a * reach * (x + 1) / 2 for s, a in zip(signs, size, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(n, -1)
        cells = np.meshgrid(*[a * reach * w / 2 for a in size], indexing="ij")
        weight = np.prod(cells, axis=0).ravel() * norm
        yield points, weight * np.exp(-np.einsum("ip,ij,jp->p", points, inverse, points) / 2)


def brute_force(student, teacher, target, second, *, ratio, noise, inverse, units, nodes):
    """dQ/dt, dM/dt and da/dt as averages of one step over the fields; |x|²/d given the fields too."""
    p, k = teacher.shape
    joint = np.block([[student, teacher], [teacher.T, target]])
    precision = np.linalg.inv(joint)
    own, cross, layer = np.zeros((p, p)), np.zeros((p, k)), np.zeros(p)
    for fields, weight in gaussian_cells(joint, nodes):
        values = UNITS[units[0]](fields[:p])
        slope = second[:, None] * SLOPES[units[0]](fields[:p])
        length = np.einsum("ip,ij,jp->p", fields, precision, fields) - (p + k)
        for sign in (-1, 1):  # two nodes are exact for an average of squares in z
            error = UNITS[units[1]](fields[p:]).mean(axis=0) + sign * math.sqrt(noise)
            error = error - (second[:, None] * values).mean(axis=0)
            half = weight / 2
            drive = (slope * error * half) @ fields.T
            square = (slope * (error**2 * half * (1 + inverse * length))) @ slope.T
            cross += drive[:, p:]
            own += drive[:, :p] + drive[:, :p].T + ratio * square
            layer += (values * error * half).sum(axis=1)
    return own, cross, layer


def slopes_of(student, teacher, target, second=None, *, ratio, noise, units=("erf", "erf"), d=None):
    """dQ/dt, dM/dt, and da/dt if there is a second layer."""
    p, k = teacher.shape
    state = pack(student[None], teacher[None], None if second is None else second[None])
    out = np.empty_like(state)
    drift(
        state,
        target[None],
        np.array([ratio]),
        np.array([noise]),
        p,
        k,
        out,
        student=units[0],
        teacher=units[1],
        trained=second is not None,
        inverse=np.array([0.0 if d is None else 1 / d]),
    )
    own, cross = unpack(out, width=p, teacher_width=k)
    return own[0], cross[0], out[0, -p:]


@pytest.mark.parametrize(
    ("width", "teacher_width", "nodes", "rtol"), [(1, 1, 70, 1e-9), (2, 1, 34, 1e-7)]
)
@pytest.mark.parametrize("units", PAIRS, ids="-".join)
def test_mean_update_is_the_average_over_samples(width, teacher_width, nodes, rtol, units):
    for seed, dimension in ((0, None), (1, 7)):
        overlaps = random_overlaps(width, teacher_width, seed)
        second = np.linspace(0.7, 1.4, width)
        found = slopes_of(*overlaps, second, ratio=0.8, noise=0.3, units=units, d=dimension)
        inverse = 0.0 if dimension is None else 1 / dimension
        given = {"ratio": 0.8, "noise": 0.3, "inverse": inverse, "units": units, "nodes": nodes}
        expected = brute_force(*overlaps, second, **given)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b)))


@pytest.mark.parametrize("unit", UNITS)
def test_mean_update_of_two_units_that_learn_two(unit):
    overlaps, second = random_overlaps(2, 2, 3), np.array([0.8, 1.3])
    given = {"ratio": 0.8, "noise": 0.3, "units": (unit, unit)}
    found = slopes_of(*overlaps, second, **given)
    for a, b in zip(
        found, brute_force(*overlaps, second, inverse=0.0, nodes=22, **given), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_erf_update_is_the_sum_of_closed_forms():
    p, k, ratio, noise = 5, 3, 0.7, 0.2
    student, teacher, target = random_overlaps(p, k, 4)
    joint = np.block([[student, teacher], [teacher.T, target]])
    n, weight = p + k, np.r_[np.full(p, -1 / p), np.full(k, 1 / k)]
    v = np.diag(joint)
    i, a, b = np.ix_(range(p), range(n), range(n))
    drive = three_fields(v[i], v[b], joint[i, a], joint[i, b], joint[a, b]) @ weight
    index = np.stack(np.broadcast_arrays(*np.ix_(range(p), range(p), range(n), range(n))), axis=-1)
    fourth = four_fields(joint[index[..., :, None], index[..., None, :]])
    squared = np.einsum("ijab,a,b->ij", fourth, weight, weight)
    squared += noise * slopes(v[:p, None], v[:p], student)
    own, cross, _ = slopes_of(student, teacher, target, ratio=ratio, noise=noise)
    np.testing.assert_allclose(cross, drive[:, p:], rtol=1e-12, atol=1e-15)
    expected = drive[:, :p] + drive[:, :p].T + ratio * squared
    np.testing.assert_allclose(own, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("units", PAIRS, ids="-".join)
def test_averages_of_two_and_three_units(units):
    """product, slopes, mixed and signed by quadrature; bend as the derivative of product."""
    f, g = units
    first, other = CODES[f], CODES[g]
    weights = np.random.default_rng(1).normal(size=(3, 5))
    joint = weights @ weights.T / 4
    total = np.zeros(4)
    for fields, weight in gaussian_cells(joint, 34):
        x, v, u = fields
        total += [
            np.sum(weight * UNITS[f](v) * UNITS[g](u)),
            np.sum(weight * SLOPES[f](v) * SLOPES[g](u)),
            np.sum(weight * SLOPES[f](v) * UNITS[g](u)),
            np.sum(weight * np.sign(x) * SLOPES[f](v) * UNITS[g](u)),
        ]
    (xx, xv, xu), (vv, vu), uu = joint[0], joint[1, 1:], joint[2, 2]
    found = [
        unit_averages.product(first, other, vv, uu, vu),
        unit_averages.slopes(first, other, vv, uu, vu),
        unit_averages.mixed(first, other, vv, uu, vu),
        unit_averages.signed(first, other, xx, vv, uu, xv, xu, vu),
    ]
    np.testing.assert_allclose(found, total, rtol=1e-7, atol=1e-9)
    h = 1e-5
    ahead, behind = (unit_averages.product(first, other, vv + s * h, uu, vu) for s in (1, -1))
    np.testing.assert_allclose(
        unit_averages.bend(first, other, vv, uu, vu), (ahead - behind) / h, rtol=1e-8, atol=1e-9
    )


def second_moment(joint, weights, p):
    out = np.zeros((p, p))
    squared_error.squared_error(
        joint, np.ones(len(joint), dtype=np.int64), weights, 0.0, p, False, out
    )
    return out


def test_relu_integral_of_units_nearly_parallel(monkeypatch):
    """The rule of 24 nodes against one of 200, from independent units to units apart by 1e-6."""
    plain = squared_error._relu_student.py_func
    weights = np.array([-1 / 3, -1 / 3, -1 / 3, 1.0])
    for apart, rtol in ((1.0, 1e-9), (0.1, 1e-8), (1e-3, 1e-6), (1e-6, 1e-6)):
        rng = np.random.default_rng(0)
        base = rng.normal(size=200)
        rows = [base + apart * rng.normal(size=200) for _ in range(3)]
        rows = np.stack([*rows, rng.normal(size=200) + 0.5 * base])
        joint = rows @ rows.T / 200
        found = second_moment(joint, weights, 3)
        with monkeypatch.context() as patch:
            patch.setattr(squared_error, "_NODES", 200)
            for name, rule in zip(("_FRESH", "_W"), squared_error._rule(), strict=True):
                patch.setattr(squared_error, name, rule)
            fine = np.zeros((3, 3))
            plain(joint, np.ones(4, dtype=np.int64), weights, 3, False, fine)
        upper = np.triu_indices(3)
        np.testing.assert_allclose(found[upper], fine[upper], rtol=rtol)


def test_relu_units_that_coincide():
    """With all units equal, N = E[θ(λ) (Σc)² λ²] = (Σc)² C/2; with opposite ones, N_12 = 0."""
    same = np.full((3, 3), 0.7)
    weights = np.array([-0.5, -0.5, 1.6])
    np.testing.assert_allclose(second_moment(same, weights, 2), 0.6**2 * 0.7 / 2, rtol=1e-6)
    signs = np.array([1.0, -1.0, 1.0])
    opposite = second_moment(0.7 * np.outer(signs, signs), weights, 2)
    expected = 0.7 / 2 * np.diag([1.1**2, 0.5**2])
    np.testing.assert_allclose(opposite, expected, atol=1e-6)


@pytest.mark.parametrize("unit", UNITS)
def test_a_student_that_is_its_teacher_rests(unit):
    own = random_overlaps(3, 3, 5)[2]
    rest = slopes_of(own, own, own, np.ones(3), ratio=2.0, noise=0.0, units=(unit, unit))
    for change in rest:
        np.testing.assert_allclose(change, 0.0, atol=1e-8)


def test_noise_alone_adds_the_second_moment_of_slopes():
    """Of quadratic units 4 Δ C_ij, of relu units Δ times the chance that both are on."""
    student, teacher, target = random_overlaps(2, 1, 8)
    for unit, moment in (
        ("quadratic", 4 * student),
        ("relu", None),
    ):
        quiet, loud = (
            slopes_of(student, teacher, target, ratio=1.0, noise=noise, units=(unit, unit))[0]
            for noise in (0.0, 0.3)
        )
        if moment is None:
            size = np.sqrt(np.diag(student))
            angle = np.arcsin(np.clip(student / np.outer(size, size), -1, 1))
            moment = 0.25 + angle / (2 * math.pi)
        np.testing.assert_allclose(loud - quiet, 0.3 * moment, rtol=1e-10)
