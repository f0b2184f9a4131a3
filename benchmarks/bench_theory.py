"""Theory: a plane of fixed points, and order parameters in time."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad, solve_ivp
from scipy.stats import norm

from benchmarks.bench_simulation import columns
from benchmarks.common import arguments, compare
from solvers.systems.sgd_two_layer.drift import drift, pack
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


def main() -> None:
    """Print the comparisons, and the accuracy that both reach."""
    given = arguments(points=400, few=8, runs=32)
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


if __name__ == "__main__":
    main()
