"""Kernels that are compiled for the machine at hand when an engine begins, in about a second.

Libraries are made for products of many rows; a decode step has a few rows an expert, and one query a row over scattered
blocks. `kernels.cpp` has these loops. Without a C++ compiler the engine computes the same numbers with PyTorch alone,
nearly half as fast; `Engine.described` and the log say which it is. A row's numbers do not depend on what is beside it,
nor on how many threads work; with all products done here (`EngineConfig.invariant`) that holds for a whole step.

Report: App. D.

Shapes: N tokens, K experts a token, E experts, D width, I expert width, O outputs, T tile; g rows, H heads.
"""

import ctypes
import functools
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOG = logging.getLogger("manyeyes.engine")
SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
WIDER = ("-mprefer-vector-width=512",)
"""What x86 compilers know besides: else they halve the vectors of AVX-512."""
SECONDS = 120.0
ALONE = 1 << 22
"""Products of two numbers that one thread does in about 80 microseconds: fewer are not worth waking a second one
(tried: a quarter, and four times as many)."""
TILE, WIDE = 32, 16
"""Outputs of a packed tile, floats of a vector: as in the source."""


class Kernels:
    """The compiled functions, over tensors: fp32, on the CPU."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._experts, self._attend, self._norm = library.experts, library.attend, library.rms_norm
        self._grouped, self._route = library.grouped, library.route
        self._activate, self._turn, self._all_layers = library.activate, library.turn, library.all_layers
        for name in ("experts", "attend", "rms_norm", "grouped", "route", "activate", "turn"):
            getattr(library, name).restype = None
        self._bytes_of = library.bytes_of
        self._bytes_of.restype = ctypes.c_int64

    def experts(
        self, packed: "PackedExperts", x_ND: Tensor, expert_NK: Tensor, weight_NK: Tensor, out_ND: Tensor
    ) -> None:
        """Adds to `out_ND` what each token's experts say, weighed."""
        x_ND, expert_NK, weight_NK = x_ND.contiguous(), expert_NK.contiguous(), weight_NK.contiguous()
        self._experts(
            *_sizes(len(x_ND), x_ND.shape[1], packed.hidden, len(packed.gate_up), expert_NK.shape[1], packed.outputs),
            *_places(x_ND, expert_NK, weight_NK, packed.gate_up, packed.down, out_ND),
            _threads(3 * expert_NK.numel() * x_ND.shape[1] * packed.hidden),
        )  # fmt: skip

    def route(
        self, x_ND: Tensor, gate_1tDT: Tensor, bias_E: Tensor, *, top_k: int, scale: float, normalise: bool
    ) -> tuple[Tensor, Tensor]:
        """Experts and their weights, as `model.moe.route` chooses them."""
        x_ND, bias_E, (rows, width) = x_ND.contiguous(), bias_E.float(), x_ND.shape
        expert_NK, weight_NK = torch.empty(rows, top_k, dtype=torch.int64), torch.empty(rows, top_k)
        self._route(
            *_sizes(rows, width, len(bias_E), gate_1tDT.shape[1] * TILE, top_k, normalise),
            *_places(x_ND, gate_1tDT, bias_E), ctypes.c_float(scale), *_places(expert_NK, weight_NK),
        )  # fmt: skip
        return expert_NK, weight_NK

    def grouped(self, x_NGI: Tensor, packed_GtIT: Tensor, out_NGO: Tensor) -> Tensor:
        """x[:, g] @ matrix[g], written into `out_NGO`, whose rows may be wider."""
        rows, groups, inner = x_NGI.shape
        tiles, outputs = packed_GtIT.shape[1], out_NGO.shape[2]
        strides = (x_NGI.stride(0), x_NGI.stride(1), out_NGO.stride(0), out_NGO.stride(1))
        self._grouped(
            *_sizes(rows, groups, inner, outputs, tiles * TILE, *strides), *_places(x_NGI, packed_GtIT, out_NGO),
            _threads(rows * groups * inner * outputs),
        )  # fmt: skip
        return out_NGO

    def attend(
        self, query_gHC: Tensor, latents_KB: Tensor, blocks_gk: Tensor, length_g: Tensor, out_gHV: Tensor, *,
        block_tokens: int,
    ) -> None:  # fmt: skip
        """Mixed latents of one query a row over the blocks that hold its past and itself.

        Args:
            blocks_gk: one row, expanded, where all queries are of one sequence.
        """
        rows, heads, width = query_gHC.shape
        self._attend(
            *_sizes(rows, heads, width, out_gHV.shape[2], block_tokens, blocks_gk.stride(0)),
            *_places(query_gHC, latents_KB, blocks_gk, length_g, out_gHV),
            _threads(rows * heads * width * blocks_gk.shape[1] * block_tokens),
        )  # fmt: skip

    def rms_norm(self, x_ND: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        """Each row over the root of its mean square."""
        y_ND = torch.empty(x_ND.shape)
        self._norm(
            *_sizes(*x_ND.shape, x_ND.stride(0)), *_places(x_ND, weight_D), ctypes.c_float(eps), *_places(y_ND),
            *_sizes(y_ND.stride(0)),
        )  # fmt: skip
        return y_ND

    def activate(self, both_NJ: Tensor) -> Tensor:
        """silu of each row's first half times its second."""
        both_NJ, (rows, twice) = both_NJ.contiguous(), both_NJ.shape
        y_NI = torch.empty(rows, twice // 2)
        self._activate(*_sizes(rows, twice // 2), *_places(both_NJ, y_NI))
        return y_NI

    def turn(self, x_NHr: Tensor, turns_NR: Tensor) -> Tensor:
        """What `model.rope.rotate` gives, for all heads of a row alike."""
        x_NHr = x_NHr if x_NHr.stride(2) == 1 else x_NHr.contiguous()
        y_NHr, (rows, heads, width) = torch.empty(x_NHr.shape), x_NHr.shape
        self._turn(
            *_sizes(rows, heads, width // 2, *x_NHr.stride()[:2], *y_NHr.stride()[:2]),
            *_places(x_NHr, turns_NR.contiguous(), y_NHr),
        )  # fmt: skip
        return y_NHr

    def all_layers(
        self, model: ctypes.Structure, layers: "ctypes.Array[Any]", *, bounds: Sequence[int], x_ND: Tensor,
        slot_N: Tensor, turns_NR: Tensor, groups: "ctypes.Array[Any]", sampled_M: Tensor, norm: int, head: int,
        scores_MV: Tensor,
    ) -> None:  # fmt: skip
        """A step through all layers: writes scores and latents, and overwrites `x_ND`; see `inference.all_layers`.

        Args:
            bounds: rows from one to the next are computed by themselves.
            norm, head: addresses of the last norm [D] and of the head's tiles.

        Raises:
            MemoryError: there was none for what layers hand to each other.
        """
        for one in (x_ND, slot_N, turns_NR, sampled_M, scores_MV):
            require_plain(one)
        failed = self._all_layers(
            ctypes.byref(model), *_sizes(len(layers)), layers, *_sizes(len(bounds) - 1),
            (ctypes.c_int64 * len(bounds))(*bounds), *_places(x_ND, slot_N, turns_NR), *_sizes(len(groups)), groups,
            *_sizes(len(sampled_M)), *_places(sampled_M), ctypes.c_void_p(norm), ctypes.c_void_p(head),
            *_sizes(scores_MV.shape[1]), *_places(scores_MV), torch.get_num_threads(),
        )  # fmt: skip
        if failed:
            raise MemoryError(f"no memory for a step of {len(x_ND):,} tokens; lower step_tokens")

    def require_same_layout(self, *structures: type[ctypes.Structure]) -> None:
        """Of what is handed over as structures, in the order of the source.

        Raises:
            RuntimeError: the library has others.
        """
        sizes = [self._bytes_of(ctypes.c_int64(number)) for number in range(len(structures))]
        if sizes != [ctypes.sizeof(one) for one in structures]:
            raise RuntimeError(f"kernels.cpp and its callers differ in their structures: {sizes} bytes there")


def require_plain(tensor: Tensor) -> None:
    """Its numbers lie behind each other, as the loops read them: fp32, int64, or pairs of fp32.

    Raises:
        ValueError: they do not.
    """
    if not tensor.is_contiguous() or tensor.dtype not in (torch.float32, torch.int64, torch.complex64):
        raise ValueError(
            f"kernels read contiguous fp32, int64 or complex64, not {tensor.dtype} with strides {tensor.stride()}"
        )


@dataclass(frozen=True, slots=True)
class PackedExperts:
    """All experts of a layer, and their router, in tiles [E, O / T, inner, T]; sizes are padded with zeros."""

    kernels: Kernels
    router: Tensor
    gate_up: Tensor
    down: Tensor
    hidden: int
    outputs: int

    @classmethod
    def of(
        cls, kernels: Kernels, router_ED: Tensor, gate_EID: Tensor, up_EID: Tensor, down_EDI: Tensor
    ) -> "PackedExperts":
        """From the model's matrices, in whatever format they are kept: the loops read fp32."""
        router_ED, gate_EID, up_EID, down_EDI = (m.float() for m in (router_ED, gate_EID, up_EID, down_EDI))
        hidden, outputs = _padded(gate_EID.shape[1], WIDE), _padded(down_EDI.shape[1], TILE)
        more = hidden - gate_EID.shape[1]
        both = torch.cat([F.pad(gate_EID, (0, 0, 0, more)), F.pad(up_EID, (0, 0, 0, more))], dim=1)
        down = F.pad(down_EDI, (0, more, 0, outputs - down_EDI.shape[1]))
        return cls(kernels, packed_groups(router_ED[None]), _tiles(both), _tiles(down), hidden, outputs)

    def add(self, x_ND: Tensor, expert_NK: Tensor, weight_NK: Tensor, out_ND: Tensor) -> Tensor:
        """`out_ND` with what the experts say added."""
        self.kernels.experts(self, x_ND, expert_NK, weight_NK, out_ND)
        return out_ND


def kernels_for(device: torch.device, dtype: torch.dtype) -> Kernels | str:
    """The kernels, or why there are none."""
    if device.type != "cpu" or dtype != torch.float32:
        return f"kernels are made for fp32 on a CPU, not for {str(dtype).removeprefix('torch.')} on {device.type}"
    return compiled()


@functools.cache
def compiled() -> Kernels | str:
    """Compile, once a process; or why that did not work."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return _told("no C++ compiler (g++ or clang++) was found")
    with tempfile.TemporaryDirectory(prefix="manyeyes-kernels-") as folder:
        target = Path(folder) / "kernels.so"
        why = ""
        for more in (("-fopenmp", *WIDER), ("-fopenmp",), ()):
            why = _compile(compiler, [*FLAGS, *more], target)
            if not why:
                break
        if why:
            return _told(f"{Path(compiler).name} failed: {why}")
        try:
            return Kernels(ctypes.CDLL(str(target)))
        except OSError as error:
            return _told(f"what {Path(compiler).name} made cannot be loaded: {error}")


def _compile(compiler: str, flags: list[str], target: Path) -> str:
    try:
        done = subprocess.run([compiler, *flags, str(SOURCE), "-o", str(target)],
                              capture_output=True, text=True, timeout=SECONDS, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    return (lines or [f"exit status {done.returncode}"])[0][:200] if done.returncode else ""


def _told(why: str) -> str:
    LOG.warning("%s; the engine decodes with PyTorch alone, which gives the same numbers nearly half as fast", why)
    return why


def packed_groups(matrix_GOI: Tensor) -> Tensor:
    """Matrices for `Kernels.grouped`: [G, tiles, I, T]."""
    return _tiles(F.pad(matrix_GOI, (0, 0, 0, _padded(matrix_GOI.shape[1], TILE) - matrix_GOI.shape[1])))


def _tiles(matrix_EOI: Tensor) -> Tensor:
    experts, outputs, inner = matrix_EOI.shape
    return matrix_EOI.view(experts, outputs // TILE, TILE, inner).transpose(2, 3).contiguous()


def _padded(size: int, to: int) -> int:
    return -(-size // to) * to


def _threads(products: int) -> int:
    """One where more would wait for each other longer than they work."""
    return torch.get_num_threads() if products >= ALONE else 1


def _sizes(*values: int) -> list[Any]:
    return [ctypes.c_int64(value) for value in values]


def _places(*tensors: Tensor) -> list[Any]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
