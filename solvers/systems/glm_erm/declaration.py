"""Axes, observables, demo and limits of `glm_erm`; the model is stated in the package."""

from __future__ import annotations

import math

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System

PENALISED = ("square", "logistic", "hinge")
"""The losses with an l2 penalty; max_margin is what hinge becomes without one."""

SIGN_TEACHER_ONLY = ("logistic", "hinge", "max_margin")


def loss_fits_teacher(*, loss: str, teacher: str, **_: object) -> None:
    """Refuse classification losses for real labels; raises ValueError."""
    if teacher == "linear" and loss in SIGN_TEACHER_ONLY:
        raise ValueError(
            f"the loss {loss} needs labels +1 and -1, and teacher=linear gives real numbers;"
            " take loss=square, or teacher=sign"
        )


system = System(
    "glm_erm",
    title="Generalised linear model, convex empirical-risk minimisation",
    axes={
        "alpha": Real("samples per weight", low=0, symbol=r"\alpha"),
        "loss": Choice(
            *PENALISED,
            "max_margin",
            description="loss of a sample; max_margin asks y x·w >= 1 of every sample",
            symbol=r"\ell",
        ),
        "teacher": Choice(
            "sign",
            "linear",
            default="sign",
            description="labels: sign(z + noise) or z + noise",
            symbol=r"\mathrm{teacher}",
        ),
        "noise": Real(
            "variance of the Gaussian noise added to z (before the sign)",
            low=0,
            default=0.0,
            symbol=r"\Delta",
        ),
        "regularization": Real(
            "strength of the l2 penalty regularization/2 |w|^2 beside the sum over samples;"
            " 0 is the limit 0+",
            low=0,
            symbol=r"\lambda",
            when={"loss": PENALISED},
            otherwise=0.0,
        ),
        "dimension": Integer("number of weights", low=2, symbol="d"),
        "seed": Integer("index of the instance", low=0, symbol=r"\mathrm{seed}"),
        "design": Choice(
            "gaussian",
            "rademacher",
            default="gaussian",
            description="law of the entries of the inputs, variance 1/dimension",
            symbol="P_X",
        ),
        "tolerance": Real(
            "relative error that counts as none",
            low=0,
            open="low",
            default=1e-10,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=1000, symbol=r"t_{\max}"),
        "signal": Real(
            "standard deviation of the preactivation that the link turns into a probability",
            low=0,
            symbol=r"\gamma",
        ),
        "link": Choice(
            "logistic",
            "probit",
            default="logistic",
            description="probability of a positive label: 1/(1 + exp(-t)) or the normal one",
            symbol=r"\mathrm{link}",
        ),
    },
    observables={
        "overlap": Observable("overlap of estimate and teacher, per weight", "m"),
        "self_overlap": Observable("squared norm of the estimate, per weight", "q"),
        "mse": Observable("mean-square error of the weights", r"\mathrm{mse}_w"),
        "training_loss": Observable(
            "mean loss of a training sample, without the penalty", r"\epsilon_t"
        ),
        "objective": Observable(
            "least value of the whole objective, penalty included, per weight", "e"
        ),
        "classification_error": Observable(
            "probability that sign(x·w) differs from a fresh label, noise included; NaN for real"
            " labels",
            r"\epsilon_g",
        ),
        "margin": Observable(
            "least distance y x·w/√q of a sample from the decision plane, in units of |x·w|;"
            " NaN unless the loss is max_margin",
            r"\kappa",
        ),
        "susceptibility": Observable(
            "V: change of a fitted preactivation under a unit force on it alone", "V"
        ),
        "samples": Observable(
            "samples of the instance, round(alpha·dimension)", "n", kind="integer"
        ),
        "separable": Observable(
            "1 if some weights give every sample its label, 0 if none do; NaN where the loss does"
            " not ask (only max_margin and unpenalised logistic and hinge do)",
            r"\mathrm{separable}",
        ),
        "optimal_regularization": Observable(
            "regularization with the least error on fresh samples", r"\lambda_{\mathrm{opt}}"
        ),
        "dimension_per_sample": Observable(
            "threshold of dimension/samples: below it the maximum-likelihood estimate exists, above"
            " it the data are separable",
            r"h_{\mathrm{MLE}}",
        ),
        "alpha_separable": Observable(
            "samples per weight below which the data are separable", r"\alpha_{\mathrm{sep}}"
        ),
    },
    source=(
        "C. Thrampoulidis, E. Abbasi, B. Hassibi, Precise error analysis of regularized"
        " M-estimators in high dimensions, IEEE Trans. Inf. Theory 64, 5592 (2018),"
        " arXiv:1601.06233; B. Aubin, F. Krzakala, Y. M. Lu, L. Zdeborová, Generalization error in"
        " high-dimensional perceptrons: approaching Bayes error with convex optimization, NeurIPS"
        " (2020), arXiv:2006.06560; E. J. Candès, P. Sur, Ann. Stat. 48, 27 (2020),"
        " arXiv:1804.09753"
    ),
    demo={
        "title": "Sign perceptron learnt by convex optimisation",
        "fixed": {"teacher": "sign", "noise": 0},
        "axes": {"loss": ["square", "logistic", "hinge", "max_margin"]},
        "methods": {
            "replica": {
                "alpha": {"from": 0.25, "to": 6, "points": 24},
                "regularization": [0.01, 1],
            },
            "optimal_regularization": {
                "loss": ["square", "logistic", "hinge"],
                "alpha": [0.5, 1, 2, 4],
            },
            "erm": {
                "alpha": [0.5, 2, 5],
                "regularization": [0.01, 1],
                "dimension": [50, 100],
                "seed": {"count": 8},
            },
            "separability": {"signal": [0, 0.5, 1, 2, 4, 8], "link": ["logistic", "probit"]},
        },
        "figure": {"x": "alpha", "y": ["classification_error", "training_loss"], "hue": "loss"},
    },
    limits=[
        Limit(
            "random labels are separable up to two samples per weight",
            "separability",
            {"signal": 0, "link": "logistic"},
            "alpha_separable",
            2.0,
            source="T. M. Cover, IEEE Trans. Electron. Comput. EC-14, 326 (1965)",
        ),
        Limit(
            "least squares beyond one sample per weight: mse = noise/(alpha - 1)",
            "replica",
            {"alpha": 3, "loss": "square", "teacher": "linear", "noise": 0.5, "regularization": 0},
            "mse",
            0.25,
        ),
        Limit(
            "least norm below one sample per weight: mse = 1 - alpha + alpha noise/(1 - alpha)",
            "replica",
            {
                "alpha": 0.5,
                "loss": "square",
                "teacher": "linear",
                "noise": 0.1,
                "regularization": 0,
            },
            "mse",
            0.6,
        ),
        Limit(
            "ridge regression of a linear teacher is best at regularization = noise",
            "optimal_regularization",
            {"alpha": 1.7, "loss": "square", "teacher": "linear", "noise": 0.3},
            "optimal_regularization",
            0.3,
        ),
        Limit(
            "ridge classification of a sign teacher is best at regularization pi/2 - 1",
            "optimal_regularization",
            {"alpha": 1.7, "loss": "square", "teacher": "sign"},
            "optimal_regularization",
            math.pi / 2 - 1,
            source="B. Aubin et al., NeurIPS (2020), arXiv:2006.06560",
        ),
    ],
)
