"""`SlotCache`: keys and values of sequences that are sampled side by side, one slot each, in memory that is taken once.

    prefill(slot, n)   a sequence is read from token n on      decode(lengths)    one more token of the first B slots

Both stand where transformers expects a cache: a layer gives its new keys and values to `update` and is given back what
to attend to. Sequences begin at the left of their slot, so a slot is freed by moving the last one into it.

Report: none (engineering). Shapes: S slots, H heads of keys, T tokens, C tokens that fit, d width of a head, B slots.
"""

from typing import Any

import torch
from torch import Tensor


class SlotCache:
    """See the module.

    Args:
        config: of the model, as transformers knows it.
        slots: sequences at once.
        context: tokens of one, at most.
    """

    def __init__(self, config: Any, *, slots: int, context: int, dtype: torch.dtype, device: torch.device) -> None:
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (config.num_hidden_layers, slots, config.num_key_value_heads, context, width)
        self.keys_LSHCd = torch.zeros(shape, dtype=dtype, device=device)
        self.values_LSHCd = torch.zeros(shape, dtype=dtype, device=device)

    def prefill(self, slot: int, start: int) -> "Prefill":
        """For reading a sequence into a slot, which holds its first `start` tokens already."""
        return Prefill(self, slot, start)

    def decode(self, lengths_B: Tensor) -> "Decode":
        """For one more token of the first slots, which hold so many each."""
        return Decode(self, lengths_B)

    def copy(self, source: int, target: int, tokens: int) -> None:
        """The first tokens of one slot into another."""
        for table in (self.keys_LSHCd, self.values_LSHCd):
            table[:, target, :, :tokens] = table[:, source, :, :tokens]


class Prefill:
    """Several tokens of one sequence: they attend to its slot."""

    def __init__(self, cache: SlotCache, slot: int, start: int) -> None:
        self._cache, self._slot, self._start = cache, slot, start

    def update(self, keys_1HTd: Tensor, values_1HTd: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See the module."""
        end = self._start + keys_1HTd.shape[2]
        found = []
        for table, new_1HTd in ((self._cache.keys_LSHCd, keys_1HTd), (self._cache.values_LSHCd, values_1HTd)):
            table[layer, self._slot, :, self._start : end] = new_1HTd[0]
            found.append(table[layer, self._slot : self._slot + 1, :, :end])
        return found[0], found[1]


class Decode:
    """One token of each of the first slots: it attends to its own slot."""

    def __init__(self, cache: SlotCache, lengths_B: Tensor) -> None:
        self._cache, self._at_B = cache, lengths_B
        self._slot_B = torch.arange(len(lengths_B), device=lengths_B.device)
        self.seen = int(lengths_B.max()) + 1
        """Keys that are looked at: those of the longest."""

    @property
    def mask_B11T(self) -> Tensor:
        """What is added to scores: a slot ends with the token that is read now."""
        beyond_BT = torch.arange(self.seen, device=self._at_B.device) > self._at_B[:, None]
        table = self._cache.keys_LSHCd
        mask_BT = torch.zeros(beyond_BT.shape, dtype=table.dtype, device=table.device)
        return mask_BT.masked_fill_(beyond_BT, torch.finfo(table.dtype).min)[:, None, None]

    def update(self, keys_BH1d: Tensor, values_BH1d: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """See the module."""
        found = []
        for table, new_BH1d in ((self._cache.keys_LSHCd, keys_BH1d), (self._cache.values_LSHCd, values_BH1d)):
            table[layer, self._slot_B, :, self._at_B] = new_BH1d[:, :, 0]
            found.append(table[layer, : len(new_BH1d), :, : self.seen])
        return found[0], found[1]
