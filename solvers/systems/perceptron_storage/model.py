"""Axes, observables, demo and limits of `perceptron_storage`; the package states the model."""

from __future__ import annotations

import math

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System

VALIDITY = (
    "exact",
    "replica_symmetric",
    "frozen",
    "upper_bound",
    "lower_bound",
    "not_available",
)
"""What is known about a formula: a theorem (exact); the replica-symmetric solution, stable and
believed exact but not proved; the frozen one-step broken solution of discrete weights, the same; a
rigorous or replica-symmetric bound; nothing to give."""

system = System(
    "perceptron_storage",
    title="Storage of random patterns by a perceptron",
    axes={
        "alpha": Real("patterns per weight", low=0, open="low", symbol=r"\alpha"),
        "kappa": Real(
            "margin of the constraint", low=-1000, high=1000, default=0.0, symbol=r"\kappa"
        ),
        "constraint": Choice(
            "step",
            "rectangle",
            "ushape",
            description="what a pattern asks: y z > kappa, |z| < kappa or |z| > kappa",
            default="step",
            symbol="C",
        ),
        "weights": Choice(
            "spherical",
            "binary",
            description="weights allowed: |w|^2 = dimension, or w_i = ±1",
            symbol="w",
        ),
        "dimension": Integer("number of weights", low=1, high=10**12, symbol="d"),
        "seed": Integer("index of the instance", low=0, symbol=r"\mathrm{seed}"),
        "nodes": Integer(
            "Gauss-Legendre nodes per panel of the Gaussian averages",
            low=4,
            high=64,
            default=16,
            symbol="n_t",
        ),
        "tolerance": Real(
            "relative accuracy of the roots of saddle-point equations",
            low=0,
            open="low",
            high=1e-2,
            default=1e-13,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=200, symbol=r"t_{\max}"),
        # Axes of the simulations alone are declared with their methods.
    },
    observables={
        # theory
        "alpha_c": Observable(
            "capacity: largest patterns per weight that can be stored; NaN where nothing limits it",
            r"\alpha_c",
        ),
        "validity": Observable(
            "what is known about alpha_c, or about entropy and overlap",
            r"\mathrm{validity}",
            labels=VALIDITY,
        ),
        "energy_validity": Observable(
            "what is known about ground_state_energy and rademacher_complexity",
            r"\mathrm{validity}_E",
            labels=VALIDITY,
        ),
        "entropy": Observable(
            "logarithm of the number of solutions (binary) or of their share of the sphere"
            " (spherical), per weight; NaN where there is none",
            "s",
        ),
        "overlap": Observable(
            "overlap of two typical solutions, per weight; NaN where there is no saddle point", "q"
        ),
        "ground_state_energy": Observable(
            "least number of violated constraints, per weight", r"E_{\mathrm{GS}}"
        ),
        "rademacher_complexity": Observable(
            "Rademacher complexity of sign perceptrons, 1 - 2 E_GS/alpha; NaN unless the constraint"
            " is a step at kappa = 0",
            r"\mathcal{R}",
        ),
        # exact finite size
        "probability_separable": Observable(
            "probability that random patterns are linearly separable", r"P_{\mathrm{sep}}"
        ),
        "samples": Observable(
            "patterns of the instance, round(alpha·dimension)", "n", kind="integer"
        ),
        # simulations
        "satisfiable": Observable(
            "a weight vector that satisfies every constraint exists (was found, for searches)",
            r"\mathrm{sat}",
            kind="flag",
        ),
        "margin": Observable(
            "largest margin, as certified by a weight vector; a lower bound where it is not"
            " positive; NaN without patterns",
            r"\kappa_{\max}",
        ),
        "margin_upper_bound": Observable(
            "upper bound on the margin, as certified by dual multipliers; NaN without patterns",
            r"\bar\kappa",
        ),
        "solutions": Observable(
            "number of solutions of the instance", r"\mathcal{N}", kind="integer"
        ),
        "unsatisfied_fraction": Observable(
            "fraction of patterns violated by the best weight vector found", r"E/n"
        ),
    },
    source=(
        "T. M. Cover, IEEE Trans. Electron. Comput. EC-14, 326 (1965); E. Gardner, J. Phys. A 21,"
        " 257 (1988); E. Gardner and B. Derrida, J. Phys. A 21, 271 (1988); W. Krauth and"
        " M. Mézard, J. Phys. France 50, 3057 (1989); B. Aubin, W. Perkins and L. Zdeborová,"
        " J. Phys. A 52, 294003 (2019), arXiv:1901.00314; A. Abbara, B. Aubin, F. Krzakala and"
        " L. Zdeborová, MSML"
        " (2020), arXiv:1912.02729"
    ),
    demo={
        "title": "Perceptron storage: capacity, entropy, small instances",
        "fixed": {"constraint": "step"},
        "axes": {"kappa": [0]},
        "methods": {
            "capacity": {
                "weights": ["spherical", "binary"],
                "constraint": ["step", "rectangle", "ushape"],
                "kappa": [0, 0.5, 1],
            },
            "replica": {
                "weights": ["spherical", "binary"],
                "alpha": {"from": 0.1, "to": 2.5, "points": 25},
            },
            "cover": {
                "weights": "spherical",
                "alpha": {"from": 1, "to": 3, "points": 41},
                "dimension": [20, 60],
            },
            "max_margin": {
                "weights": "spherical",
                "alpha": {"from": 1.2, "to": 2.8, "points": 9},
                "dimension": [20, 60],
                "seed": {"count": 16},
            },
            "enumeration": {
                "weights": "binary",
                "alpha": {"from": 0.3, "to": 1.3, "points": 11},
                "dimension": [10, 16],
                "seed": {"count": 32},
            },
            "reinforced_bp": {
                "weights": "binary",
                "alpha": [0.3, 0.45, 0.6],
                "dimension": [200],
                "seed": {"count": 4},
                "reinforcement": 0.01,
                "max_steps": 300,
            },
        },
        "thresholds": [
            {
                "of": "max_margin.satisfiable",
                "along": "alpha",
                "level": 0.5,
                "beside": "capacity.alpha_c",
            },
            {
                "of": "enumeration.satisfiable",
                "along": "alpha",
                "level": 0.5,
                "beside": "capacity.alpha_c",
            },
        ],
        "figure": {
            "x": "alpha",
            "y": ["satisfiable", "entropy"],
            "hue": "dimension",
            "same": {"probability_separable": "satisfiable"},
        },
    },
    limits=[
        Limit(
            "a sphere stores two patterns per weight",
            "capacity",
            {"weights": "spherical"},
            "alpha_c",
            2.0,
            rtol=1e-14,
            source="Cover (1965); Gardner (1988)",
        ),
        Limit(
            "capacity of binary weights",
            "capacity",
            {"weights": "binary"},
            "alpha_c",
            0.833,
            rtol=0,
            atol=5e-4,
            source="Krauth and Mézard (1989)",
        ),
        Limit(
            "capacity of binary weights, more digits",
            "capacity",
            {"weights": "binary"},
            "alpha_c",
            0.8330785997395792,
            rtol=1e-12,
            source="the same equations, two-dimensional Newton iteration with 20-digit quadrature",
        ),
        Limit(
            "capacity of binary weights at kappa = 1/2",
            "capacity",
            {"weights": "binary", "kappa": 0.5},
            "alpha_c",
            0.4556645645424366,
            rtol=1e-11,
            source="the same equations, two-dimensional Newton iteration with 20-digit quadrature",
        ),
        Limit(
            "below kappa = 0 the spherical formula is a bound",
            "capacity",
            {"weights": "spherical", "kappa": -0.5},
            "validity",
            "upper_bound",
            source="Franz and Parisi, J. Phys. A 49, 145001 (2016); Stojnic, arXiv:1306.3980",
        ),
        Limit(
            "two-sided window that holds half the time: one pattern halves the solutions",
            "capacity",
            {"weights": "binary", "constraint": "rectangle", "kappa": 0.674489750196},
            "alpha_c",
            1.0,
            rtol=1e-11,
            source="Aubin, Perkins and Zdeborová (2019)",
        ),
        Limit(
            "outside of a window that holds half the time",
            "capacity",
            {"weights": "binary", "constraint": "ushape", "kappa": 0.674489750196},
            "alpha_c",
            1.0,
            rtol=1e-11,
            source="Aubin, Perkins and Zdeborová (2019)",
        ),
        Limit(
            "ushape beyond kappa = 0.817: a bound",
            "capacity",
            {"weights": "binary", "constraint": "ushape", "kappa": 0.818},
            "validity",
            "upper_bound",
            source="Aubin, Perkins and Zdeborová (2019)",
        ),
        Limit(
            "without patterns all binary weights are solutions",
            "replica",
            {"alpha": 1e-12, "weights": "binary"},
            "entropy",
            math.log(2.0),
            rtol=1e-11,
        ),
        Limit(
            "first patterns: the overlap starts as alpha hazard(0)^2 = 2 alpha / pi",
            "replica",
            {"alpha": 1e-9, "weights": "spherical"},
            "overlap",
            2e-9 / math.pi,
            rtol=1e-8,
            source="expansion of the saddle-point equations in alpha",
        ),
        Limit(
            "below capacity random labels are fitted perfectly",
            "replica",
            {"alpha": 1.9, "weights": "spherical"},
            "rademacher_complexity",
            1.0,
            source="Abbara, Aubin, Krzakala and Zdeborová (2020)",
        ),
        Limit(
            "many patterns on a sphere: s^3 alpha = 3 sqrt(2 pi), R = 2 s / sqrt(2 pi)",
            "replica",
            {"alpha": 1e6, "weights": "spherical"},
            "rademacher_complexity",
            2.0 * (3e-6 * math.sqrt(2.0 * math.pi)) ** (1.0 / 3.0) / math.sqrt(2.0 * math.pi),
            rtol=1e-4,
            source="Gardner and Derrida (1988), expansion for many patterns",
        ),
        Limit(
            "half of the labellings of twice as many patterns as weights are separable",
            "cover",
            {"alpha": 2, "dimension": 101},
            "probability_separable",
            0.5,
            rtol=1e-14,
            source="Cover (1965)",
        ),
        Limit(
            "three patterns in the plane: 6 of 8 labellings are separable",
            "cover",
            {"alpha": 1.5, "dimension": 2},
            "probability_separable",
            0.75,
            rtol=1e-14,
            source="Cover (1965), theorem 1",
        ),
        Limit(
            "as many patterns as dimensions are separable, with probability one",
            "max_margin",
            {"alpha": 1.0, "dimension": 50, "seed": 0},
            "satisfiable",
            1.0,
            source="Cover (1965)",
        ),
        Limit(
            "far beyond twice the dimension no margin is left: the dual bound is zero",
            "max_margin",
            {"alpha": 4.0, "dimension": 50, "seed": 0},
            "margin_upper_bound",
            0.0,
            atol=1e-12,
            source="Farkas' lemma; Cover (1965): probability 1e-13 of an exception",
        ),
        Limit(
            "one pattern halves the hypercube, by the symmetry w -> -w",
            "enumeration",
            {"alpha": 1 / 20, "dimension": 20, "seed": 3, "weights": "binary"},
            "solutions",
            2.0**19,
            rtol=0,
            source="symmetry",
        ),
        Limit(
            "a rectangle wider than any |z| is no constraint",
            "enumeration",
            {"alpha": 3.0, "kappa": 50.0, "constraint": "rectangle", "dimension": 13, "seed": 0},
            "entropy",
            math.log(2.0),
            rtol=1e-14,
            source="|z| <= √dimension · max |√dimension x| < 50",
        ),
        Limit(
            "far below its threshold the search finds a solution",
            "reinforced_bp",
            {"alpha": 0.3, "dimension": 500, "seed": 0},
            "satisfiable",
            1.0,
            source="Braunstein and Zecchina (2006)",
        ),
    ],
)
