"""Newton-Schulz: nearly orthogonal factors of a whole batch of matrices at once.

    X ← X/‖X‖,  then five times  A = XXᵀ,  X ← (aI + bA + cA²) X,  (a, b, c) = (3.4445, −4.7750, 2.0315)

Every factor P = aI + bA + cA² is a polynomial in the first A, so all of them commute and in float32 the iteration can
stay on the small side: A ← P²A, Q ← PQ, and X is touched twice, for A and for QX ("Gram Newton-Schulz"). Those
products are symmetric, so only blocks on and below the diagonal are computed. Half precision keeps the plain form.

Report: §4.1 (MuonClip); coefficients: K. Jordan, Muon; Gram form: J. Zhang, N. Amsel, B. Chen, T. Dao, 2026.
Shapes: B matrices of R rows and C columns; M = min(R, C), N = max(R, C).
"""

from typing import NamedTuple

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
EPSILON = 1e-7
GRAM_STEPS = 5
BLOCK = 64
GRAM_RATIO = 1.25


def orthogonalise(x_BRC: Tensor, steps: int = 5, *, dtype: torch.dtype | None = None) -> Tensor:
    dtype = dtype or fast_dtype(x_BRC.device)
    tall = x_BRC.size(-2) > x_BRC.size(-1)
    x_BMN = x_BRC.to(dtype).mT if tall else x_BRC.to(dtype)
    o_BMN = gram_newton_schulz(x_BMN, steps) if _gram_pays(x_BMN) else newton_schulz(x_BMN, steps)
    return o_BMN.mT if tall else o_BMN


def fast_dtype(device: torch.device) -> torch.dtype:
    return torch.float32


def _gram_pays(x_BMN: Tensor) -> bool:
    m, n = x_BMN.shape[-2:]
    return x_BMN.dtype in (torch.float32, torch.float64) and n >= GRAM_RATIO * m


def newton_schulz(x_BMN: Tensor, steps: int) -> Tensor:
    a, b, c = COEFFICIENTS
    x_BMN = x_BMN / torch.linalg.vector_norm(x_BMN, dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(steps):
        gram_BMM = torch.bmm(x_BMN, x_BMN.mT)
        factor_BMM = torch.baddbmm(gram_BMM, gram_BMM, gram_BMM, beta=b, alpha=c)
        x_BMN = torch.baddbmm(x_BMN, factor_BMM, x_BMN, beta=a)
    return x_BMN


class Symmetric:
    def __init__(self, blocks: list[list[Tensor]]) -> None:
        self.blocks = blocks

    @classmethod
    def gram(cls, x_BMN: Tensor, block: int) -> "Symmetric":
        rows = x_BMN.tensor_split(max(1, x_BMN.size(1) // block), dim=1)
        return cls([[torch.bmm(left, right.mT) for right in rows[: i + 1]] for i, left in enumerate(rows)])

    def at(self, i: int, j: int) -> Tensor:
        return self.blocks[i][j] if i >= j else self.blocks[j][i].mT

    def dense(self) -> Tensor:
        n = range(len(self.blocks))
        return torch.cat([torch.cat([self.at(i, j) for j in n], dim=2) for i in n], dim=1)

    def diagonals(self):
        return [row[-1].diagonal(dim1=1, dim2=2) for row in self.blocks]

    def scale_(self, by_B11: Tensor):
        for row in self.blocks:
            for block in row:
                block.mul_(by_B11)
        return self


def multiply(base: Symmetric, left: Symmetric, right: Symmetric, *, beta: float = 1.0, alpha: float = 1.0) -> Symmetric:
    def entry(i, j):
        out = torch.baddbmm(base.blocks[i][j], left.at(i, 0), right.at(0, j), beta=beta, alpha=alpha)
        for k in range(1, len(base.blocks)):
            out.baddbmm_(left.at(i, k), right.at(k, j), alpha=alpha)
        return out

    return Symmetric([[entry(i, j) for j in range(i + 1)] for i in range(len(base.blocks))])


def gram_newton_schulz(x_BMN: Tensor, steps: int, block=BLOCK) -> Tensor:
    a, b, c = COEFFICIENTS
    gram = Symmetric.gram(x_BMN, block)
    square_B = torch.stack([d.sum(-1) for d in gram.diagonals()]).sum(0).clamp(min=EPSILON**2)
    gram.scale_(square_B.reciprocal()[:, None, None])
    q = None
    for step in range(steps):
        z = multiply(gram, gram, gram, beta=b, alpha=c)  # P = aI + Z
        if step < steps - 1:
            half = multiply(gram, gram, z, beta=a)
            gram = multiply(half, half, z, beta=a)
        if q is None:
            for d in z.diagonals():
                d.add_(a)
            q = z
        else:
            q = multiply(q, q, z, beta=a)
    q.scale_(square_B.rsqrt()[:, None, None])
    return torch.bmm(q.dense(), x_BMN)
