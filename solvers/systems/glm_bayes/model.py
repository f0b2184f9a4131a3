"""One (prior, channel) pair: the state-evolution map and the replica-symmetric free entropy.

Order parameters: overlap q = E⟨w⟩^2 = E w⟨w⟩, deficit rho - q = mean-square error of the weights,
and the conjugate signal-to-noise ratio s (q̂ in Barbier et al.). With E g^2 the channel's `snr` per
sample,

    s = alpha · E g^2(q),        q = q_prior(s),

    free entropy = s·deficit/2 - I_prior(s) + alpha · E log Z(q),

which is the replica-symmetric potential -q s/2 + Ψ_prior(s) + alpha Ψ_out(q) of Barbier, Krzakala,
Macris, Miolane and Zdeborová (PNAS 116, 5451 (2019), theorem 1), written with
I = rho·s/2 - Ψ so that nothing cancels when s is infinite. It is stationary at the fixed points.

Everything is done in u = log s. The map F(u) = log alpha + log E g^2(q(e^u)) increases with u, and
the fixed points of ALL alpha lie on the explicit curve

    log alpha(u) = u - log E g^2(q(e^u)),        d log alpha/du = 1 - F'(u):

folds of a branch are extrema of this curve.
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

    def overlaps(self, snr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overlap and deficit at conjugate snr."""
        overlap, deficit, _ = self.prior.overlap(snr=snr, **self.prior_parameters)
        return overlap, deficit

    def channel_snr(self, overlap: np.ndarray, deficit: np.ndarray) -> np.ndarray:
        """E g^2, the snr that one sample per weight gives."""
        return self.channel.snr(overlap=overlap, deficit=deficit, **self.channel_parameters)[0]

    def log_snr(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log E g^2(q(e^u)) and its derivative in u, which is F'(u)."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            snr = np.exp(u)
            overlap, deficit, first = self.prior.overlap(snr=snr, **self.prior_parameters)
            value, second = self.channel.snr(
                overlap=overlap, deficit=deficit, **self.channel_parameters
            )
            return np.log(value), first * second

    def free_entropy(self, *, alpha: np.ndarray, snr: np.ndarray) -> np.ndarray:
        """Replica-symmetric free entropy per weight on the curve q = q_prior(snr)."""
        overlap, deficit = self.overlaps(snr)
        known = self.prior.mutual_information(snr=snr, **self.prior_parameters)
        labels = self.channel.free_entropy(
            overlap=overlap, deficit=deficit, **self.channel_parameters
        )
        # Where the deficit is zero, snr·deficit is its limit, zero, also at infinite snr.
        energy = np.multiply(snr, deficit, out=np.zeros_like(snr), where=deficit > 0)
        return 0.5 * energy - known + alpha * labels
