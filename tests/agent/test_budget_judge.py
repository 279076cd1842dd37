"""A reward within a budget of the attempt's own tokens, and what does not count."""

import asyncio
from typing import Any

import numpy as np
import pytest

from manyeyes.agent.budget_judge import WithinBudget, tokens_of
from manyeyes.agent.chat_model import Usage
from manyeyes.agent.judge import Case, JudgeFailed, Rewards, Verdict
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.reward.length import Budget
from manyeyes.rl.generated_tokens import generated
from manyeyes.rl.right import is_right

HUNDRED = Budget(100)
RIGHT, WRONG = Rewards(correct=lambda case: 1.0), Rewards(correct=lambda case: 0.0)


def node(given: int, sampled: int, agent: int = 0) -> Node:
    ids, drawn = np.arange(given + sampled, dtype=np.int32), np.zeros(sampled, np.float32)
    return Node(ids, given, drawn, np.zeros(sampled, np.int32), agent=agent)


def trajectory(*sampled: int, frozen: int = 0) -> Trajectory:
    """Turns of the live agent behind long prompts, and what a frozen one said."""
    whole = Trajectory("t/0/0", "t", agents=[AgentSpan(), AgentSpan("main/0", policy="frozen")])
    for count in sampled:
        whole.add(node(500, count))
    whole.add(node(500, frozen, agent=1))
    return whole


def judged(judge: Any, *sampled: int, stop: Any = "done", budget: Budget = HUNDRED, frozen: int = 0) -> Verdict:
    case = Case(Task("t", "?"), Outcome(stop, "x"), trajectory(*sampled, frozen=frozen))
    return asyncio.run(WithinBudget(judge, budget)(case))


def test_what_live_agents_sampled_is_counted_as_toggle_counts_it() -> None:
    for turns in ((), (7,), (60, 40), (60, 41)):
        whole = trajectory(*turns, frozen=900)
        assert tokens_of(Case(Task("t", "?"), Outcome("done", ""), whole)) == generated(whole) == sum(turns)


def test_beyond_the_budget_the_penalty_is_taken_and_within_it_nothing() -> None:
    assert [judged(RIGHT, *turns, frozen=900).reward for turns in ((60, 40), (60, 41))] == [1.0, 0.5]
    ramp = Budget(100, penalty=0.4, ramp=20)
    assert [judged(RIGHT, n, budget=ramp).reward for n in (80, 90, 101)] == pytest.approx([1.0, 0.8, 0.6])


def test_no_penalty_makes_a_reward_negative_and_what_was_negative_is_left() -> None:
    assert judged(WRONG, 101).reward == 0.0 and judged(RIGHT, 101, budget=Budget(100, penalty=9.0)).reward == 0.0
    assert judged(Rewards(loss=lambda case: -1.0), 101).reward == -1.0


def test_parts_tell_the_reward_before_the_tokens_and_who_was_right() -> None:
    found = judged(RIGHT, 101)
    assert found.parts == {
        "correct": 1.0, "right": 1.0, "budget/reward": 1.0, "budget/tokens": 101.0, "budget/penalty": 0.5
    }  # fmt: skip
    assert is_right(Trajectory("t/0/0", "t", reward=found.reward, rewards=found.parts), least=1.0)
    assert judged(WRONG, 1).parts["right"] == 0.0

    async def nearly(case: Case) -> Verdict:
        return Verdict(0.7, {"right": 1.0}, {"why": "near"})

    assert judged(nearly, 101).parts["right"] == 1.0 and judged(nearly, 101).notes == {"why": "near"}
    case = Case(Task("t", "?"), Outcome("done", ""), trajectory(1))
    assert asyncio.run(WithinBudget(Rewards(a=lambda case: 0.9), Budget(9), least=0.9)(case)).parts["right"] == 1.0


def test_an_attempt_that_was_cut_at_its_budget_is_over_it_and_one_that_was_cut_before_is_not() -> None:
    assert judged(RIGHT, 100, stop="cut_off").reward == judged(RIGHT, 100, stop="token_cap").reward == 0.5
    assert judged(RIGHT, 60, stop="cut_off").reward == judged(RIGHT, 100, stop="done").reward == 1.0


@pytest.mark.parametrize("whole", [None, Trajectory("t/0/0", "t")], ids=["no trajectory", "no tokens in it"])
def test_where_no_tokens_were_captured_the_endpoints_count_is_taken(whole: Trajectory | None) -> None:
    case = Case(Task("t", "?"), Outcome("done", "x", usage=Usage(prompt=5000, completion=101)), whole)
    assert asyncio.run(WithinBudget(RIGHT, Budget(100))(case)).reward == 0.5


def test_a_judge_that_says_no_number_and_a_budget_that_is_none_are_refused() -> None:
    with pytest.raises(JudgeFailed, match="finite"):
        judged(Rewards(bad=lambda case: float("nan")), 1)
    for budget in (Budget(0), Budget(10, ramp=11), Budget(10, ramp=-1), Budget(10, -0.5), Budget(10, float("nan"))):
        with pytest.raises(ConfigError, match="budget"):
            WithinBudget(RIGHT, budget)
