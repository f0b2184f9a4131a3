"""Random finite networks and the differentials of their tangent kernels, from the definitions.

Gradients are back-propagated for complex parameters: D_v ∇z is the imaginary part of ∇z at θ + i e v
over a tiny e (exact), and one derivative more a central difference. No forward equation is used.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_TINY = 1e-20
_STEP = 1e-4
UNITS = {
    "linear": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "sin": (np.sin, np.cos),
    "swish": (
        lambda z: z / (1.0 + np.exp(-z)),
        lambda z: (1.0 + np.exp(-z) * (1.0 + z)) / (1.0 + np.exp(-z)) ** 2,
    ),
}


@dataclass(frozen=True)
class Networks:
    """Many networks of one shape: parameters [(W, b), ...] with the networks as first axis."""

    activation: str
    inputs: Array
    parameters: list[tuple[Array, Array]]
    rates: Array
    """λ of every parameter, in the order of `gradient`"""

    def shifted(self, direction: Array) -> Networks:
        """The networks at θ + direction (networks, parameters)."""
        moved, at = [], 0
        for weights, bias in self.parameters:
            size = weights[0].size
            own = direction[:, at : at + size].reshape(weights.shape)
            at += size
            moved.append((weights + own, bias + direction[:, at : at + bias.shape[1]]))
            at += bias.shape[1]
        return Networks(self.activation, self.inputs, moved, self.rates)

    def gradient(self) -> tuple[Array, Array]:
        """Outputs (networks, outputs, inputs) and their gradients (..., parameters)."""
        unit, slope = UNITS[self.activation]
        count, n = len(self.parameters[0][0]), len(self.inputs)
        signals = [np.broadcast_to(self.inputs.T, (count, *self.inputs.T.shape))]
        fields = []
        for weights, bias in self.parameters:
            fields.append(weights @ signals[-1] + bias[:, :, None])
            signals.append(unit(fields[-1]))
        outputs = fields[-1].shape[1]
        back = np.zeros((count, outputs, n, outputs), dtype=fields[-1].dtype)
        for i in range(outputs):
            back[:, i, :, i] = 1.0
        parts = []
        for layer in range(len(fields) - 1, -1, -1):
            outer = np.einsum("sian,sma->sianm", back, signals[layer])
            parts.append(np.concatenate([outer.reshape(count, outputs, n, -1), back], axis=-1))
            if layer:
                through = np.einsum("sian,snm->siam", back, self.parameters[layer][0])
                back = through * slope(fields[layer - 1]).swapaxes(1, 2)[:, None]
        return fields[-1], np.concatenate(parts[::-1], axis=-1)


def draw(
    rng: np.random.Generator,
    activation: str,
    inputs: Array,
    *,
    width: int,
    depth: int,
    count: int,
    outputs: int = 2,
    c_b: float,
    c_w: float,
    lambda_b: float,
    lambda_w: float,
) -> Networks:
    """`count` networks at initialisation."""
    fans = [inputs.shape[1], *[width] * (depth - 1)]
    sizes = [*[width] * (depth - 1), outputs]
    parameters, rates = [], []
    for size, fan in zip(sizes, fans, strict=True):
        weights = rng.normal(size=(count, size, fan)) * np.sqrt(c_w / fan)
        parameters.append((weights, rng.normal(size=(count, size)) * np.sqrt(c_b)))
        rates += [np.full(size * fan, lambda_w / fan), np.full(size, lambda_b)]
    return Networks(activation, inputs, parameters, np.concatenate(rates))


def differentials(networks: Networks) -> dict[str, Array]:
    """z, H, dH, d_I H and d_II H of every network: first axis, then outputs, then inputs."""
    z, gradient = networks.gradient()
    direction = gradient * networks.rates
    count, outputs, n = z.shape
    pairs = list(itertools.product(range(outputs), range(n)))

    def slanted(at: Networks, v: Array) -> Array:
        return at.shifted(1j * _TINY * v).gradient()[1]

    hessian = np.empty((count, outputs, n, *gradient.shape[1:]))  # k, c, i, a, parameter
    for k, c in pairs:
        hessian[:, k, c] = slanted(networks, direction[:, k, c]).imag / _TINY
    third = np.empty((count, *[outputs] * 4, *[n] * 4))
    for (k, c), (l, d) in itertools.combinations_with_replacement(pairs, 2):  # noqa: E741
        v = direction[:, l, d]
        up, down = (networks.shifted(s * _STEP * v) for s in (1.0, -1.0))
        change = slanted(up, direction[:, k, c]).imag - slanted(down, direction[:, k, c]).imag
        own = np.einsum("sjbp,siap->sijab", direction, change / (2.0 * _STEP * _TINY))
        third[:, :, :, k, l, :, :, c, d] = own
        third[:, :, :, l, k, :, :, d, c] = own
    return {
        "z": z,
        "H": np.einsum("siap,sjbp->sijab", gradient, direction),
        "dH": np.einsum("sjbp,skciap->sijkabc", direction, hessian),
        "d1H": third,
        "d2H": np.einsum("skciap,p,sldjbp->sijklabcd", hessian, networks.rates, hessian),
    }


def tensors(found: dict[str, Array], width: int) -> dict[str, tuple[Array, Array]]:
    """Estimates of width times the averages of two outputs, and their standard errors."""
    e = np.einsum
    z, h = found["z"], found["H"]
    centred = h.copy()
    mean = 0.5 * (h[:, 0, 0] + h[:, 1, 1]).mean(axis=0)
    for i in range(2):
        centred[:, i, i] -= mean

    def both(term) -> tuple[Array, Array]:
        samples = 0.5 * width * (term(0, 1) + term(1, 0))
        return samples.mean(axis=0), samples.std(axis=0) / np.sqrt(len(samples))

    d1, d2 = found["d1H"], found["d2H"]
    return {
        "A": both(lambda i, j: e("sab,scd->sabcd", centred[:, i, i], centred[:, j, j])),
        "B": both(lambda i, j: e("sac,sbd->sabcd", h[:, i, j], h[:, i, j])),
        "D": both(lambda i, j: e("sa,sb,scd->sabcd", z[:, i], z[:, i], centred[:, j, j])),
        "F": both(lambda i, j: e("sa,sc,sbd->sabcd", z[:, i], z[:, j], h[:, i, j])),
        "P": both(lambda i, j: e("sabc,sd->sabcd", found["dH"][:, i, j, j], z[:, i])),
        "Q": both(lambda i, j: e("sabc,sd->sabcd", found["dH"][:, i, i, j], z[:, j])),
        "R": both(lambda i, j: d1[:, i, i, j, j]),
        "S": both(lambda i, j: d2[:, i, i, j, j]),
        "T": both(lambda i, j: e("sabcd->sacdb", d2[:, i, j, i, j])),
        "U": both(lambda i, j: e("sabcd->sadbc", d2[:, i, j, j, i])),
    }
