r"""Spiked Wigner matrices: a rank-one signal in symmetric noise (Z2 synchronisation, sparse PCA).

**Model.** A hidden x has n = dimension independent entries of unit variance, ±1 (`rademacher`: Z2
synchronisation) or N(0, 1) (`gaussian`), and is seen through

    Y = (λ/n) x x^T + W,      λ = signal,      W_ij ~ N(0, 1/n) for i < j,  W_ii ~ N(0, 2/n).

The spectrum of W fills [-2, 2]. The estimator knows Y, λ and the prior. Other papers write
√(λ'/n) x x^T + noise of unit variance, with λ' = λ²; the transition is at 1 in either.

**Theory** (`state_evolution`). An estimate x̂ of overlap q = E x x̂ makes Y x̂, memory subtracted,
an observation of x in Gaussian noise of signal-to-noise ratio s = λ² q. With q_prior(s) the overlap
of the posterior mean given λ² q x + λ√q Z (`solvers.numerics.priors`), for rademacher
E tanh(s + √s Z), the Bayes-optimal overlap is the fixed point

    q = q_prior(λ² q),                                                                        (1)

the mutual information and free entropy per site are

    I/n = λ² (1 - q)²/4 + I_prior(λ² q),      φ = λ²/4 - I/n,                                 (2)

φ being (1/n) E log of the partition function ∫P(dx) exp Σ_{i<j} [λ Y_ij x_i x_j - λ² x_i² x_j²/2n],
zero without a signal, and dφ/dλ = λ q²/2, dI/dλ = λ (1 - q²)/2 (I-MMSE; times n). q = 0 solves (1)
always and is stable up to λ = 1, since q_prior(s) = s + O(s²): the transition of message passing,
of the posterior (both priors: q_prior is concave, so there is one other solution, and continuous)
and of the spectrum alike. Beyond it, with ε = 1 - 1/λ², q = ε for gaussian, exactly, and
q = ε + 2ε²/3 + O(ε³) for rademacher (q_prior(s) = s - s² + 5s³/3 - ...): both have slope 2 in λ.

**Spectrum.** For λ > 1 the largest eigenvalue of Y is λ + 1/λ, outside the bulk, and its unit
eigenvector v has (v·x)²/n = 1 - 1/λ² = `spectral_overlap`; below, 2 and 0.

**Overlap.** Y does not tell x from -x: the posterior mean of x is zero, and all overlaps are those
after the symmetry is broken. `overlap` is q = E x x̂ per site in theory and |x·x̂|/n in simulations
(one and the same as |x̂|²/n on average, `self_overlap`); `cosine` is |x·x̂|/(|x||x̂|) -> √q; `mse` is
per site, of the better sign, 1 - q; `matrix_mse` that of x x^T, (1/n²)|x x^T - x̂ x̂^T|² -> 1 - q².
The spectral estimate of unit variance has cosine √(1 - 1/λ²).

**Source.** M. Lovig, "For the love of message passing" (2025), Example 1.3, whose λ is this one
(its z_t ~ N(0, E f²) beside the mean λμ). Deshpande, Abbe and Montanari, Inf. Inference 6 (2017),
arXiv:1507.08685, and Lelarge and Miolane, Probab. Theory Relat. Fields 173 (2019), arXiv:1611.03888
(mutual information; their λ is λ²); Baik, Ben Arous and Péché, Ann. Probab. 33 (2005), and
Benaych-Georges and Nadakuditi, Adv. Math. 227 (2011) (spectrum); Montanari and Venkataramanan,
Ann. Stat. 49 (2021), arXiv:1711.01682 (spectral start).
"""

from solvers.systems.spiked_wigner import amp, spectral, state_evolution
from solvers.systems.spiked_wigner.model import system

__all__ = ["amp", "spectral", "state_evolution", "system"]
