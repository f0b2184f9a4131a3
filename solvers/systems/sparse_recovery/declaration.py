"""Axes, observables, demo and limits of `sparse_recovery`; the model is stated in the package."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from solvers.axes import Choice, Integer, Real
from solvers.contract import Cost, Limit, Observable, System
from solvers.systems import glm_bayes

system = System(
    "sparse_recovery",
    title="Compressed sensing, sparse weights from linear measurements",
    axes={
        "alpha": Real("samples per weight", low=0, symbol=r"\alpha"),
        "sparsity": Real(
            "fraction of weights that are not zero", low=0, high=1, open="low", symbol=r"\rho"
        ),
        "noise": Real(
            "variance of the Gaussian noise on a label", low=0, default=0.0, symbol=r"\Delta"
        ),
        "regularization": Real(
            "lambda of |y - Xw|^2/2 + lambda |w|_1; 0 is its limit, basis pursuit or least squares",
            low=0,
            default=0.0,
            symbol=r"\lambda",
        ),
        "initialization": Choice(
            "uninformed",
            "informed",
            description="start: knowing nothing, or (almost) knowing the weights",
            default="uninformed",
            symbol=r"\mathrm{start}",
        ),
        "dimension": Integer("number of weights", low=2, symbol="d"),
        "seed": Integer("index of the instance", low=0, symbol=r"\mathrm{seed}"),
        "design": Choice(
            "gaussian",
            "rademacher",
            description="law of the entries of the design, of variance 1/dimension",
            default="gaussian",
            symbol="P_X",
        ),
        "iterations": Integer(
            "recorded iterations of the error", low=0, high=10_000, default=50, symbol="T"
        ),
        "tolerance": Real(
            "relative distance to the fixed point",
            low=0,
            open="low",
            default=1e-12,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=2000, symbol=r"t_{\max}"),
        "damping": Real(
            "share of the previous iterate that is kept",
            low=0,
            high=1,
            open="high",
            default=0.0,
            symbol=r"\beta",
        ),
        "precision": Choice(
            "single",
            "double",
            "half",
            "tf32",
            description="numbers of the design and the messages; half and tf32 are single with"
            " products of rounded factors",
            default="single",
            symbol=r"\mathrm{precision}",
        ),
        "success_mse": Real(
            "relative error that counts as recovery: mse at most this times sparsity",
            low=0,
            open="low",
            default=1e-6,
            symbol=r"\epsilon_{\mathrm{rec}}",
        ),
    },
    observables={
        "mse": Observable("mean-square error of the weights", r"\mathrm{mse}_w"),
        "overlap": Observable("overlap of estimate and true weights, per weight", "q"),
        "self_overlap": Observable("squared norm of the estimate, per weight", "Q"),
        "active": Observable(
            "share of weights that the estimate leaves non-zero, however small", "s"
        ),
        "l1_norm": Observable("l1 norm of the estimate, per weight", r"|\hat w|_1/d"),
        "training_loss": Observable(
            "mean of (y - x.w)^2/2 over the samples, without the penalty", r"\epsilon_t"
        ),
        "objective": Observable(
            "minimum of |y - Xw|^2/2 + lambda |w|_1, per weight", r"\mathcal{L}/d"
        ),
        "threshold": Observable(
            "threshold of the soft thresholding that describes a weight; NaN without samples",
            r"\theta",
        ),
        "optimal_regularization": Observable(
            "lambda of smallest mean-square error; 0 is the limit from above",
            r"\lambda_{\mathrm{opt}}",
        ),
        "free_entropy": Observable(
            "free entropy per weight, E log Z / dimension; of the messages in simulation",
            r"\phi",
        ),
        "phase": Observable(
            "recovery with the prior: information-theoretically impossible, possible but hard for"
            " message passing, or easy",
            r"\mathrm{phase}",
            labels=("impossible", "hard", "easy"),
        ),
        "success": Observable(
            "the weights are recovered: mse at most success_mse times sparsity",
            r"\mathrm{success}",
            kind="flag",
        ),
        "overlap_trajectory": Observable(
            "overlap at the start and after each iteration", "q_t", dims=("iteration",)
        ),
        "mse_trajectory": Observable(
            "mean-square error at the start and after each iteration",
            r"\mathrm{mse}_{w,t}",
            dims=("iteration",),
        ),
        "samples": Observable(
            "samples of the instance, round(alpha·dimension)", "n", kind="integer"
        ),
        "alpha_it": Observable(
            "exact recovery is possible beyond: sparsity", r"\alpha_{\mathrm{IT}}"
        ),
        "alpha_amp": Observable(
            "Bayes message passing recovers exactly beyond", r"\alpha_{\mathrm{AMP}}"
        ),
        "alpha_l1": Observable("l1 minimisation recovers exactly beyond", r"\alpha_{\ell_1}"),
    },
    source=(
        "D. L. Donoho, A. Maleki, A. Montanari, PNAS 106, 18914 (2009), arXiv:0907.3574, and IEEE"
        " Trans. Inf. Theory 57, 6920 (2011), arXiv:1004.1218; M. Bayati, A. Montanari, IEEE Trans."
        " Inf. Theory 58, 1997 (2012), arXiv:1008.2581; F. Krzakala, M. Mézard, F. Sausset, Y. Sun,"
        " L. Zdeborová, Phys. Rev. X 2, 021005 (2012), arXiv:1109.4424; D. L. Donoho, J. Tanner,"
        " J. Am. Math. Soc. 22, 1 (2009)"
    ),
    # For Bayes noise so weak that recovery is as good as exact, but free entropies are finite.
    demo={
        "title": "Compressed sensing with Bayes and l1 message passing",
        "axes": {"sparsity": [0.1, 0.3]},
        "methods": {
            "thresholds": {"sparsity": {"from": 0.05, "to": 0.95, "points": 19}},
            "state_evolution": {"alpha": {"from": 0.05, "to": 0.95, "points": 19}, "noise": 1e-8},
            "l1": {"alpha": {"from": 0.05, "to": 0.95, "points": 19}},
            "optimal_regularization": {
                "alpha": {"from": 0.05, "to": 0.95, "points": 19},
                "noise": 0.01,
            },
            "bayes_amp": {
                "alpha": [0.1, 0.3, 0.5, 0.7, 0.9],
                "noise": 1e-8,
                "dimension": 200,
                "damping": 0.3,
                "seed": {"count": 4},
            },
            "l1_amp": {
                "alpha": [0.1, 0.3, 0.5, 0.7, 0.9],
                "dimension": 200,
                "seed": {"count": 4},
                "max_steps": 400,
            },
        },
        "thresholds": [
            {
                "of": "l1_amp.success",
                "along": "alpha",
                "level": 0.5,
                "beside": "thresholds.alpha_l1",
            }
        ],
        "figure": {"x": "alpha", "y": ["mse"], "hue": "sparsity"},
    },
    limits=[
        Limit(
            "as many equations as unknowns",
            "thresholds",
            {"sparsity": 0.3},
            "alpha_it",
            0.3,
            rtol=1e-11,
            source="Y. Wu, S. Verdú, IEEE Trans. Inf. Theory 56, 3721 (2010)",
        ),
        Limit(
            "few non-zero weights: 2 log(weights/samples) samples for each",
            "thresholds",
            {"sparsity": 1e-300},
            "alpha_l1",
            2e-300 * math.log(1 / 1.3624e-297),
            rtol=4e-3,
            source="D. L. Donoho, J. Tanner, Proc. IEEE 98, 913 (2010): n >~ 2k log(N/n)",
        ),
        Limit(
            "noiseless recovery by l1 is exact above its threshold",
            "l1",
            {"alpha": 0.6, "sparsity": 0.2},
            "mse",
            0.0,
            rtol=0,
        ),
        Limit(
            "least squares with unlimited samples per weight: noise / (alpha - 1)",
            "l1",
            {"alpha": 3.0, "sparsity": 0.2, "noise": 0.1},
            "mse",
            0.05,
            rtol=1e-12,
            source="inverse Wishart mean",
        ),
        Limit(
            "basis pursuit interpolates: as many active weights as samples",
            "l1",
            {"alpha": 0.4, "sparsity": 0.3, "noise": 0.2},
            "active",
            0.4,
            rtol=1e-12,
        ),
        Limit(
            "without samples nothing is known",
            "l1",
            {"alpha": 0.0, "sparsity": 0.2, "regularization": 0.1},
            "mse",
            0.2,
            rtol=1e-14,
        ),
        Limit(
            "a dense Gaussian signal with one noisy sample per weight and the prior known",
            "state_evolution",
            {"alpha": 1.0, "sparsity": 1.0, "noise": 1.0},
            "mse",
            (math.sqrt(5.0) - 1.0) / 2.0,
            rtol=1e-9,
            source="ridge regression: mse^2 + mse (alpha - 1 + noise) = noise",
        ),
        Limit(
            "between the thresholds the prior helps, but not message passing",
            "state_evolution",
            {"alpha": 0.45, "sparsity": 0.4},
            "phase",
            "hard",
            source="F. Krzakala et al., Phys. Rev. X 2, 021005 (2012)",
        ),
    ],
)

SIMULATION_AXES = {
    "bayes_amp": {
        "tolerance": Real(
            "change of the estimate, in posterior standard deviations, that counts as none",
            low=0,
            open="low",
            default=1e-5,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=300, symbol=r"t_{\max}"),
    },
    "l1_amp": {
        "tolerance": Real(
            "certificate of optimality that is small enough, such as a relative duality gap",
            low=0,
            open="low",
            default=1e-3,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=2000, symbol=r"t_{\max}"),
        "precision": Choice(
            "single",
            "double",
            description="floating-point numbers of the design and the messages",
            default="single",
            symbol=r"\mathrm{precision}",
        ),
    },
}
"""Axes whose meaning or default differs in a simulation."""


def bayes_cost(method: str) -> Cost:
    """The cost of a method of `glm_bayes` for sparse weights and linear labels."""
    there = glm_bayes.system.methods[method].cost
    fixed = {"prior": "gauss_bernoulli", "channel": "linear", "kappa": 0.0, "noise": 0.0}

    def ask(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **axes: function(**{**fixed, **axes})

    return Cost(
        flops=ask(there.flops), memory=ask(there.memory), shared_memory=ask(there.shared_memory)
    )
