"""Theory: a plane of fixed points, and order parameters in time."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad, solve_ivp
from scipy.stats import norm

from benchmarks.bench_simulation import columns
from benchmarks.common import arguments, compare
from solvers.numerics.erf_integrals import excess_risk, four_fields, slopes, three_fields
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.starts import start_overlaps


def nested_state_evolution(alpha: float, tolerance: float = 1e-8) -> float:
    """Overlap of rademacher weights and sign labels, by plain iteration of adaptive quadratures."""
    q = 0.0
    for _ in range(1000):

        def label(t: float, q: float = q) -> float:
            x = np.sqrt(q / (1 - q)) * t
            return norm.pdf(t) * norm.pdf(x) ** 2 / (norm.cdf(x) * (1 - q))

        snr = 2 * alpha * quad(label, -12, 12, epsabs=1e-11)[0]
        new = quad(
            lambda t, snr=snr: norm.pdf(t) * np.tanh(snr + np.sqrt(snr) * t), -12, 12, epsabs=1e-11
        )[0]
        if abs(new - q) < tolerance:
            return new
        q = new
    return q


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
    given = arguments(points=400, few=8, runs=32, widths=8, step_sizes=50)
    alphas = np.linspace(0.05, 1.2, given.points).tolist()
    evolve, count, values = columns(
        "glm_bayes", "state_evolution", prior="rademacher", alpha=alphas, iterations=0
    )
    few = np.linspace(0, given.points - 1, min(given.few, given.points)).astype(int)
    slow = [nested_state_evolution(alphas[i]) for i in few]
    fast = evolve(count, values)["overlap"][few]
    print(f"largest difference of overlaps {np.max(np.abs(fast - slow)):.1e}")
    compare(
        f"state evolution: {count} points against {len(few)} of them",
        ("whole grid at once (phasesweep)", lambda: evolve(count, values)),
        (
            "adaptive quadrature, plain iteration",
            lambda: [nested_state_evolution(alphas[i]) for i in few],
        ),
        work=count,
        other_work=len(few),
        unit="points",
        repeats=1,
    )

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
