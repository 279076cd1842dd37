"""What may not be sampled: ids that a request leaves out, and ids that its constraint forbids now.

Requests with the same set share one tensor of ids; a constraint writes a bit mask for each of its tokens.

Report: App. D.

Shapes: B rows, V vocabulary.
"""

from collections.abc import Sequence as Listed

import numpy as np
import torch
from torch import Tensor

from manyeyes.inference.sequences import Sequence, Unusable

_KEPT = 64


class ScoreMasks:
    """Sets the scores of forbidden ids to -inf."""

    def __init__(self, n_vocab: int, device: torch.device) -> None:
        self.n_vocab, self.device = n_vocab, device
        self._ids: dict[frozenset[int], Tensor] = {}

    def apply(self, logits_BV: Tensor, sequences: Listed[Sequence]) -> tuple[set[int], dict[int, Unusable]]:
        """Mask in place; returns the rows whose constraint allows nothing more, and those whose constraint raised."""
        rows_of: dict[frozenset[int], list[int]] = {}
        for row, sequence in enumerate(sequences):
            if sequence.request.params.never:
                rows_of.setdefault(sequence.request.params.never, []).append(row)
        for never, rows in rows_of.items():
            if len(rows) == len(sequences):
                logits_BV.index_fill_(1, self._tensor(never), -torch.inf)
            else:
                logits_BV[torch.tensor(rows, device=self.device)[:, None], self._tensor(never)] = -torch.inf
        stuck: set[int] = set()
        broken: dict[int, Unusable] = {}
        for row, sequence in enumerate(sequences):
            if sequence.constraint is None:
                continue
            try:
                if not self._constrain(logits_BV[row], sequence):
                    stuck.add(row)
            except Unusable as error:
                broken[row] = error
        return stuck, broken

    def _constrain(self, logits_V: Tensor, sequence: Sequence) -> bool:
        """Leave what the constraint allows; False where that is nothing."""
        assert sequence.constraint is not None
        if sequence.constraint.finished:
            allowed = np.zeros(self.n_vocab, bool)
            allowed[[token for token in sequence.request.params.stop_ids if 0 <= token < self.n_vocab]] = True
        else:
            bits = np.zeros(-(-self.n_vocab // 32), np.int32)
            sequence.allow(bits)
            allowed = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self.n_vocab].astype(bool)
        allowed_V = torch.from_numpy(allowed).to(self.device)
        open_V = allowed_V & (logits_V > -torch.inf)
        if not bool(open_V.any()):
            return False
        logits_V.masked_fill_(~allowed_V, -torch.inf)
        return True

    def _tensor(self, never: frozenset[int]) -> Tensor:
        if never not in self._ids:
            if len(self._ids) >= _KEPT:
                self._ids.clear()
            inside = sorted(token for token in never if 0 <= token < self.n_vocab)
            self._ids[never] = torch.tensor(inside, dtype=torch.int64, device=self.device)
        return self._ids[never]
