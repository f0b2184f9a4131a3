"""One layer of the recursions of the differentials of the tangent kernel: P, Q, R, S, T, U.

Equations (15) to (20) of docs/theory/finite_width.md, with φ_ij = λ_W σ'_i σ_j + C_W Θ_ij σ''_i
σ'_j and u_ij = ⟨∂_i φ_ij⟩ by the factor i, w_ij by the factor j:

    P_ijkl = C_W² [⟨σ''_i σ'_j σ'_k σ_l⟩ Θ_ij Θ_ik + ⟨σ''_i σ_l⟩ ⟨σ'_j σ'_k⟩ (B_iijk + P_ijki)
                   + ⟨σ'_i σ'_l⟩ ⟨σ'_j σ'_k⟩ P_ijkl]
    Q_ijkl = C_W [⟨φ_ij σ'_k σ_l⟩ Θ_ik + Σ_ab ⟨∂_a φ_ij⟩ ⟨∂_b σ'_k σ_l⟩ F_aibk
                  + C_W ⟨σ'_i σ'_j⟩ Σ_b ⟨∂_b σ'_k σ_l⟩ Q_ijkb]
    R_ijkl = C_W [⟨∂_i φ_ij σ'_k σ'_l⟩ Θ_ik Θ_il + ⟨σ'_k σ'_l⟩ (u_ij B_iikl + Σ_a ⟨∂_a φ_ij⟩ P_ikla)
                  + C_W ⟨σ'_i σ'_j⟩ ⟨σ'_k σ'_l⟩ R_ijkl]
    S_ijkl = C_W [⟨∂_j φ_ij σ'_k σ'_l⟩ Θ_ik Θ_jl + w_ij ⟨σ'_k σ'_l⟩ B_ijkl
                  + C_W ⟨σ'_i σ'_j⟩ ⟨σ'_k σ'_l⟩ S_ijkl]
    T_ijkl = ⟨φ_ij φ_lk⟩ Θ_il + Σ_ab ⟨∂_a φ_ij⟩ ⟨∂_b φ_lk⟩ F_aibl
             + C_W Σ_a (⟨σ'_l σ'_k⟩ ⟨∂_a φ_ij⟩ Q_lkia + ⟨σ'_i σ'_j⟩ ⟨∂_a φ_lk⟩ Q_ijla)
             + C_W² ⟨σ'_i σ'_j⟩ ⟨σ'_l σ'_k⟩ T_ijkl
    U_ijkl = C_W² [⟨σ''_i σ'_j σ''_k σ'_l⟩ Θ_ik Θ_il Θ_kj + ⟨σ'_i σ'_j⟩ ⟨σ'_k σ'_l⟩ U_ijkl]

Source: Roberts, Yaida and Hanin (2022), sections 11.2 and infinity.3.
"""

from __future__ import annotations

import numpy as np

from solvers.systems.finite_width.averages import Averages
from solvers.systems.finite_width.contractions import lifted

Array = np.ndarray
Layer = dict[str, Array]
FOUR = ((2, 1, 1, 0), (3, 1, 1, 1), (2, 2, 1, 1))


def next_differentials(found: Averages, layer: Layer, rates: Layer) -> Layer:
    """P, Q, R, S, T and U of the next layer."""
    e = np.einsum
    c_w, rate = lifted(rates["c_w"], 4), lifted(rates["lambda_w"], 4)
    h = layer["H"]
    moving = lifted(rates["c_w"], 2) * h  # C_W Θ
    slow = lifted(rates["lambda_w"], 2)
    slopes, bend = found[1, 1], found[2, 0]
    u = slow * bend + moving * found[3, 1]
    w = slow * slopes + moving * found[2, 2]
    b, f, p, q = (layer[letter] for letter in "BFPQ")

    # Σ_a ⟨∂_a φ_ij⟩ F_ai..
    along = e("pij,piibc->pijbc", u, f) + e("pij,pjibc->pijbc", w, f)
    pairs = slopes[:, :, :, None, None] * slopes[:, None, None]  # ⟨σ'_i σ'_j⟩⟨σ'_k σ'_l⟩
    two_thetas = e("pik,pil->pikl", h, h)[:, :, None]  # Θ_ik Θ_il

    def phi(*rest: int) -> Array:
        """⟨φ_ij σ_k^(.) σ_l^(.)⟩."""
        return rate * found[1, 0, *rest] + moving[..., None, None] * found[2, 1, *rest]

    joined = e("pijk,pjk->pijk", e("piijk->pijk", b) + e("pijki->pijk", p), slopes)
    new_p = c_w**2 * (
        found[2, 1, 1, 0] * e("pij,pik->pijk", h, h)[..., None]
        + e("pil,pijk->pijkl", bend, joined)
        + e("pil,pjk,pijkl->pijkl", slopes, slopes, p)
    )
    with_output = e("pkl,pijkk->pijkl", bend, along) + e("pkl,pijlk->pijkl", slopes, along)
    kept = e("pkl,pijkk->pijkl", bend, q) + e("pkl,pijkl->pijkl", slopes, q)
    new_q = c_w * (
        phi(1, 0) * e("pik->pik", h)[:, :, None, :, None]
        + with_output
        + c_w * slopes[..., None, None] * kept
    )
    steep = rate * found[2, 0, 1, 1] + moving[..., None, None] * found[3, 1, 1, 1]
    own = e("pij,piikl->pijkl", u, b) + e("pij,pikli->pijkl", u, p) + e("pij,piklj->pijkl", w, p)
    new_r = c_w * (steep * two_thetas + slopes[:, None, None] * own + c_w * pairs * layer["R"])
    flat = rate * found[1, 1, 1, 1] + moving[..., None, None] * found[2, 2, 1, 1]
    new_s = c_w * (
        flat * e("pik,pjl->pijkl", h, h)
        + e("pij,pkl,pijkl->pijkl", w, slopes, b)
        + c_w * pairs * layer["S"]
    )
    # The second pair of T is (l, k).
    both = (
        rate**2 * found[1, 0, 0, 1]
        + rate * (moving[..., None, None] * found[2, 1, 0, 1])
        + rate * e("plk,pijkl->pijkl", moving, found[1, 0, 1, 2])
        + e("pij,plk,pijkl->pijkl", moving, moving, found[2, 1, 1, 2])
    )
    fluctuating = e("plk,pijll->pijkl", u, along) + e("plk,pijkl->pijkl", w, along)
    crossed = e("pij,plkii->pijkl", u, q) + e("pij,plkij->pijkl", w, q)
    mirrored = e("plk,pijll->pijkl", u, q) + e("plk,pijlk->pijkl", w, q)
    new_t = (
        both * h[:, :, None, None, :]
        + fluctuating
        + c_w * e("plk,pijkl->pijkl", slopes, crossed)
        + c_w * e("pij,pijkl->pijkl", slopes, mirrored)
        + c_w**2 * pairs * layer["T"]
    )
    new_u = c_w**2 * (found[2, 1, 2, 1] * e("pik,pil,pkj->pijkl", h, h, h) + pairs * layer["U"])
    return {"P": new_p, "Q": new_q, "R": new_r, "S": new_s, "T": new_t, "U": new_u}
