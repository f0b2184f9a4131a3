r"""Phase retrieval, dense or sparse: a signal from the absolute values of its projections.

**Model.** A signal w of `dimension` independent entries from `prior`, N(0, 1) or sparse, zero with
probability 1 - sparsity and N(0, 1) otherwise (second moment rho = 1 or sparsity), is seen through

    y = |x·w| + √noise·ξ,        ξ ~ N(0, 1),

for alpha·dimension vectors x with independent N(0, 1/dimension) entries. Real case; the sign of w
as a whole is never known, and overlap and mse are those of the better sign. Bayes-optimal learning
with known prior and channel: `glm_bayes` with the channel abs, whose functions do the work here.
Limits are dimension to infinity at fixed alpha.

**What happens** (noise 0). A label does not tell z from -z, so zero overlap is a fixed point of
message passing, unstable beyond `alpha_weak` = 1/2 whatever the sparsity (E g^2 = 2 q/rho^2 there).
Exact recovery is stable beyond alpha = rho, one equation for each non-zero entry, and wins at once:
`alpha_it` = `alpha_full` = rho. Message passing finds it beyond `alpha_amp`, where the branch that
leaves zero overlap at 1/2 ends in a fold: 1.128 for a dense signal, 0.521 at sparsity 0.1, tending
to 1/2 for sparse signals like 1/2 + 2.1 sparsity^2. So a sparse signal is found as soon as anything
is found of it, but a hard phase from rho to 1/2 remains however sparse it is.

**Symbols.** overlap q = E w⟨w⟩, mse rho - q, `label_mse` = E(y - ⟨y⟩)^2 of a fresh label with its
noise. Free entropy per weight, +inf at exact recovery without noise. The mean of a label does not
follow from the sign of an estimate, so there is no classification error.

**Starts.** `uninformed`: overlap zero in `state_evolution`, with the fixed point that an
infinitesimal overlap grows to where zero is unstable; see `gamp` for what a finite instance does.
`informed`: (almost) knowing the signal.
"""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np

from solvers.axes import Choice, Real
from solvers.contract import Cost, Limit, System
from solvers.systems import glm_bayes

_WHOLE = glm_bayes.system
_THEORY, _THRESHOLDS, _GAMP = (
    _WHOLE.methods[name] for name in ("state_evolution", "thresholds", "gamp")
)


def _without_signs(names: tuple[str, ...]) -> tuple[str, ...]:
    """The observables that real labels have."""
    return tuple(name for name in names if name != "classification_error")


def _cost(whole: Cost) -> Cost:
    """The same cost, with the axes that are fixed here."""
    given = {"channel": "abs", "kappa": 0.0}
    return Cost(**{part.name: partial(getattr(whole, part.name), **given) for part in fields(Cost)})


