"""`SampleRules`: how groups of rollouts become a batch.

Report: §4.4.2, Eq. 1.
"""

from dataclasses import dataclass, field, replace

from manyeyes.core.data_rules import Rules
from manyeyes.core.errors import ConfigError
from manyeyes.rl.advantage import AdvantageRule
from manyeyes.rl.token_count import Per


@dataclass(frozen=True, slots=True)
class SampleRules:
    """How groups become a batch.

    Attributes:
        row_length: tokens of a packed row.
        pad_id: behind the last sample of a row.
        advantage: baseline, scale and quorum.
        per: what N is; see `token_count`.
        drop_equal: whether groups whose advantages are all 0 are left out (their tokens stay in N); saves time, and
            costs the square of Eq. 1 on them.
        least_told: groups with an advantage that is not 0 that an update needs, over all ranks (`rl_step`); with fewer
            a batch teaches nothing. Without any, its gradient is that of the square and of the experts' balance alone,
            and an optimiser that fixes the size of its steps (Muon) would make a whole step of it.
        checks: what is expected of the data; `advantage.quorum` counts, not theirs.
        share_prompts: whether what the attempts at one task begin with is computed once (`data.shared_beginnings`);
            what shows pictures only where `checks.media_pad` is given. Best where a row holds a whole group. Not for
            half precision on a CPU.

    Example:
        >>> SampleRules(row_length=512, pad_id=0).expected.most_tokens
        512
    """

    row_length: int
    pad_id: int
    advantage: AdvantageRule = field(default_factory=AdvantageRule)
    per: Per = "tokens"
    drop_equal: bool = False
    least_told: int = 1
    checks: Rules = field(default_factory=Rules)
    share_prompts: bool = True

    @property
    def expected(self) -> Rules:
        """The checks, and that a branch fits a row."""
        most = self.checks.most_tokens
        return replace(self.checks, most_tokens=self.row_length if most is None else min(most, self.row_length))

    def require_shareable(self, *, device: str, compute: str) -> None:
        """Ask before anything is sampled.

        Raises:
            ConfigError: attempts are to share their prompts, and attention of this format cannot on such a device.
        """
        if self.share_prompts and device == "cpu" and compute != "torch.float32":
            raise ConfigError(
                f"on a CPU attempts share their prompt in fp32 only, and this model computes in {compute}; set "
                "SampleRules(share_prompts=False), or compute in float32"
            )
