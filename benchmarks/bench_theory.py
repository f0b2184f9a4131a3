"""Theory: a plane of fixed points, and order parameters in time."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.integrate import IntegrationWarning, quad, solve_ivp
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.bench_simulation import columns
from benchmarks.common import arguments, compare
from solvers.numerics.erf_integrals import excess_risk, four_fields, slopes, three_fields
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.starts import start_overlaps


def nested_state_evolution(alpha: float, noise: float, tolerance: float = 1e-8) -> float:
    """Overlap of rademacher weights and sign labels, by plain iteration of adaptive quadratures."""
    q = 0.0
    for _ in range(1000):

        def label(t: float, q: float = q) -> float:
            total = 1 - q + noise
            x = np.sqrt(q / total) * t
            return norm.pdf(t) * norm.pdf(x) ** 2 / (norm.cdf(x) * total)

        snr = 2 * alpha * quad(label, -12, 12, epsabs=1e-11)[0]
        new = quad(
            lambda t, snr=snr: norm.pdf(t) * np.tanh(snr + np.sqrt(snr) * t), -12, 12, epsabs=1e-11
        )[0]
        if abs(new - q) < tolerance:
            return new
        q = new
    return q


def plane(side: int, few: int) -> None:
    """Fixed points of an (alpha, noise) plane, against a few of them by nested quadrature."""
    alphas, noises = np.linspace(0.05, 1.2, side), np.geomspace(1e-3, 1, side)
    evolve, count, values = columns(
        "glm_bayes",
        "state_evolution",
        prior="rademacher",
        alpha=alphas.tolist(),
        noise=noises.tolist(),
        iterations=0,
    )
    chosen = np.linspace(0, count - 1, few).astype(int)

    def nested() -> list[float]:
        return [nested_state_evolution(values["alpha"][i], values["noise"][i]) for i in chosen]

    difference = np.abs(evolve(count, values)["overlap"][chosen] - nested())
    print(f"largest difference of overlaps {np.max(difference):.1e}")
    compare(
        f"state evolution: {count} points against {len(chosen)} of them",
        ("whole plane at once (phasesweep)", lambda: evolve(count, values)),
        ("adaptive quadrature, plain iteration", nested),
        work=count,
        other_work=len(chosen),
        unit="points",
        repeats=1,
    )


def nested_capacity(kappa: float, tolerance: float = 1e-8) -> float:
    """Capacity of the binary perceptron: a root in alpha around plain iterations of quadratures."""

    def average(function) -> float:
        return quad(lambda z: norm.pdf(z) * function(z), -10, 10, epsabs=1e-10, limit=200)[0]

    def entropy(alpha: float) -> float:
        q = 0.5
        for _ in range(1000):
            root, rest = np.sqrt(q), np.sqrt(1 - q)

            def log_tail(t: float, root: float = root, rest: float = rest) -> float:
                return norm.logsf((kappa - root * t) / rest)

            def square(t: float, root: float = root, rest: float = rest) -> float:
                u = (kappa - root * t) / rest
                return np.exp(2 * (norm.logpdf(u) - norm.logsf(u)))

            field = alpha * average(square) / (1 - q)
            new = average(lambda z, field=field: np.tanh(np.sqrt(field) * z) ** 2)
            if abs(new - q) < tolerance:
                break
            q = new
        weights = average(lambda z: np.logaddexp(np.sqrt(field) * z, -np.sqrt(field) * z))
        return weights + alpha * average(log_tail) - field * (1 - q) / 2

    first_moment = -np.log(2) / norm.logsf(kappa)
    return brentq(entropy, 0.1 * first_moment, first_moment, xtol=tolerance)


def capacities(margins: int, few: int) -> None:
    """Capacities of the binary perceptron over margins, against a few by nested quadrature."""
    capacity, count, values = columns(
        "perceptron_storage",
        "capacity",
        weights="binary",
        kappa=np.linspace(0, 1, margins).tolist(),
    )
    chosen = np.linspace(0, count - 1, few).astype(int)

    def nested() -> list[float]:
        with warnings.catch_warnings():  # the averages are right; brentq asks far from the root too
            warnings.simplefilter("ignore", IntegrationWarning)
            return [nested_capacity(values["kappa"][i]) for i in chosen]

    found = capacity(count, values)["alpha_c"]
    print(f"largest difference of capacities {np.max(np.abs(found[chosen] - nested())):.1e}")
    print(f"capacity at kappa 0, published 0.833078599: {found[0]:.9f}")
    compare(
        f"binary capacity: {count} margins against {len(chosen)} of them",
        ("all margins at once (phasesweep)", lambda: capacity(count, values)),
        ("adaptive quadrature, plain iteration, brentq", nested),
        work=count,
        other_work=len(chosen),
        unit="points",
        repeats=1,
    )


def array_slope(width: int, teacher_width: int, target: np.ndarray, ratio: float, noise: float):
    """The mean update of erf units from the same closed forms, in NumPy arrays, for `solve_ivp`."""
    p, k = width, teacher_width
    units, upper = np.arange(p + k), np.triu_indices(p)
    weight = np.r_[np.full(p, -1 / p), np.full(k, 1 / k)]
    i, m, b = np.ix_(units[:p], units, units)
    pairs = np.stack(np.broadcast_arrays(*np.ix_(units[:p], units[:p], units, units)), axis=-1)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        teacher, student = y[: p * k].reshape(p, k), np.empty((p, p))
        student[upper] = student.T[upper] = y[p * k :]
        joint = np.block([[student, teacher], [teacher.T, target]])
        own = np.diagonal(joint)
        gain = three_fields(own[i], own[b], joint[i, m], joint[i, b], joint[m, b]) @ weight
        fourth = four_fields(joint[pairs[..., :, None], pairs[..., None, :]])
        square = np.einsum("ijab,a,b->ij", fourth, weight, weight)
        square += noise * slopes(own[:p, None], own[None, :p], student)
        change = gain[:, :p] + gain[:, :p].T + ratio * square
        return np.concatenate([gain[:, p:].ravel(), change[upper]])

    return slope


def equations(widths: int, step_sizes: int) -> None:
    """A (width, step_size) grid of erf students to t = 100, against one `solve_ivp` a point."""
    k, noise, end = 2, 1e-3, 100.0
    ratios = np.geomspace(0.1, 1.5, step_sizes)
    batches, starts = {}, {}
    for p in range(1, widths + 1):
        given = {"width": p, "teacher_width": k, "noise": noise, "times": [1.0, 10.0, end]}
        batches[p] = columns("sgd_two_layer", "ode", step_size=(ratios * p).tolist(), **given)
        starts[p] = start_overlaps("random", width=p, teacher_width=k, dimension=1000, seed=0)
    chosen = {p: float(ratios[(7 * p) % step_sizes]) for p in batches}

    def ours() -> dict:
        return {p: ode(count, values)["excess_risk"] for p, (ode, count, values) in batches.items()}

    def others(rtol: float = 1e-9) -> dict[int, float]:
        risks = {}
        for p, ratio in chosen.items():
            student, teacher, target = starts[p]
            y = solve_ivp(
                array_slope(p, k, target, ratio, noise),
                (0, end),
                pack(student[None], teacher[None])[0],
                "DOP853",
                rtol=rtol,
                atol=1e-3 * rtol,
            ).y[:, -1]
            found = unpack(y[None], width=p, teacher_width=k)
            risks[p] = float(excess_risk(found[0], found[1], target)[0])
        return risks

    exact, grid, plain = others(1e-12), ours(), others()
    for name, risk in (
        ("phasesweep", {p: grid[p][(7 * p) % step_sizes, -1] for p in chosen}),
        ("solve_ivp", plain),
    ):
        worst = max(abs(risk[p] / exact[p] - 1) for p in chosen)
        print(f"largest relative error of the excess risk, {name}: {worst:.1e}")
    compare(
        f"SGD order parameters: {widths} widths x {step_sizes} step sizes, t = 100",
        ("vectorised over points (phasesweep)", ours),
        ("scipy solve_ivp a point, closed forms in NumPy", others),
        work=widths * step_sizes,
        other_work=len(chosen),
        unit="points",
        repeats=1,
    )


def main() -> None:
    """Print the comparisons, and the accuracy that both reach."""
    given = arguments(side=100, margins=400, few=8, runs=32, widths=8, step_sizes=50)
    plane(given.side, given.few)
    capacities(given.margins, max(1, given.few // 4))

    ode, count, values = columns(
        "sgd_two_layer",
        "ode",
        width=4,
        teacher_width=2,
        step_size=np.geomspace(0.1, 2, given.runs).tolist(),
        noise=0.001,
        times=[1.0, 10.0, 100.0],
    )
    student, teacher, target = start_overlaps(
        "random", width=4, teacher_width=2, dimension=1000, seed=0
    )
    start = pack(student[None], teacher[None])[0]

    def one_solve_ivp_a_point() -> np.ndarray:
        finals = []
        for step_size in values["step_size"]:

            def slope(_: float, y: np.ndarray, ratio: float = step_size / 4) -> np.ndarray:
                out = np.empty((1, len(y)))
                drift(y[None], target[None], np.array([ratio]), np.array([0.001]), 4, 2, out)
                return out[0]

            finals.append(
                solve_ivp(slope, (0, 100), start, "DOP853", rtol=1e-9, atol=1e-12).y[:, -1]
            )
        return np.array(finals)

    compare(
        f"SGD order parameters: {count} step sizes, width 4, teacher_width 2, t = 100",
        ("vectorised over points (phasesweep)", lambda: ode(count, values)),
        ("scipy solve_ivp (DOP853), the same drift", one_solve_ivp_a_point),
        work=count,
        unit="points",
        repeats=given.repeats,
    )
    equations(given.widths, given.step_sizes)


if __name__ == "__main__":
    main()
