"""`WithinBudget`: another judge's reward, less what the attempt's own tokens cost beyond a budget.

    WithinBudget(judge, Budget(2_000, penalty=0.5, ramp=200))

Counted is what Toggle counts, |y| of Eq. 2: tokens that live agents sampled, each once; what was given, what tools
answered and what frozen agents said is free. Where no tokens were captured (an endpoint of text), the completion tokens
that the outcome tells of the main agent. An attempt that was cut where its budget ends is over it. Rightness is the
judge's own: a right answer that was too long stays right. A penalty never takes a reward below 0, as Toggle needs.

Report: §4.4.2 (budget control, which gives no formula); Kimi K2, 2025, §3.2.3.
"""

from dataclasses import dataclass

from manyeyes.agent.judge import Case, Judge, Verdict, checked
from manyeyes.agent.right_part import RIGHT, right_of
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory
from manyeyes.reward.length import Budget, budgeted

CUT = ("cut_off", "token_cap")
"""Ends of an attempt that was still speaking."""


@dataclass(frozen=True, slots=True)
class WithinBudget:
    """See the module.

    Attributes:
        judge: what the attempt was worth.
        budget: what it may cost.
        least: the least reward of a right attempt, where the judge does not say (`right_of`).

    Raises:
        ConfigError: a budget below one token, a ramp longer than it, or a penalty that is none.
    """

    judge: Judge
    budget: Budget
    least: float = 1.0

    def __post_init__(self) -> None:
        tokens, penalty, ramp = self.budget
        if tokens < 1 or not 0 <= ramp <= tokens or not 0 <= penalty < float("inf"):
            raise ConfigError(f"a budget needs tokens, a ramp from 0 to these, and a finite penalty, got {self.budget}")

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`; parts "budget/reward" (before), "budget/tokens" and "budget/penalty" beside the judge's own."""
        verdict = checked("judge", await self.judge(case))
        tokens = tokens_of(case)
        cut = case.outcome.stop in CUT and tokens >= self.budget.tokens
        reward = budgeted(verdict.reward, tokens, self.budget, cut=cut, non_negative=True)
        own = {"reward": verdict.reward, "tokens": float(tokens), "penalty": verdict.reward - reward}
        right = {RIGHT: right_of(verdict, least=self.least)}
        return Verdict(reward, verdict.parts | right | {f"budget/{n}": x for n, x in own.items()}, verdict.notes)


def tokens_of(case: Case) -> int:
    """What an attempt's live agents said, in tokens; see the module."""
    whole = case.trajectory
    return case.outcome.usage.completion if whole is None or not whole.nodes else _sampled(whole)


def _sampled(whole: Trajectory) -> int:
    """The same as `rl.generated_tokens.generated`, which stands above this room."""
    live = [agent.policy == "live" for agent in whole.agents]
    return sum(len(node.ids) - node.given for node in whole.nodes if live[node.agent])
