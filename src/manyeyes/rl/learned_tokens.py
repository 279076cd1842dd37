"""`LearnedTokens`: what an objective is a function of: the tokens of a micro-batch that carry loss.

A *sequence* is a sample: a branch of a trajectory, with those of its tokens that carry loss here. Samples are never
cut, so a micro-batch holds whole sequences and sums over them need no other rank.

Report: §4.4.2. Shapes: N tokens, S sequences.
"""

from typing import NamedTuple

from torch import Tensor

from manyeyes.rl.corrections import STEEPEST


class LearnedTokens(NamedTuple):
    """In any order.

    Attributes:
        logprobs_N: log pi_theta, with gradient.
        sampled_N: log pi_old: what the engine told when it sampled, each token by its own version.
        advantages_N: of the token's agent.
        weights_N: 1, or what `token_count.token_weight` says.
        sequence_N: int64, number of the token's sequence, 0..S-1.
        sequences: S.
        proximal_N: log-probabilities of the trainer's weights before the first step on this batch; those of now, where
            it is the first.
    """

    logprobs_N: Tensor
    sampled_N: Tensor
    advantages_N: Tensor
    weights_N: Tensor
    sequence_N: Tensor
    sequences: int
    proximal_N: Tensor

    @property
    def log_ratio_N(self) -> Tensor:
        """l = log pi_theta - log pi_old."""
        return self.logprobs_N - self.sampled_N

    def sums(self, values_N: Tensor) -> Tensor:
        """Over the tokens of each sequence: [S]."""
        return values_N.new_zeros(self.sequences).index_add(0, self.sequence_N, values_N)

    def means(self, values_N: Tensor) -> Tensor:
        """Over the tokens of each sequence: [S]."""
        return self.sums(values_N) / self.sums(values_N.new_ones(len(values_N)))


def ratio(log_ratio: Tensor) -> Tensor:
    """exp(l); l is clamped before exp, never after, and there alone: what comes of an infinite exp is NaN."""
    return log_ratio.clamp(-STEEPEST, STEEPEST).exp()
