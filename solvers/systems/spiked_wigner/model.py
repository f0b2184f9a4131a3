"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System

_POINT = {"prior": "gaussian", "iterations": 3}

_LIMITS = [
    Limit(
        "Bayes overlap with a gaussian spike, 1 - 1/signal^2",
        "state_evolution",
        {**_POINT, "signal": 1.6},
        "overlap",
        1 - 1 / 1.6**2,
        rtol=1e-10,
        source="fixed point of s/(1 + s) with s = signal^2 q",
    ),
    Limit(
        "no overlap below the transition",
        "state_evolution",
        {"prior": "rademacher", "iterations": 3, "signal": 0.99},
        "overlap",
        0.0,
        source="Deshpande, Abbe and Montanari, arXiv:1507.08685",
    ),
    Limit(
        "mutual information below the transition, signal^2/4",
        "state_evolution",
        {"prior": "rademacher", "iterations": 3, "signal": 0.8},
        "mutual_information",
        0.16,
        rtol=1e-12,
        source="Deshpande, Abbe and Montanari, arXiv:1507.08685",
    ),
    Limit(
        "all of a binary spike is learnt: log 2",
        "state_evolution",
        {"prior": "rademacher", "iterations": 3, "signal": 8},
        "mutual_information",
        0.6931471805599453,
        rtol=1e-12,
        source="entropy of a sign",
    ),
    *[
        Limit(
            f"transition of {prior}",
            "thresholds",
            {"prior": prior},
            "transition",
            1.0,
            rtol=1e-9,
            source="Baik, Ben Arous and Péché (2005); Deshpande, Abbe and Montanari (2017)",
        )
        for prior in ("rademacher", "gaussian")
    ],
    Limit(
        "spectral overlap 1 - 1/signal^2",
        "state_evolution",
        {**_POINT, "signal": 2},
        "spectral_overlap",
        0.75,
        rtol=1e-12,
        source="Benaych-Georges and Nadakuditi (2011)",
    ),
]

_SIGNALS = [0.5, 0.9, 1, 1.1, 1.5, 2]
_DEMO_SIMULATION = {"signal": _SIGNALS, "dimension": [60, 120], "seed": {"count": 2}}

system = System(
    "spiked_wigner",
    title="Spiked Wigner matrices and Z2 synchronisation",
    axes={
        "signal": Real("strength of the spike in units of the noise", low=0, symbol=r"\lambda"),
        "prior": Choice("rademacher", "gaussian", description="law of the entries of the spike"),
        "iterations": Integer(
            "iterations recorded", low=0, high=10_000, default=20, symbol=r"t_{\max}"
        ),
        "start": Choice(
            "spectral",
            "random",
            description="start: leading eigenvector, or the weakest observation n sites can feel",
            default="spectral",
        ),
        "dimension": Integer("sites", low=4, symbol="n"),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "tolerance": Real(
            "relative accuracy", low=1e-13, high=1e-2, default=1e-12, symbol=r"\epsilon"
        ),
        "max_steps": Integer("most steps", low=1, default=300, symbol="n_{max}"),
        "precision": Choice(
            "single", "double", description="floating-point numbers", default="double"
        ),
    },
    observables={
        "overlap": Observable("overlap of spike and estimate, per site", "q"),
        "self_overlap": Observable("square of the estimate, per site", r"|\hat{x}|^2/n"),
        "cosine": Observable("cosine between spike and estimate", r"\cos"),
        "mse": Observable("mean squared error per site, of the better sign", r"\mathrm{mse}"),
        "matrix_mse": Observable("mean squared error per entry of x x^T", r"\mathrm{mmse}_2"),
        "free_entropy": Observable("free entropy per site", r"\varphi"),
        "free_energy": Observable("free energy per site, minus the free entropy", "f"),
        "mutual_information": Observable(
            "mutual information of spike and matrix, per site", "I/n", unit="nat"
        ),
        "spectral_overlap": Observable(
            "squared cosine between spike and leading eigenvector", r"\cos^2_{\mathrm{spec}}"
        ),
        "eigenvalue": Observable("largest eigenvalue", r"\theta_1"),
        "transition": Observable("signal at which overlap 0 loses stability", r"\lambda_c"),
        "overlap_trajectory": Observable("overlap over iterations", "q_t", dims=("iteration",)),
        "mse_trajectory": Observable(
            "mean squared error over iterations", r"\mathrm{mse}_t", dims=("iteration",)
        ),
    },
    source="M. Lovig, For the love of message passing (2025), Example 1.3; Deshpande, Abbe and "
    "Montanari, arXiv:1507.08685; Lelarge and Miolane, arXiv:1611.03888",
    demo={
        "title": "Z2 synchronisation and Gaussian spikes",
        "axes": {"prior": ["rademacher", "gaussian"]},
        "methods": {
            "state_evolution": {"signal": {"from": 0, "to": 2.5, "step": 0.05}, "iterations": 4},
            "thresholds": {},
            "amp": {**_DEMO_SIMULATION, "iterations": 4, "start": ["spectral", "random"]},
            "spectral": _DEMO_SIMULATION,
        },
        "thresholds": [{"of": "thresholds.transition"}],
        "figure": {"x": "signal", "y": ["overlap"], "hue": "dimension"},
    },
    limits=_LIMITS,
)