system = System(
    "phase_retrieval",
    title="Phase retrieval, Bayes-optimal",
    axes={
        **{name: axis for name, axis in _WHOLE.axes.items() if name not in ("channel", "kappa")},
        "prior": Choice(
            "gaussian", "gauss_bernoulli", description="law of the signal", symbol="P_w"
        ),
        "noise": Real(
            "variance of the Gaussian noise of an absolute value",
            low=0,
            default=0.0,
            symbol=r"\Delta",
        ),
    },
    observables={
        name: what for name, what in _WHOLE.observables.items() if name != "classification_error"
    },
    source=(
        "J. Barbier, F. Krzakala, N. Macris, L. Miolane, L. Zdeborová, PNAS 116, 5451 (2019),"
        " arXiv:1708.03395; M. Mondelli, A. Montanari, Found. Comput. Math. 19, 703 (2019),"
        " arXiv:1708.05932"
    ),
    demo={
        "title": "Phase retrieval of Gaussian and of sparse signals",
        "axes": {"prior": ["gaussian", "gauss_bernoulli"], "sparsity": [0.6]},
        "methods": {
            "state_evolution": {
                "alpha": {"from": 0.1, "to": 1.5, "points": 15},
                "noise": 1e-4,
                "initialization": ["uninformed", "informed"],
                "iterations": 20,
            },
            "thresholds": {"noise": [0, 1e-4]},
            "gamp": {
                "noise": 1e-4,
                "alpha": [1.8, 2.6],
                "dimension": [60, 120],
                "initialization": "informed",
                "iterations": 20,
                "seed": {"count": 3},
            },
        },
        "figure": {"x": "alpha", "y": ["mse"], "hue": "prior"},
    },
    limits=[
        Limit(
            "weak recovery of a Gaussian signal from half as many absolute values",
            "thresholds",
            {"prior": "gaussian"},
            "alpha_weak",
            0.5,
            source="M. Mondelli, A. Montanari (2019)",
        ),
        Limit(
            "message passing retrieves a Gaussian signal beyond 1.128 per entry",
            "thresholds",
            {"prior": "gaussian"},
            "alpha_amp",
            1.128,
            rtol=0,
            atol=5e-4,
            source="J. Barbier et al., PNAS 116, 5451 (2019)",
        ),
        Limit(
            "a Gaussian signal is determined by one absolute value per entry",
            "thresholds",
            {"prior": "gaussian"},
            "alpha_full",
            1.0,
            source="J. Barbier et al., PNAS 116, 5451 (2019)",
        ),
        Limit(
            "a sparse signal is determined by one absolute value per non-zero entry",
            "thresholds",
            {"prior": "gauss_bernoulli", "sparsity": 0.25},
            "alpha_it",
            0.25,
            source="dimension of the signal: s·mse of the prior tends to the sparsity",
        ),
        Limit(
            "below weak recovery the uninformed answer is zero",
            "state_evolution",
            {"alpha": 0.499999, "prior": "gaussian"},
            "overlap",
            0.0,
        ),
        Limit(
            "retrieving a Gaussian signal is easy beyond 1.128",
            "state_evolution",
            {"alpha": 1.13, "prior": "gaussian"},
            "phase",
            "easy",
            source="J. Barbier et al., PNAS 116, 5451 (2019): 1.128",
        ),
    ],
)


@system.theory(
    version=1,
    gives=_without_signs(_THEORY.gives),
    shares=_THEORY.shares,
    cost=_cost(_THEORY.cost),
)
def state_evolution(
    *, alpha, prior, sparsity, noise, initialization, iterations, tolerance, max_steps
):
    """Fixed points and trajectories of message passing: `state_evolution` of glm_bayes."""
    answer = glm_bayes.state_evolution(
        alpha=alpha,
        prior=prior,
        channel="abs",
        sparsity=sparsity,
        kappa=np.zeros_like(alpha),
        noise=noise,
        initialization=initialization,
        iterations=iterations,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    return _real(answer)


@system.theory(version=1, gives=_THRESHOLDS.gives, cost=_cost(_THRESHOLDS.cost))
def thresholds(*, prior, sparsity, noise):
    """alpha_weak, alpha_it, alpha_full and alpha_amp: `thresholds` of glm_bayes."""
    return glm_bayes.thresholds(
        prior=prior, channel="abs", sparsity=sparsity, kappa=np.zeros_like(noise), noise=noise
    )


@system.simulation(
    version=2,
    gives=_without_signs(_GAMP.gives),
    size=_GAMP.size,
    shares=_GAMP.shares,
    varies=_GAMP.varies,
    devices=("cpu", "gpu"),
    axes={name: _GAMP.axes[name] for name in ("tolerance", "max_steps")},
    cost=_cost(_GAMP.cost),
)
def gamp(
    *,
    alpha,
    prior,
    sparsity,
    noise,
    design,
    initialization,
    dimension,
    seed,
    iterations,
    damping,
    tolerance,
    max_steps,
    precision,
    xp,
):
    """Message passing on random instances, those of glm_bayes: `gamp` there."""
    answer = glm_bayes.gamp(
        alpha=alpha,
        prior=prior,
        channel="abs",
        sparsity=sparsity,
        kappa=np.zeros_like(alpha),
        noise=noise,
        design=design,
        initialization=initialization,
        dimension=dimension,
        seed=seed,
        iterations=iterations,
        damping=damping,
        tolerance=tolerance,
        max_steps=max_steps,
        precision=precision,
        xp=xp,
    )
    return _real(answer)


def _real(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what only labels ±1 have."""
    return {name: value for name, value in answer.items() if name != "classification_error"}
