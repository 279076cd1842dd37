"""Whether this machine's batched bf16 products have the bits of single ones, which libraries do not promise."""

import torch


def as_single(*shapes: tuple[int, int]) -> bool:
    """Tried on the products that Newton-Schulz makes of matrices of these shapes."""
    return all(_as_single(min(shape), max(shape)) for shape in shapes)


def _as_single(m: int, n: int) -> bool:
    wide = torch.randn(3, m, n, generator=torch.Generator().manual_seed(0)).bfloat16()
    for x in (wide, wide.mT.contiguous().mT):
        gram = torch.bmm(x, x.mT)
        square, whole = torch.baddbmm(gram, gram, gram, beta=-4.7, alpha=2.0), torch.baddbmm(x, gram, x, beta=3.4)
        for i in range(3):
            one = gram[i]
            same = (
                torch.equal(one, x[i] @ x[i].mT)
                and torch.equal(square[i], torch.addmm(one, one, one, beta=-4.7, alpha=2.0))
                and torch.equal(whole[i], torch.addmm(x[i], one, x[i], beta=3.4))
            )
            if not same:
                return False
    return True
