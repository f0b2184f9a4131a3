"""One layer of the recursions of means and fluctuations: G1, H1, V, D, F, B, A.

Equations (11) to (14) of docs/theory/finite_width.md. With g = ⟨σσ⟩, Ω_ij = λ_W σ_i σ_j + C_W Θ_ij
σ'_i σ'_j and L^{ij} X = Σ_ab ⟨∂_a ∂_b f_ij⟩ X_ab for f = σσ (L_g) or Ω (L_Ω):

    V_ijkl  = C_W² [⟨σσσσ⟩ - g g + 1/4 L_g L_g V]
    D_ijkl  = C_W [⟨σσΩ_kl⟩ - g ⟨Ω_kl⟩ + 1/4 L_g L_Ω V + 1/2 C_W ⟨σ'_k σ'_l⟩ L_g D_ab,kl]
    A_ijkl  = ⟨ΩΩ⟩ - ⟨Ω⟩⟨Ω⟩ + 1/4 L_Ω L_Ω V + 1/2 C_W (⟨σ'_k σ'_l⟩ L_Ω D_ab,kl + (ij <-> kl))
              + C_W² ⟨σ'_i σ'_j⟩ ⟨σ'_k σ'_l⟩ A_ijkl
    F_ijkl  = C_W² [⟨σ_i σ'_j σ_k σ'_l⟩ Θ_jl + Σ_ab ⟨∂_a σ_i σ'_j⟩ ⟨∂_b σ_k σ'_l⟩ F_ajbl]
    B_ijkl  = C_W² [⟨σ'_i σ'_j σ'_k σ'_l⟩ Θ_ik Θ_jl + ⟨σ'_i σ'_j⟩ ⟨σ'_k σ'_l⟩ B_ijkl]

Source: Roberts, Yaida and Hanin (2022), sections 4.3, 8.2; G1 and H1 sections 4.5, 8.
"""

from __future__ import annotations

import numpy as np

from solvers.systems.finite_width.averages import Averages
from solvers.systems.finite_width.contractions import (
    fourth,
    lifted,
    on_last,
    second,
    second_of_ntk,
)

Array = np.ndarray
Layer = dict[str, Array]
FOUR = ((0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1))
TWO = ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0), (4, 2), (3, 3), (5, 1))
FOUR_OF_KERNEL = ((0, 0, 0, 0),)
TWO_OF_KERNEL = ((0, 0), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0))


def next_kernel(found: Averages, layer: Layer, rates: Layer) -> Layer:
    """G, G1 and V of the next layer."""
    c_w = rates["c_w"]
    g = found[0, 0]
    moved = second(found, (0, 0), layer["V"])
    moved = on_last(lambda x: second(found, (0, 0), x), moved)
    connected = found[0, 0, 0, 0] - g[:, :, :, None, None] * g[:, None, None]
    correction = 0.5 * second(found, (0, 0), layer["G1"])
    return {
        "G": lifted(rates["c_b"], 2) + lifted(c_w, 2) * g,
        "G1": lifted(c_w, 2) * (correction + 0.125 * fourth(found, (0, 0), layer["V"])),
        "V": lifted(c_w, 4) ** 2 * (connected + 0.25 * moved),
    }


def next_tangent(found: Averages, layer: Layer, after: Layer, rates: Layer) -> Layer:
    """H, H1, D, F, B and A of the next layer, `after` holding its G1."""
    c_w, rate = lifted(rates["c_w"], 4), lifted(rates["lambda_w"], 4)
    theta, slopes, g = layer["H"], found[1, 1], found[0, 0]
    moving = lifted(rates["c_w"], 2) * theta  # C_W Θ
    mean = lifted(rates["lambda_w"], 2) * g + moving * slopes  # ⟨Ω⟩
    first, last = (slice(None), slice(None), slice(None), None, None), (slice(None), None, None)
    carried = lifted(rates["c_w"], 2) * slopes  # C_W ⟨σ'σ'⟩

    def of_ntk(tensor: Array) -> Array:
        return second_of_ntk(found, rates["lambda_w"], moving, tensor)

    bare, half = found[0, 0, 0, 0], found[0, 0, 1, 1]
    to_last = on_last(of_ntk, layer["V"])
    crossed = carried[last] * layer["D"]
    mixed = 0.5 * of_ntk(crossed)
    both = (
        rate**2 * bare
        + rate * (moving[last] * half + moving[first] * found[1, 1, 0, 0])
        + moving[first] * moving[last] * found[1, 1, 1, 1]
    )
    return {
        "H": lifted(rates["lambda_b"], 2) + mean,
        "H1": _mean_correction(found, layer, after, rates),
        "D": c_w
        * (
            rate * bare
            + moving[last] * half
            - g[first] * mean[last]
            + 0.25 * second(found, (0, 0), to_last)
            + 0.5 * second(found, (0, 0), crossed)
        ),
        "A": both
        - mean[first] * mean[last]
        + 0.25 * of_ntk(to_last)
        + mixed
        + mixed.transpose(0, 3, 4, 1, 2)
        + carried[first] * carried[last] * layer["A"],
        "F": c_w**2
        * (
            found[0, 1, 0, 1] * theta[:, None, :, None, :]
            + _slopes_of_output(found, on_last(lambda x: _slopes_of_output(found, x), layer["F"]))
        ),
        "B": c_w**2
        * (
            found[1, 1, 1, 1] * theta[:, :, None, :, None] * theta[:, None, :, None, :]
            + slopes[first] * slopes[last] * layer["B"]
        ),
    }


def _slopes_of_output(found: Averages, tensor: Array) -> Array:
    """Σ_a ⟨∂_a σ_i σ'_j⟩ X_aj.."""
    own = np.einsum("pjj...->pj...", tensor)
    return found[1, 1][..., None, None] * tensor + found[0, 2][..., None, None] * own[:, None]


def _mean_correction(found: Averages, layer: Layer, after: Layer, rates: Layer) -> Array:
    """Equation (12), second line."""
    c_w, rate = lifted(rates["c_w"], 2), lifted(rates["lambda_w"], 2)
    slopes_move = 0.5 * second(found, (1, 1), layer["G1"])
    slopes_move += 0.125 * fourth(found, (1, 1), layer["V"])
    f = layer["F"]
    joint = layer["D"] + np.einsum("paibj->pabij", f) + np.einsum("pbiaj->pabij", f)
    with_ntk = (
        found[3, 1] * np.einsum("piiij->pij", joint)
        + found[1, 3] * np.einsum("pjjij->pij", joint)
        + found[2, 2] * (np.einsum("pijij->pij", joint) + np.einsum("pjiij->pij", joint))
    )
    return rate / c_w * after["G1"] + c_w * (
        layer["H"] * slopes_move + found[1, 1] * layer["H1"] + 0.5 * with_ntk
    )
