"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System
from solvers.systems.gfom import iterations

_STEPS, _PAIR = ("step",), ("step", "step_other")

_PARAMETERS = {
    "alpha": Real(
        "rows over columns of the matrix",
        low=0,
        open="low",
        symbol=r"\alpha",
        when={"iteration": iterations.using("alpha")},
        otherwise=1.0,
    ),
    "gain": Real(
        "gain of the tanh",
        low=0,
        default=1.5,
        symbol="g",
        when={"iteration": iterations.using("gain")},
        otherwise=1.0,
    ),
    "step_size": Real(
        "step size",
        low=0,
        open="low",
        default=0.2,
        symbol=r"\eta",
        when={"iteration": iterations.using("step_size")},
        otherwise=1.0,
    ),
    "momentum": Real(
        "heavy-ball momentum",
        low=0,
        high=1,
        open="high",
        default=0.5,
        symbol=r"\mu",
        when={"iteration": iterations.using("momentum")},
        otherwise=0.0,
    ),
    "regularization": Real(
        "penalty: lambda/2 |w|^2, or lambda |w|_1 for ista",
        low=0,
        default=0.1,
        symbol=r"\lambda",
        when={"iteration": iterations.using("regularization")},
        otherwise=0.0,
    ),
    "noise": Real(
        "variance of the label noise",
        low=0,
        default=0.1,
        symbol=r"\Delta",
        when={"iteration": iterations.using("noise")},
        otherwise=0.0,
    ),
    "sparsity": Real(
        "share of non-zero weights of the teacher",
        low=0,
        high=1,
        open="low",
        default=0.2,
        symbol=r"\rho",
        when={"iteration": iterations.using("sparsity")},
        otherwise=1.0,
    ),
}
PARAMETERS = tuple(_PARAMETERS)
"""The axes that an iteration may depend on."""


def _limits() -> list[Limit]:
    """Moments of the two spectra, and first steps by hand."""
    wigner = [
        Limit(
            f"Catalan number {k}",
            "law",
            {"iteration": "identity", "steps": 2 * k},
            "final_moment",
            math.comb(2 * k, k) / (k + 1),
            rtol=1e-12,
            source="moments of the semicircle law, Wigner, Ann. Math. 62 (1955)",
        )
        for k in (1, 4, 10)
    ]
    alpha = 0.7
    pastur = [
        Limit(
            f"Marchenko-Pastur moment {k}",
            "law",
            {"iteration": "identity_rectangular", "steps": k, "alpha": alpha},
            "final_moment",
            sum(math.comb(k, r) * math.comb(k, r - 1) / k * alpha**r for r in range(1, k + 1)),
            rtol=1e-12,
            source="Narayana polynomials, Marchenko and Pastur, Math. USSR Sb. 1 (1967)",
        )
        for k in (1, 2, 8)
    ]
    eta, penalty, noise = 0.3, 0.2, 0.5
    # One step from 0: z_1 = eta X^T (X w + noise), so E w z_1 = eta alpha, and by E (X^T X)^2.
    descent = Limit(
        "one step of gradient descent",
        "law",
        {
            "iteration": "gradient_descent",
            "steps": 1,
            "alpha": alpha,
            "step_size": eta,
            "regularization": penalty,
            "noise": noise,
        },
        "final_risk",
        1 - 2 * eta * alpha + eta**2 * (alpha + alpha**2 + noise * alpha),
        rtol=1e-12,
        source="first two Marchenko-Pastur moments",
    )
    return [*wigner, *pastur, descent]


system = System(
    "gfom",
    title="First-order iterations on random matrices",
    axes={
        "iteration": Choice(*iterations.names(), description="the iteration"),
        "steps": Integer("number of steps", low=1, high=200, default=8, symbol="T"),
        **_PARAMETERS,
        "averages": Choice(
            "automatic",
            "exact",
            "paths",
            description="Gaussian averages: exact where the iteration allows it and over random "
            "paths elsewhere, exact only, or paths only",
            default="automatic",
        ),
        "nodes": Integer(
            "nodes in every dimension of a quadrature", low=11, high=1001, default=101, symbol="n_q"
        ),
        "paths": Integer(
            "paths of a replicate, rounded up to a power of 2",
            low=16,
            high=2**20,
            default=2048,
            symbol="n_p",
        ),
        "replicates": Integer(
            "independent replicates, whose spread gives standard errors",
            low=2,
            high=1024,
            default=16,
            symbol="n_r",
        ),
        "path_seed": Integer("index of the random paths", low=0, default=0, symbol="s_p"),
        "dimension": Integer("n of W, or columns of X", low=2, symbol="n"),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "precision": Choice(
            "single", "double", description="floating-point numbers", default="double"
        ),
    },
    observables={
        "mean": Observable("mean of the iterate over its rows", r"\mathrm{E} z_t", dims=_STEPS),
        "mean_error": Observable("standard error of mean", dims=_STEPS),
        "covariance": Observable(
            "covariance of the iterates of two steps", r"\mathrm{Cov}(z_t, z_s)", dims=_PAIR
        ),
        "covariance_error": Observable("standard error of covariance", dims=_PAIR),
        "gaussian_covariance": Observable(
            "covariance of the Gaussian parts of the iterates", r"\Sigma_{ts}", dims=_PAIR
        ),
        "gaussian_covariance_error": Observable(
            "standard error of gaussian_covariance", dims=_PAIR
        ),
        "response": Observable(
            "mean response of the function of step t to the Gaussian part of step s",
            "b_{ts}",
            dims=_PAIR,
        ),
        "response_error": Observable("standard error of response", dims=_PAIR),
        "moment": Observable(
            "mean product of iterate and reference (the start, or the teacher)", "m_t", dims=_STEPS
        ),
        "moment_error": Observable("standard error of moment", dims=_STEPS),
        "risk": Observable(
            "mean squared distance of iterate and reference (the start, or the teacher)",
            "R_t",
            dims=_STEPS,
        ),
        "risk_error": Observable("standard error of risk", dims=_STEPS),
        "final_moment": Observable("moment after the last step", "m_T"),
        "final_risk": Observable("risk after the last step", "R_T"),
        "final_variance": Observable("variance of the iterate after the last step", "C_{TT}"),
        "samples": Observable("rows of the matrix", kind="integer"),
    },
    source="M. Lovig, For the love of message passing (2025), Theorems 1.4 and 2.1; G. Reeves, "
    "Dimension-free bounds for generalized first-order methods (2025); docs/theory/gfom.md",
    demo={
        "title": "First-order iterations: law and simulation",
        "fixed": {"steps": 4},
        "methods": {
            "law": {
                "iteration": list(iterations.names()),
                "alpha": [0.5, 2],
                "gain": [0.8, 1.5],
                "paths": 128,
                "replicates": 4,
                "nodes": 61,
            },
            "iterate": {
                "iteration": list(iterations.names()),
                "alpha": [0.5, 2],
                "gain": [0.8, 1.5],
                "dimension": [50, 200],
                "seed": {"count": 2},
            },
        },
        "figure": {"x": "dimension", "y": ["final_variance"], "hue": "iteration"},
    },
    limits=_limits(),
)
