"""Newton-Schulz: brings every singular value of a whole batch of matrices close to 1.

    X ← X/‖X‖,  then five times  A = XXᵀ,  P = aI + bA + cA²,  X ← PX,   (a, b, c) = (3.4445, −4.7750, 2.0315)

All P are polynomials of the first A and commute, so in fp32 the iteration stays on the small side: A ← P²A, Q ← PQ,
and X is touched twice, for A and for QX ("Gram Newton-Schulz"). Its products are symmetric, and only blocks on and
below the diagonal are computed. Rounding of A's small eigenvalues grows a² a step: fp32 stays within 0.02 of exact over
five steps (bf16: up to 0.3, see the tests), but bf16 could not afford it and keeps the plain form, bit for bit torch's.

Report: §4.1 (MuonClip). Coefficients: K. Jordan, Muon. Gram form: J. Zhang, N. Amsel, B. Chen, T. Dao, 2026.
Shapes: B matrices of R rows and C columns; M = min(R, C), N = max(R, C).
"""

from math import ceil

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-7
"""Smallest norm that a matrix is divided by (torch.optim.Muon)."""

GRAM_STEPS = 5
"""Steps before the Gram form computes A anew from X: after 10, rounding would make eigenvalues negative and diverge."""

GRAM_RATIO = 1.5
"""N/M from which the Gram form is used. In 2 x 2 blocks it has 25.5 + 3.5 N/M against 10 + 20 N/M times M³ operations,
but small blocks are slower: the measured break-even is 1.3 at M = 192 and 1.7 at M = 64."""

BLOCK, MAX_BLOCKS = 64, 4
"""Symmetric products on the CPU are cut into blocks of about this side (measured: 64 is best), at most 4 x 4."""


def orthogonalise(x_BRC: Tensor, steps: int = 5, *, dtype: torch.dtype | None = None) -> Tensor:
    """Matrices with the singular vectors of `x_BRC` and singular values in about [0.7, 1.2]; zeros stay zeros.

    Each result depends on its own matrix only, not on what else is in the batch.

    Args:
        x_BRC: [B, R, C]; never written to.
        steps: Newton-Schulz iterations.
        dtype: number format of the arithmetic and of the result; default `default_dtype` of the device.
    """
    x_BRC = x_BRC.to(default_dtype(x_BRC.device) if dtype is None else dtype)
    tall = x_BRC.size(1) > x_BRC.size(2)
    x_BMN = _unit(x_BRC.mT if tall else x_BRC)
    o_BMN = gram_newton_schulz(x_BMN, steps) if _gram_pays(x_BMN) else newton_schulz(x_BMN, steps)
    return o_BMN.mT if tall else o_BMN


def default_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """bf16, as in the report, where hardware multiplies bf16 fast; fp32 where bf16 would be emulated."""
    if torch.device(device).type != "cpu":
        return torch.bfloat16
    abilities = torch.cpu.get_capabilities()
    fast = abilities.get("avx512_bf16") or abilities.get("amx_tile") or abilities.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


def _unit(x_BMN: Tensor) -> Tensor:
    return x_BMN / torch.linalg.vector_norm(x_BMN, dim=(1, 2), keepdim=True).clamp(min=EPSILON)


def _gram_pays(x_BMN: Tensor) -> bool:
    return x_BMN.dtype in (torch.float32, torch.float64) and x_BMN.size(2) >= GRAM_RATIO * x_BMN.size(1)


def newton_schulz(x_BMN: Tensor, steps: int) -> Tensor:
    """The iteration as written, batched: 2 (4 M²N + 2 M³) operations a step. Needs ‖X‖ ≤ 1."""
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram_BMM = torch.bmm(x_BMN, x_BMN.mT)
        factor_BMM = torch.baddbmm(gram_BMM, gram_BMM, gram_BMM, beta=b, alpha=c)
        x_BMN = torch.baddbmm(x_BMN, factor_BMM, x_BMN, beta=a)
    return x_BMN


def gram_newton_schulz(x_BMN: Tensor, steps: int) -> Tensor:
    """The same polynomial of X with all but two products on the M x M side. Needs ‖X‖ ≤ 1 and fp32 or more."""
    tall_in_memory = x_BMN.stride(2) != 1  # then QX = (XᵀQ)ᵀ keeps the layout
    for done in range(0, steps, GRAM_STEPS):
        q_BMM = _accumulated_factor(x_BMN, min(GRAM_STEPS, steps - done))
        x_BMN = torch.bmm(x_BMN.mT, q_BMM).mT if tall_in_memory else torch.bmm(q_BMM, x_BMN)
    return x_BMN


def _accumulated_factor(x_BMN: Tensor, steps: int) -> Tensor:
    gram = Symmetric.gram(x_BMN, blocks=_blocks(x_BMN))
    factor = accumulated = _factor(gram)
    for _ in range(steps - 1):
        gram = factor.times(factor.times(gram))
        factor = _factor(gram)
        accumulated = factor.times(accumulated)
    return accumulated.dense()


def _factor(gram: "Symmetric") -> "Symmetric":
    a, b, c = COEFFICIENTS
    return gram.times(gram, alpha=c, plus=gram, beta=b).add_to_diagonal_(a)


def _blocks(x_BMN: Tensor) -> int:
    return min(MAX_BLOCKS, ceil(x_BMN.size(1) / BLOCK)) if x_BMN.device.type == "cpu" else 1


class Symmetric:
    """A batch of symmetric matrices as blocks [B, m_i, m_j], j <= i: those above the diagonal are never computed.

    `times` is for factors that commute (polynomials of one matrix), whose product is symmetric again.
    """

    def __init__(self, rows: list[list[Tensor]]) -> None:
        self.rows = rows

    @classmethod
    def gram(cls, x_BMN: Tensor, *, blocks: int) -> "Symmetric":
        """X Xᵀ, cut into `blocks` x `blocks`."""
        bands = x_BMN.tensor_split(blocks, dim=1)
        return cls([[torch.bmm(left, right.mT) for right in bands[: i + 1]] for i, left in enumerate(bands)])

    def block(self, i: int, j: int) -> Tensor:
        """Block (i, j), wherever it lies."""
        return self.rows[i][j] if i >= j else self.rows[j][i].mT

    def times(
        self, other: "Symmetric", *, alpha: float = 1.0, plus: "Symmetric | None" = None, beta: float = 1.0
    ) -> "Symmetric":
        """`alpha` self·other + `beta` plus."""

        def block(i: int, j: int) -> Tensor:
            left, right = self.block(i, 0), other.block(0, j)
            if plus is None:
                total = torch.bmm(left, right)
            else:
                total = torch.baddbmm(plus.rows[i][j], left, right, beta=beta, alpha=alpha)
            for k in range(1, len(self.rows)):
                total.baddbmm_(self.block(i, k), other.block(k, j), alpha=alpha)
            return total

        return Symmetric([[block(i, j) for j in range(i + 1)] for i in range(len(self.rows))])

    def add_to_diagonal_(self, value: float) -> "Symmetric":
        """Adds `value` · I in place."""
        for row in self.rows:
            row[-1].diagonal(dim1=1, dim2=2).add_(value)
        return self

    def dense(self) -> Tensor:
        """The whole matrices [B, M, M]."""
        n = range(len(self.rows))
        return torch.cat([torch.cat([self.block(i, j) for j in n], dim=2) for i in n], dim=1)
