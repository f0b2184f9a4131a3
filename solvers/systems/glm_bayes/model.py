"""One (prior, channel) pair: the state-evolution map and the replica-symmetric free entropy.

Order parameters: overlap q = E⟨w⟩^2 = E w⟨w⟩, deficit rho - q = mean-square error of the weights,
and the conjugate signal-to-noise ratio s (q̂ in Barbier et al.). With E g^2 the channel's `snr` per
sample,

    s = alpha · E g^2(q),        q = q_prior(s),

    free entropy = s·deficit/2 - I_prior(s) + alpha · E log Z(q),

which is the replica-symmetric potential -q s/2 + Ψ_prior(s) + alpha Ψ_out(q) of Barbier, Krzakala,
Macris, Miolane and Zdeborová (PNAS 116, 5451 (2019), theorem 1), written with
I = rho·s/2 - Ψ so that nothing cancels when s is infinite. It is stationary at the fixed points,

    d(free entropy)/dq = (alpha E g^2(q) - s(q))/2,

because dI/ds = deficit/2 and d(E log Z)/dq = E g^2/2. Everything is done in u = log s; the fixed
points of all alpha lie on one explicit curve (`curve.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics import channels, priors

INFORMED_SNR = 100.0
"""The informed start of an iteration knows the weights through w + Z/√snr with this snr, once."""


@dataclass(frozen=True)
class Model:
    """A prior, a channel and their parameters for a column of points."""

    prior: Any
    channel: Any
    prior_parameters: Mapping[str, np.ndarray]
    channel_parameters: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, *, prior: str, channel: str, **columns: np.ndarray) -> Model:
        """Look up both by name and give each the columns it depends on."""
        parts = priors.load(prior), channels.load(channel)
        first, second = ({name: columns[name] for name in part.PARAMETERS} for part in parts)
        return cls(*parts, first, second)

    def take(self, points: np.ndarray) -> Model:
        """The same for some of the points."""
        first, second = (
            {name: column[points] for name, column in parameters.items()}
            for parameters in (self.prior_parameters, self.channel_parameters)
        )
        return Model(self.prior, self.channel, first, second)

    def second_moment(self, points: int) -> np.ndarray:
        """Return rho = E w^2, the overlap of exact recovery, as a column."""
        return np.broadcast_to(self.prior.second_moment(**self.prior_parameters), (points,))

    def overlaps(self, snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overlap and deficit at conjugate snr."""
        overlap, deficit, _ = self.prior.overlap(snr=snr, **self.prior_parameters)
        return overlap, deficit

    def channel_snr(self, overlap: np.ndarray, deficit: np.ndarray) -> np.ndarray:
        """E g^2, the snr that one sample per weight gives."""
        return self.channel.snr(overlap=overlap, deficit=deficit, **self.channel_parameters)[0]

    def alpha(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """alpha of the fixed point at u = log s, and d log alpha/du."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
            snr = np.exp(u)
            overlap, deficit, first = self.prior.overlap(snr=snr, **self.prior_parameters)
            gain, second = self.channel.snr(
                overlap=overlap, deficit=deficit, **self.channel_parameters
            )
            return snr / gain, 1.0 - first * second

    def errors(self, overlap: np.ndarray, deficit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`classification_error` (NaN for real labels) and `label_mse` on a fresh sample."""
        return self.channel.errors(overlap=overlap, deficit=deficit, **self.channel_parameters)

    def label_entropy(self, overlap: np.ndarray, deficit: np.ndarray) -> np.ndarray:
        """E log Z of one label."""
        return self.channel.free_entropy(
            overlap=overlap, deficit=deficit, **self.channel_parameters
        )

    def weight_entropy(self, snr: np.ndarray, deficit: np.ndarray) -> np.ndarray:
        """Part of the weights in the free entropy, snr·deficit/2 - I_prior(snr)."""
        known = self.prior.mutual_information(snr=snr, **self.prior_parameters)
        # Where the deficit is zero, snr·deficit is its limit, zero, also at infinite snr.
        energy = np.multiply(snr, deficit, out=np.zeros_like(snr), where=deficit > 0)
        return 0.5 * energy - known

    def free_entropy(self, *, alpha: np.ndarray, snr: np.ndarray) -> np.ndarray:
        """Replica-symmetric free entropy per weight on the curve q = q_prior(snr).

        +inf where the weights are determined by labels whose density diverges there (real labels
        without noise); zero without samples.
        """
        overlap, deficit = self.overlaps(snr)
        labels = self.label_entropy(overlap, deficit)
        labels = np.multiply(alpha, labels, out=np.zeros_like(labels), where=alpha > 0)
        # An infinite gain of the labels outweighs what the (less divergent) weights lose.
        weights = self.weight_entropy(snr, deficit)
        return np.add(weights, labels, out=np.full_like(labels, np.inf), where=labels < np.inf)
