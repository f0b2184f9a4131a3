r"""First correction in 1/width of the mean and covariance of outputs after gradient descent.

Loss 1/2 Σ (z - y)² over outputs and training inputs; equations (21) to (27) of
docs/theory/finite_width.md. An index is a pair (output, input); ε = z - y at the training inputs,
Θ~ the tangent kernel among them. A test index δ enters through X_⊥ = X_δ - Θ_δα Θ~^-1_αβ X_β, in
which all that training does to the training inputs themselves is taken off, and at infinite time

    z*_δ = Θ_δ· Θ~^-1 y + z_⊥ - ΔH_⊥· Θ~^-1 ε + ΔH_⊥· Θ~^-1 ΔH~ Θ~^-1 ε
           + (Z_B dH_⊥αβ + Z_A dH_α⊥β) ε_α ε_β - C_⊥αβγ ε_α ε_β ε_γ,

    C_δαβγ = Z_3 (W_δαβγ + W_αδβγ) + 1/2 Z_21 Y_δαβγ + 1/2 Z_12 W_δαβγ + 1/6 Z_111 d_I H_δαβγ,
    W_δαβγ = d_I H_δαβγ + d_II H_δαβγ + d_II H_δβαγ   (what a step along γ does to dH_δαβ),
    Y_δαβγ = d_I H_δαβγ + d_I H_αδβγ + d_II H_δαβγ + d_II H_δαγβ   (steps along β and γ, to H_δα).

The algorithm is in the projectors alone. In the eigenbasis of Θ~, q = 1 - ηθ for steps of size η,

    Z_A = η² Σ_{t>s} q_a^t q_b^s = q_a/θ_a · X,   Z_B = Z_A + η X/2,   X = 1/(θ_a + θ_b - η θ_a θ_b)
    Z_3 = η³ Σ_{t>s>r} q_a^t q_b^s q_c^r,  Z_21: t > s = r,  Z_12: t = s > r,  Z_111: t = s = r;

for gradient flow (η = 0) Z_A = Z_B = 1/(θ_a (θ_a + θ_b)), Z_3 = 1/(θ_a (θ_a + θ_b)(θ_a + θ_b +
θ_c)), and the other three vanish.

Source: Roberts, Yaida and Hanin (2022), section infinity.2, whose Z_A and Z_B these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Correction:
    """Coefficients of 1/width at infinite time, for test inputs."""

    mean: Array
    """(tests, outputs)"""
    covariance: Array
    """(tests, outputs, tests, outputs)"""


def projectors(rates: Array, step_size: float) -> dict[str, Array]:
    """Z_A, Z_B, Z_3, Z_21, Z_12 and Z_111 for eigenvalues θ > 0 of Θ~; step size 0 is the flow."""
    a, b, c = rates[:, None, None], rates[None, :, None], rates[None, None, :]
    eta = step_size
    pair = 1.0 / (a + b - eta * a * b)[..., 0]
    # 1 - q_a q_b q_c over η, without cancellation.
    triple = 1.0 / (a + b + c - eta * (a * b + a * c + b * c) + eta**2 * a * b * c)
    one, two = (1.0 - eta * a) / a, (1.0 - eta * a) * (1.0 - eta * b) * pair[..., None]
    z_a = one[..., 0] * pair
    return {
        "A": z_a,
        "B": z_a + 0.5 * eta * pair,
        "3": one * two * triple,
        "21": eta * one * triple,
        "12": eta * two * triple,
        "111": eta**2 * triple,
    }


def correction(tensors: dict[str, Array], targets: Array, *, step_size: float = 0.0) -> Correction:
    """The correction for the tensors of the last layer, training inputs first.

    `targets` (train, outputs). The tangent kernel among training inputs must be positive.
    """
    train, outputs = targets.shape
    rates, modes = np.linalg.eigh(tensors["H"][:train, :train])
    # Inputs as test inputs with the training part taken off, and as modes of Θ~.
    tests = len(tensors["H"]) - train
    onto = tensors["H"][train:, :train] @ (modes / rates) @ modes.T
    off = np.concatenate([-onto, np.eye(tests)], axis=1)
    on = np.concatenate([modes.T, np.zeros((train, tests))], axis=1)
    fields = _Fields(tensors, off, on, outputs)
    y = (modes.T @ targets).T.reshape(-1)  # (output, mode)
    inverse = np.tile(1.0 / rates, outputs)
    z = {
        name: np.tile(factor, (outputs,) * factor.ndim)
        for name, factor in projectors(rates, step_size).items()
    }
    k, k_perp = fields.pair("G", "oo"), fields.pair("G", "po")  # among modes; ⊥ with modes
    e = np.einsum

    hh_inner = e("pbbk,b,k->pk", fields.cov_ntk("pooo"), inverse, inverse)
    h1 = fields.pair("H1", "po") * inverse
    jz_out, jz_perp = fields.differential(z, "o"), fields.differential(z, "p")
    cubic = fields.cubic(z)
    cubic_y = e("pabc,b,c->pa", cubic, y, y) + e("pabc,bc->pa", cubic, k)
    cubic_y += e("pbac,b,c->pa", cubic, y, y) + e("pbac,bc->pa", cubic, k)
    cubic_y += e("pbca,b,c->pa", cubic, y, y) + e("pbca,bc->pa", cubic, k)
    cubed = e("pabc,a,b,c->p", cubic, y, y, y)

    mean = h1 @ y - hh_inner @ y
    mean -= e("paba,b->p", jz_out, y) + e("pabb,a->p", jz_out, y)
    # E(ε ε ε) = -(y y y + K y + ...): the Gaussian part of cubic_y contracted once more.
    mean += e("pa,a->p", cubic_y, y) - 2.0 * cubed

    second = k + np.outer(y, y)
    moved = -e("rapa->pr", fields.cov_output("popo") * inverse[None, None, None])
    moved += -h1 @ k_perp.T + hh_inner @ k_perp.T
    moved += e("pabr,ab->pr", jz_perp, second)
    moved += e("paba,rb->pr", jz_out, k_perp) + e("pabb,ra->pr", jz_out, k_perp)
    moved -= cubic_y @ k_perp.T
    spread = e("parb,a,b,ab->pr", fields.cov_ntk("popo"), inverse, inverse, second)
    covariance = fields.pair("G1", "pp") + moved + moved.T + spread
    return Correction(
        mean.reshape(outputs, tests).T,
        covariance.reshape(outputs, tests, outputs, tests).transpose(1, 0, 3, 2),
    )


@dataclass(frozen=True)
class _Fields:
    """Tensors over (output, input), each input axis as ⊥ ("p") or as mode ("o")."""

    tensors: dict[str, Array]
    off: Array
    on: Array
    outputs: int

    def _turned(self, name: str, kinds: str, order: str = "abcd") -> Array:
        """A tensor of inputs with its axes turned, then put in the order of a, b, c, d."""
        letters = order[: self.tensors[name].ndim]
        turns = {"p": self.off, "o": self.on}
        tensor = self.tensors[name]
        for axis, letter in enumerate(letters):
            turn = turns[kinds["abcd".index(letter)]]
            tensor = np.moveaxis(np.tensordot(turn, tensor, axes=(1, axis)), 0, axis)
        return np.einsum(f"{letters}->{''.join(sorted(letters))}", tensor)

    def _spread(self, tensor: Array, pairs: str) -> Array:
        """δ over the outputs of the axes in `pairs` ("ij,kl"), times a tensor over inputs."""
        one = np.eye(self.outputs)
        if tensor.ndim == 2:
            full = np.einsum("ij,ab->iajb", one, tensor)
        else:
            full = np.einsum(f"{pairs},abcd->iajbkcld", one, one, tensor)
        shape = [self.outputs * s for s in tensor.shape]
        return full.reshape(shape)

    def pair(self, name: str, kinds: str) -> Array:
        """δ_ij X_ab."""
        return self._spread(self._turned(name, kinds), "ij")

    def _four(self, kinds: str, parts: tuple[tuple[str, str, str], ...]) -> Array:
        terms = [self._spread(self._turned(n, kinds, o), pairs) for pairs, n, o in parts]
        return np.sum(terms, axis=0)

    def cov_ntk(self, kinds: str) -> Array:
        """Cov(ΔH_ab, ΔH_cd)."""
        return self._four(
            kinds, (("ij,kl", "A", "abcd"), ("ik,jl", "B", "acbd"), ("il,jk", "B", "adbc"))
        )

    def cov_output(self, kinds: str) -> Array:
        """E z_a z_b ΔH_cd."""
        return self._four(
            kinds, (("ij,kl", "D", "abcd"), ("ik,jl", "F", "acbd"), ("il,jk", "F", "adbc"))
        )

    def _dntk(self, kinds: str) -> Array:
        """E dH_abc z_d."""
        return self._four(
            kinds, (("il,jk", "P", "abcd"), ("ij,kl", "Q", "abcd"), ("ik,jl", "Q", "acbd"))
        )

    def _first(self, kinds: str) -> Array:
        """E d_I H_abcd."""
        return self._four(
            kinds, (("ij,kl", "R", "abcd"), ("ik,jl", "R", "acdb"), ("il,jk", "R", "adbc"))
        )

    def _second(self, kinds: str) -> Array:
        """E d_II H_abcd."""
        return self._four(
            kinds, (("ij,kl", "S", "abcd"), ("ik,jl", "T", "acdb"), ("il,jk", "U", "adbc"))
        )

    def differential(self, z: dict[str, Array], kind: str) -> Array:
        """E (Z_B dH_⊥αβ + Z_A dH_α⊥β) z_·, with z at ⊥ or at a mode."""
        mirrored = self._dntk(f"opo{kind}").transpose(1, 0, 2, 3)
        return (
            self._dntk(f"poo{kind}") * z["B"][None, ..., None] + mirrored * z["A"][None, ..., None]
        )

    def cubic(self, z: dict[str, Array]) -> Array:
        """C_⊥αβγ."""
        first, second = self._first("pooo"), self._second("pooo")
        mirrored = self._first("opoo").transpose(1, 0, 2, 3)
        step = first + second + second.transpose(0, 2, 1, 3)
        other = (
            mirrored
            + self._second("opoo").transpose(1, 0, 2, 3)
            + self._second("oopo").transpose(2, 0, 1, 3)
        )
        twice = first + mirrored + second + second.transpose(0, 1, 3, 2)
        return (
            (step + other) * z["3"]
            + 0.5 * twice * z["21"]
            + 0.5 * step * z["12"]
            + first * z["111"] / 6.0
        )
