import asyncio

import pytest

from manyeyes.agent.fakes import Scripted
from manyeyes.agent.grm_judge import GrmJudge, grader
from manyeyes.agent.judge import Case, JudgeFailed, Rewards
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.messages import assistant
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward

LONGER = RuleGrader(lambda criterion, work: min(1.0, len(work) / 40))


def case(answer: str) -> Case:
    return Case(Task("t", "Tell me about it"), Outcome("done", answer))


def judged(answer: str, **more) -> float:
    judge = GrmJudge(GenerativeReward({"rules": LONGER}, GrmConfig()), "chat", Tokenizer.tiny(), **more)
    return asyncio.run(judge(case(answer))).reward


def test_graders_tell_better_from_worse_and_rules_cap_them() -> None:
    good, bad = "a" * 40, "a"
    assert judged(good) > judged(bad)
    wrong = Rewards(right=lambda case: 0.0)
    assert judged(good, verified=wrong) < 0.5 < judged(good)


def test_a_chat_model_grades_and_babble_is_no_verdict() -> None:
    babbler = Scripted(lambda messages: assistant("Ten out of ten!"))
    grm = GenerativeReward({"model": grader(babbler)}, GrmConfig())
    with pytest.raises(JudgeFailed, match="missing"):
        asyncio.run(GrmJudge(grm, "chat", Tokenizer.tiny())(case("x")))
    assert babbler.calls
