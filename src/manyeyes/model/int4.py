"""INT4 weights as K2.5 ships them: groups of 32 columns share a bf16 scale, eight 4-bit codes share an int32 word.

    w[o, i] = q[o, i] * scale[o, i // 32],   q in -8..7, stored as q + 8;
    nibble j of word k (bits 4j..4j+3, lowest first) is column 8k + j.

This is compressed-tensors' `pack-quantized` format. The scale is absmax / 7, the rule of open quantisation-aware
training code; compressed-tensors' own observer takes absmax / 7.5 (`divisor=7.5`). Readers never see the rule.

Report: §4.1 (native INT4). Shapes: O rows, I columns, W = I / 8 words, G = I / 32 groups; any leading axes are kept.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.model.tensor_names import CODES_PER_WORD, GROUP

LOWEST, HIGHEST = -8, 7
DIVISOR = 7.0


class Int4(NamedTuple):
    """One quantised matrix: the three tensors that a checkpoint stores for it.

    Attributes:
        packed_OW: int32, eight codes a word.
        scale_OG: bf16.
        shape: int32 [2], rows and columns of the matrix.
    """

    packed_OW: Tensor
    scale_OG: Tensor
    shape: Tensor


def quantise(weight_OI: Tensor, *, divisor: float = DIVISOR) -> Int4:
    """The nearest INT4 matrix; computed in fp32 whatever the input is.

    Raises:
        CheckpointError: columns are no multiple of 32, or a weight is not finite.
    """
    scale_OG = group_scales(weight_OI, divisor=divisor)
    codes_OI = quantise_codes(weight_OI, scale_OG)
    return Int4(pack(codes_OI), scale_OG, torch.tensor(weight_OI.shape[-2:], dtype=torch.int32))


def dequantise(int4: Int4, *, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The matrix [O, I]: the exact product of code and scale, rounded once to `dtype`."""
    codes_OGK = unpack(int4.packed_OW, int(int4.shape[-1])).unflatten(-1, (int4.scale_OG.shape[-1], -1))
    # Codes and bf16 scales are exact in either of these types, so the product is the only rounding.
    scale_OG = int4.scale_OG.to(torch.promote_types(dtype, torch.bfloat16))
    return (codes_OGK * scale_OG.unsqueeze(-1)).to(dtype).flatten(-2)


def group_scales(weight_OI: Tensor, *, divisor: float = DIVISOR) -> Tensor:
    """Scale of each group [O, G] in bf16; a group of zeros gets fp32's epsilon, never 0."""
    columns = weight_OI.shape[-1]
    if columns % GROUP:
        raise CheckpointError(f"INT4 needs columns in multiples of {GROUP}; this matrix has {columns}")
    largest_OG = weight_OI.unflatten(-1, (-1, GROUP)).abs().amax(-1).float()
    if not torch.isfinite(largest_OG).all():
        raise CheckpointError("a matrix holds infinite or NaN weights; INT4 can only store finite ones")
    scale_OG = (largest_OG / divisor).to(torch.bfloat16)
    return torch.where(scale_OG == 0, torch.finfo(torch.float32).eps, scale_OG)


def quantise_codes(weight_OI: Tensor, scale_OG: Tensor) -> Tensor:
    """Codes -8..7 as int8 [O, I] for given scales: clamp, then round half to even."""
    ratio_OGK = weight_OI.float().unflatten(-1, (scale_OG.shape[-1], -1)) / scale_OG.float().unsqueeze(-1)
    return ratio_OGK.clamp_(LOWEST, HIGHEST).round_().to(torch.int8).flatten(-2)


def pack(codes_OI: Tensor) -> Tensor:
    """int8 codes [O, I] → int32 words [O, W], the last word filled up with code 0 bits.

    Example:
        >>> hex(int(pack(torch.tensor([[-8, -7, -1, 0, 1, 2, 6, 7]], dtype=torch.int8))) & 0xFFFFFFFF)
        '0xfea98710'
    """
    biased_OI = (codes_OI - LOWEST).view(torch.uint8)
    if filling := -codes_OI.shape[-1] % CODES_PER_WORD:
        biased_OI = torch.nn.functional.pad(biased_OI, (0, filling))
    bytes_OB = biased_OI[..., 0::2] | (biased_OI[..., 1::2] << 4)
    return bytes_OB.view(torch.int32)


def unpack(packed_OW: Tensor, columns: int) -> Tensor:
    """int32 words [O, W] → int8 codes [O, columns]."""
    bytes_OB = packed_OW.contiguous().view(torch.uint8)
    biased_OI = torch.stack((bytes_OB & 0xF, bytes_OB >> 4), dim=-1).flatten(-2)[..., :columns]
    return biased_OI.view(torch.int8).add_(LOWEST)
