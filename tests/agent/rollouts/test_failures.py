"""Every error has one cause; budgets of infrastructure and data are apart; the breaker opens, tries, and gives up."""

from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.chat_model import ModelError
from manyeyes.agent.judge import JudgeFailed
from manyeyes.agent.rollouts.failures import (
    AttemptFailed,
    Breaker,
    Cause,
    Overdue,
    RetryBudget,
    classified,
    kind_of,
)
from manyeyes.agent.rollouts.pool_kind import PoolTimeout
from manyeyes.agent.sandbox_probe import SandboxUnavailable
from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Overloaded, RequestError, SamplerError, TooLong
from manyeyes.core.trajectory_store import TrajectoryStoreError


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (SamplerError("down"), "model"),
        (Overloaded("full"), "model"),
        (RequestError("bad ids"), "environment_bug"),
        (TooLong("long"), "environment_bug"),
        (ModelError("down", kind="endpoint"), "model"),
        (ModelError("wrong", kind="request"), "environment_bug"),
        (JudgeFailed("no verdict"), "judge"),
        (PoolTimeout("none free"), "pool"),
        (SandboxUnavailable("none here"), "sandbox"),
        (TrajectoryStoreError("full"), "store"),
        (ConfigError("unknown"), "environment_bug"),
        (KeyError("x"), "environment_bug"),
        (AttemptFailed("bad_task", "no such maze"), "bad_task"),
        (Overdue("model", 3.0), "model"),
        (Overdue("tool", 3.0), "tool"),
        (Overdue("the end of the agent", 3.0), "timeout"),
        (ExceptionGroup("several", [SamplerError("down"), KeyError("x")]), "model"),
    ],
)
def test_every_error_has_one_cause(error: Exception, cause: str) -> None:
    assert classified(error).cause == cause


@given(st.lists(st.sampled_from(get_args(Cause)), max_size=40))
def test_each_kind_draws_on_its_own_budget(causes: list[Cause]) -> None:
    budget, tries = RetryBudget(infra=3, data=1), Counter[str]()
    granted = Counter(kind_of(cause) for cause in causes if budget.may_retry(cause, tries))
    asked = Counter(map(kind_of, causes))
    assert granted["infra"] == min(3, asked["infra"]) and granted["data"] == min(1, asked["data"])
    assert not granted["cancelled"]


def test_the_run_has_a_budget_of_its_own() -> None:
    budget = RetryBudget(infra=5, infra_of_run=2)
    assert [budget.may_retry("model", Counter()) for _ in range(3)] == [True, True, False]


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    breaker = Breaker(most=3, seconds=10.0)
    for now in (0.0, 1.0, 2.0):
        assert breaker.may_start(now)
        breaker.failed(now)
    assert not breaker.may_start(11.0)
    assert breaker.may_start(12.5) and not breaker.may_start(12.6)  # one, and no second
    breaker.succeeded()
    assert breaker.may_start(12.7) and breaker.may_start(12.7)


def test_a_success_in_between_keeps_it_shut() -> None:
    breaker = Breaker(most=2)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.may_start(0.0)


def test_what_was_begun_before_it_opened_does_not_count_again() -> None:
    breaker = Breaker(most=2, seconds=10.0, most_trips=2)
    for _ in range(50):
        breaker.failed(0.0)
    assert breaker.trips == 1 and not breaker.given_up


def test_it_gives_up_in_the_end_and_waits_twice_as_long_each_time() -> None:
    breaker, now, waits = Breaker(most=1, seconds=1.0, most_trips=4), 0.0, []
    breaker.failed(now)
    while not breaker.given_up:
        opened = now
        while not breaker.may_start(now):
            now += 0.25
        waits.append(now - opened)
        breaker.failed(now)
    assert waits == [1.0, 2.0, 4.0] and not breaker.may_start(1e9)
