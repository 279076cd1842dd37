"""INT4 against compressed-tensors, bit for bit."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import CheckpointError
from manyeyes.model.int4 import Int4, dequantise, group_scales, pack, quantise, quantise_codes, unpack

pytest.importorskip("compressed_tensors")
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams

ARGS = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=32)
SCHEME = QuantizationScheme(targets=["Linear"], weights=ARGS)

shapes = st.tuples(st.integers(1, 6), st.integers(1, 5).map(lambda groups: 32 * groups))
seeds = st.integers(0, 2**31)


def gaussian(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.empty(shape[:-1] + (1,)).log_normal_(-3, 2, generator=generator)
    return (torch.randn(shape, generator=generator) * spread).to(dtype)


@given(st.tuples(st.integers(1, 5), st.integers(1, 70)), seeds)
def test_pack_and_unpack_equal_compressed_tensors(shape, seed) -> None:
    codes = torch.randint(-8, 8, shape, generator=torch.Generator().manual_seed(seed)).to(torch.int8)
    packed = pack(codes)
    assert torch.equal(packed, pack_to_int32(codes, 4))
    assert torch.equal(unpack(packed, shape[1]), codes)
    assert torch.equal(unpack(packed, shape[1]), unpack_from_int32(packed, 4, torch.Size(shape)))


def test_lowest_bits_hold_the_first_column_in_offset_binary() -> None:
    codes = torch.tensor([[-8, -7, -1, 0, 1, 2, 6, 7]], dtype=torch.int8)
    assert int(pack(codes)) & 0xFFFFFFFF == 0xFEA98710


@given(shapes, seeds)
def test_a_quantised_matrix_equals_what_compressed_tensors_stores_and_reads(shape, seed) -> None:
    weight = gaussian(shape, seed)
    ours = quantise(weight)
    state = {"weight": weight, "weight_scale": ours.scale_OG}
    theirs = PackedQuantizationCompressor.compress(state, SCHEME)
    assert torch.equal(ours.packed_OW, theirs["weight_packed"])
    assert ours.shape.tolist() == theirs["weight_shape"].tolist()
    read = PackedQuantizationCompressor.decompress(theirs, SCHEME)["weight"]
    assert read.dtype == torch.bfloat16
    assert torch.equal(dequantise(ours), read)


@given(shapes, seeds)
def test_divisor_7_5_gives_the_scales_of_the_minmax_observer(shape, seed) -> None:
    weight = gaussian(shape, seed)
    groups = weight.unflatten(-1, (-1, 32))
    theirs, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), ARGS)
    assert torch.equal(group_scales(weight, divisor=7.5), theirs.to(torch.bfloat16))


@given(shapes, seeds)
def test_error_is_at_most_half_a_step_and_a_groups_extreme_is_code_seven(shape, seed) -> None:
    weight = gaussian(shape, seed)
    int4 = quantise(weight)
    codes = unpack(int4.packed_OW, shape[1]).unflatten(-1, (-1, 32))
    assert (codes.abs().amax(-1) == 7).all()
    error = (dequantise(int4, dtype=torch.float32) - weight).abs().unflatten(-1, (-1, 32)).amax(-1)
    # The bf16 scale is off by up to 2^-9 of itself, which the extreme code multiplies by 7.
    assert (error <= int4.scale_OG.float() * (0.5 + 7 * 2**-8)).all()


@given(shapes, seeds)
def test_quantising_again_changes_nothing_in_fp32_and_no_code_in_bf16(shape, seed) -> None:
    first = quantise(gaussian(shape, seed))
    exact = quantise(dequantise(first, dtype=torch.float32))
    rounded = quantise(dequantise(first, dtype=torch.bfloat16))
    assert all(torch.equal(a, b) for a, b in zip(first, exact, strict=True))
    assert torch.equal(first.packed_OW, rounded.packed_OW)


def test_a_stack_of_experts_is_quantised_matrix_by_matrix() -> None:
    stack = gaussian((3, 4, 64), 1)
    whole, single = quantise(stack), [quantise(matrix) for matrix in stack]
    assert torch.equal(whole.packed_OW, torch.stack([s.packed_OW for s in single]))
    assert torch.equal(dequantise(whole), torch.stack([dequantise(s) for s in single]))


def test_bf16_weights_are_quantised_without_rounding_in_between() -> None:
    weight = gaussian((4, 64), 2, torch.bfloat16)
    assert torch.equal(quantise(weight).packed_OW, quantise(weight.float()).packed_OW)


def test_zeros_stay_zeros_and_their_scale_is_usable() -> None:
    int4 = quantise(torch.zeros(2, 32))
    assert (int4.scale_OG > 0).all()
    assert torch.equal(dequantise(int4), torch.zeros(2, 32, dtype=torch.bfloat16))


def test_codes_are_clamped_before_they_are_rounded() -> None:
    codes = quantise_codes(torch.tensor([[9.0, -9.0] * 16]), torch.ones(1, 1))
    assert codes.unique().tolist() == [-8, 7]


def test_a_scale_for_other_group_sizes_is_read_by_its_shape() -> None:
    codes = torch.full((1, 64), 3, dtype=torch.int8)
    int4 = Int4(pack(codes), torch.tensor([[0.5]], dtype=torch.bfloat16), torch.tensor([1, 64], dtype=torch.int32))
    assert torch.equal(dequantise(int4), torch.full((1, 64), 1.5, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.zeros(2, 33), "multiples of 32; this matrix has 33"),
        (torch.full((1, 32), float("nan")), "infinite or NaN"),
    ],
)
def test_what_int4_cannot_store_is_refused(weight, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        quantise(weight)
