"""Invented worlds: what is asked of them, that it can be found there, and that it is too much for one agent."""

import re

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.swarm.parl_environment import Parl, environment, plan_of, task_source
from manyeyes.swarm.parl_plan import KEYS, MAKERS, Family, Limit, exceeds, plan_at
from manyeyes.swarm.parl_scripts import parallel, serial

from .parl_play import attempt

EACH: dict[Family, float] = {family: 1.0 for family in MAKERS}


def test_keys_and_digits_are_a_token_wherever_they_stand() -> None:
    tokenizer = Tokenizer.tiny()
    for key in KEYS:
        (alone,) = tokenizer.encode(key)
        for context in ("({})", "({}-", "-{})", '"{}"', "\n{}4", "{}\n"):
            assert alone in tokenizer.encode(context.format(key)), (key, context)
        assert tokenizer.encode(f"{key} 41") == [alone, *tokenizer.encode(" 41")]


@pytest.mark.parametrize("family", MAKERS)
def test_what_is_asked_for_can_be_found(family) -> None:
    tasks = task_source(split="test", rows=(4, 5), families={family: 1.0})
    for _ in range(3):
        task = tasks.next()
        assert task is not None and plan_of(task).family == family
        assert attempt(Parl(), task, parallel).reward == 1.0
        assert attempt(Parl(mode="alone"), task, serial).reward == 1.0


def test_a_number_is_always_the_same_task_and_splits_share_none() -> None:
    train = [plan_at(number, seed=1, families=EACH) for number in range(200)]
    assert train == [plan_at(number, seed=1, families=EACH) for number in range(200)]
    test = [plan_at(number, seed=seed, split="test", families=EACH) for number in range(200) for seed in (1, 2)]
    assert not {(plan.columns, str(plan.rows)) for plan in test} & {(plan.columns, str(plan.rows)) for plan in train}


def test_a_prompt_tells_neither_the_truth_nor_how_to_work() -> None:
    for number in range(100):
        plan = plan_at(number, families=EACH)
        assert re.fullmatch(r"(Find|Write) (weight|width|number|label|word|data) of \([A-Z]-[A-Z]\)\.", plan.prompt)


def test_a_task_within_the_budget_of_one_agent_is_refused() -> None:
    assert not exceeds(plan_at(0, rows=(2, 2)), Limit(9, 9)) and exceeds(plan_at(0, rows=(4, 4)), Limit(9, 9))
    three = plan_at(0, rows=(3, 3))  # too many calls only where each row is put down by one
    assert three.calls_alone > 9 >= three.lookups_alone and not exceeds(three, Limit(9, 9))
    with pytest.raises(ConfigError, match="one agent can look up"):
        task_source(rows=(2, 2)).next()


def test_documents_do_not_fit_a_small_context() -> None:
    plans = [plan_at(number, rows=(6, 6), families={"document": 1.0}) for number in range(5)]
    assert all(plan.tokens_alone > 1024 for plan in plans)


def test_a_report_is_no_answer() -> None:
    task = task_source(families={"report": 1.0}).next()
    assert task is not None
    with pytest.raises(ConfigError, match="deliver='table'"):
        Parl(deliver="answer").bound(task)


@pytest.mark.parametrize("wrong", [{"rows": (0, 3)}, {"rows": (5, 4)}, {"rows": (4, 99)}, {"families": {"tall": 1.0}}])
def test_tasks_that_do_not_exist_are_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        plan_at(0, **wrong)


def test_an_option_that_does_not_exist_is_refused() -> None:
    for wrong in ({"size": 3}, {"mode": "crowd"}, {"budget": -1}):
        with pytest.raises(ConfigError):
            environment(**wrong)
