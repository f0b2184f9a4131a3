"""Axes, observables, demo and limits of `glm_bayes`; the model is stated in the package."""

from __future__ import annotations

import math

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System
from solvers.numerics import channels, priors

system = System(
    "glm_bayes",
    title="Generalised linear model, Bayes-optimal learning",
    axes={
        "alpha": Real("samples per weight", low=0, symbol=r"\alpha"),
        "prior": Choice(*priors.names(), description="law of the weights", symbol="P_w"),
        "channel": Choice(
            *channels.names(),
            description="law of a label",
            default="sign",
            symbol=r"P_{\mathrm{out}}",
        ),
        "sparsity": Real(
            "fraction of weights that are not zero",
            low=0,
            high=1,
            open="low",
            symbol=r"\rho",
            when={"prior": ("gauss_bernoulli",)},
            otherwise=1.0,
        ),
        "kappa": Real(
            "half-width of the door: labels are the sign of |z| - kappa",
            low=0,
            symbol=r"\kappa",
            when={"channel": ("door",)},
            otherwise=0.0,
        ),
        "noise": Real(
            "variance of the Gaussian noise of the channel: on the label for linear, abs and relu,"
            " before the sign for sign and door",
            low=0,
            default=0.0,
            symbol=r"\Delta",
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
        "iterations": Integer(
            "recorded iterations of the overlap", low=0, high=10_000, default=50, symbol="T"
        ),
        "tolerance": Real(
            "relative distance to the fixed point",
            low=0,
            open="low",
            default=1e-12,
            symbol="\\epsilon",
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
        "design": Choice(
            "gaussian",
            "rademacher",
            description="law of the entries of the design, of variance 1/dimension",
            default="gaussian",
            symbol="P_X",
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
    },
    observables={
        "overlap": Observable("overlap of estimate and teacher, per weight", "q"),
        "self_overlap": Observable("squared norm of the estimate, per weight", "Q"),
        "mse": Observable("mean-square error of the weights", r"\mathrm{mse}_w"),
        "classification_error": Observable(
            "probability that the sign of a fresh label is wrong", r"\epsilon_g"
        ),
        "label_mse": Observable("mean-square error of a fresh label", r"\mathrm{mse}_y"),
        "free_entropy": Observable(
            "free entropy per weight, E log Z / dimension; of the messages in simulation, NaN where"
            " they contradict the labels",
            r"\phi",
        ),
        "overlap_trajectory": Observable(
            "overlap with the teacher at the start and after each iteration",
            "q_t",
            dims=("iteration",),
        ),
        "mse_trajectory": Observable(
            "mean-square error of the weights at the start and after each iteration",
            r"\mathrm{mse}_{w,t}",
            dims=("iteration",),
        ),
        "error_trajectory": Observable(
            "error on a fresh label at the start and after each iteration: classification_error"
            " for labels ±1, label_mse for real ones",
            r"\epsilon_t",
            dims=("iteration",),
        ),
        "samples": Observable(
            "samples of the instance, round(alpha·dimension)", "n", kind="integer"
        ),
        "alpha_it": Observable(
            "information-theoretic threshold: the free entropies of the two best branches are"
            " equal; NaN where there is no first-order transition",
            r"\alpha_{\mathrm{IT}}",
        ),
        "alpha_amp": Observable(
            "algorithmic threshold: the uninformed branch ends, in a fold or a linear instability,"
            " and becomes the best one; NaN where there is no first-order transition",
            r"\alpha_{\mathrm{AMP}}",
        ),
        "alpha_weak": Observable(
            "weak-recovery threshold: zero overlap becomes unstable; NaN where one label tells the"
            " sign of the weights",
            r"\alpha_{\mathrm{WR}}",
        ),
        "alpha_full": Observable(
            "full-recovery threshold: the Bayes-optimal mean-square error is zero beyond; NaN where"
            " it never is",
            r"\alpha_{\mathrm{FR}}",
        ),
        "phase": Observable(
            "whether better answers than the uninformed one are impossible, possible but hard, or"
            " whether message passing finds the best one easily",
            r"\mathrm{phase}",
            labels=("impossible", "hard", "easy"),
        ),
    },
    source=(
        "J. Barbier, F. Krzakala, N. Macris, L. Miolane, L. Zdeborová, Optimal errors and phase"
        " transitions in high-dimensional generalized linear models, PNAS 116, 5451 (2019),"
        " arXiv:1708.03395; S. Rangan, Generalized approximate message passing, ISIT (2011),"
        " arXiv:1010.5141; G. Györgyi, Phys. Rev. A 41, 7097 (1990)"
    ),
    demo={
        "title": "Sign perceptron with binary, Gaussian and sparse weights",
        "fixed": {"noise": 0},
        "axes": {"prior": ["gaussian", "rademacher", "gauss_bernoulli"], "sparsity": [0.3]},
        "methods": {
            "state_evolution": {
                "alpha": {"from": 0.1, "to": 2.5, "points": 49},
                "channel": "sign",
                "initialization": ["uninformed", "informed"],
                "iterations": 20,
            },
            "thresholds": {"channel": ["sign", "abs", "door", "linear", "relu"], "kappa": 0.7},
            "gamp": {
                "channel": "sign",
                "alpha": [0.3, 0.8, 1.2, 1.5, 1.8, 2.4],
                "dimension": [100, 200],
                "damping": 0.5,
                "iterations": 20,
                "seed": {"count": 6},
            },
        },
        "thresholds": [
            {
                "of": "gamp.overlap",
                "along": "alpha",
                "level": 0.85,
                "beside": "thresholds.alpha_amp",
            }
        ],
        "figure": {"x": "alpha", "y": ["overlap", "classification_error"], "hue": "prior"},
    },
    limits=[
        Limit(
            "binary weights are determined by 1.245 labels each",
            "thresholds",
            {"prior": "rademacher"},
            "alpha_it",
            1.245,
            rtol=0,
            atol=5e-4,
            source="G. Györgyi, Phys. Rev. A 41, 7097 (1990)",
        ),
        Limit(
            "message passing recovers binary weights beyond 1.493 labels each",
            "thresholds",
            {"prior": "rademacher"},
            "alpha_amp",
            1.493,
            rtol=0,
            atol=5e-4,
            source="J. Barbier et al., PNAS 116, 5451 (2019)",
        ),
        Limit(
            "binary weights behind a symmetric door: one label for each",
            "thresholds",
            {"prior": "rademacher", "channel": "door", "kappa": 0.674489750196},
            "alpha_it",
            1.0,
            source="J. Barbier et al., PNAS 116, 5451 (2019); -log 2 of each label and weight",
        ),
        Limit(
            "message passing opens the symmetric door beyond 1.566",
            "thresholds",
            {"prior": "rademacher", "channel": "door", "kappa": 0.674489750196},
            "alpha_amp",
            1.566,
            rtol=0,
            atol=6e-4,
            source="J. Barbier et al., PNAS 116, 5451 (2019)",
        ),
        Limit(
            "rectified labels determine Gaussian weights from two for each",
            "thresholds",
            {"prior": "gaussian", "channel": "relu"},
            "alpha_full",
            2.0,
            source="J. Barbier et al., PNAS 116, 5451 (2019)",
        ),
        Limit(
            "compressed sensing is possible from one equation for each non-zero weight",
            "thresholds",
            {"prior": "gauss_bernoulli", "channel": "linear", "sparsity": 0.3},
            "alpha_it",
            0.3,
            source="Y. Wu, S. Verdú, IEEE Trans. Inf. Theory 58, 6241 (2012)",
        ),
        Limit(
            "Gaussian weights and linear labels: mse (mse + noise + alpha) = mse + noise",
            "state_evolution",
            {"prior": "gaussian", "channel": "linear", "alpha": 0.5, "noise": 0.5},
            "mse",
            math.sqrt(0.5),
            rtol=1e-11,
        ),
        Limit(
            "error of Gaussian weights with many labels: 0.442 / alpha",
            "state_evolution",
            {"alpha": 1e5, "prior": "gaussian"},
            "classification_error",
            0.442e-5,
            rtol=1e-3,
            source="M. Opper, D. Haussler, Phys. Rev. Lett. 66, 2677 (1991)",
        ),
        Limit(
            "without labels nothing is known",
            "state_evolution",
            {"alpha": 0, "prior": "rademacher"},
            "overlap",
            0.0,
        ),
        Limit(
            "first label: the overlap starts as 2 alpha / pi",
            "state_evolution",
            {"alpha": 1e-9, "prior": "rademacher"},
            "overlap",
            2e-9 / math.pi,
            rtol=1e-8,
            source="expansion of the state evolution in alpha",
        ),
        Limit(
            "a determined binary vector has free entropy -log 2",
            "state_evolution",
            {"alpha": 1.3, "prior": "rademacher", "initialization": "informed"},
            "free_entropy",
            -math.log(2),
        ),
    ],
)
