"""The linear system of a Newton step, (c + X^T D X) s = r, by conjugate gradients or directly.

X is (rows, dimension), D >= 0 diagonal, c >= 0. Conjugate gradients read X once an iteration and
need about √condition of them. A factorisation of the smaller of the two Gram matrices costs about
min(rows, dimension)/20 such iterations (a matrix product runs some ten times faster than the
product with one vector, which waits for memory), a third of that if most of the Gram matrix is
known from the step before, whatever the condition. So conjugate gradients are tried for as long as
a factorisation would take, and then given up for good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from array_api_compat import is_numpy_namespace, to_device

from solvers.systems.glm_erm.solving.gram import Gram

_FEWEST = 20
"""Where a factorisation costs less than so many iterations, it is done at once."""

_SHARE = (1 / 20, 1 / 60)
"""Iterations that a factorisation costs, over the size of the matrix: in general, and where the
inner products of rows are needed and mostly known."""

_BLOCK = 2**18
"""Numbers in a block of rows: it stays in cache between X·p and X^T·(D X·p)."""


class Ridge:
    """(c + X^T D X) for one X, D (its diagonal `weight`) and c.

    `direct` says to factorise at once; it becomes true when iterating did not pay. `gram` keeps
    inner products of rows from one system to the next.
    """

    def __init__(
        self, *, rows: Any, weight: Any, c: float, xp: Any, gram: Gram, direct: bool = False
    ) -> None:
        used = xp.nonzero(weight > 0)[0]
        if used.shape[0] < rows.shape[0]:
            rows, weight = xp.take(rows, used, axis=0), xp.take(weight, used)
        self.rows, self.weight, self.c, self.xp = rows, weight, c, xp
        self.direct = direct
        self._gram, self._used = gram, used
        self._inverse: Any = None

    def solve(self, r: Any, *, tolerance: float) -> Any:
        """s with |(c + X^T D X) s - r| <= tolerance·|r|.

        A factorisation gives what the condition allows instead; LinAlgError if it does not exist.
        """
        count, dimension = self.rows.shape
        if count == 0:
            return r / self.c
        few = count < dimension and self.c > 0
        patience = int(min(count, dimension) * _SHARE[few])
        if not self.direct and patience >= _FEWEST:
            s = self._iterate(r, tolerance, patience)
            if s is not None:
                return s
        self.direct = True
        root = self.xp.sqrt(self.weight)
        if few:
            # With B = √D X: (c + B^T B)^-1 = (1 - B^T (c + B B^T)^-1 B)/c.
            if self._inverse is None:
                inner = self._gram.of(np.asarray(to_device(self._used, "cpu")))
                inner *= root[:, None]
                inner *= root
                self._inverse = _inverse(inner, self.c, self.xp)
            return (r - (root * self._inverse(root * (self.rows @ r))) @ self.rows) / self.c
        if self._inverse is None:
            scaled = root[:, None] * self.rows
            self._inverse = _inverse(scaled.T @ scaled, self.c, self.xp)
        return self._inverse(r)

    def _iterate(self, r: Any, tolerance: float, patience: int) -> Any:
        """Conjugate gradients: the solution, or None if `patience` iterations are not enough."""
        xp, (count, dimension) = self.xp, self.rows.shape
        height = max(16, _BLOCK // dimension) if is_numpy_namespace(xp) else count
        blocks = [slice(at, min(at + height, count)) for at in range(0, count, height)]
        s, rest = xp.zeros_like(r), r
        p, square = r, float(r @ r)
        enough = tolerance**2 * square
        for _ in range(patience):
            if square <= enough:
                break
            q = self.c * p
            for here in blocks:
                part = self.rows[here]
                q = q + (self.weight[here] * (part @ p)) @ part
            step = square / float(p @ q)
            s, rest = s + step * p, rest - step * q
            before, square = square, float(rest @ rest)
            p = rest + (square / before) * p
        return s if square <= enough else None


def _inverse(gram: Any, c: float, xp: Any) -> Any:
    """The map r -> (gram + c)^-1 r."""
    if is_numpy_namespace(xp):
        gram[np.diag_indices(len(gram))] += c
        factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        return lambda r: scipy.linalg.cho_solve(factor, r, check_finite=False)
    matrix = gram + c * xp.eye(gram.shape[0], dtype=gram.dtype)
    return lambda r: xp.linalg.solve(matrix, r)
