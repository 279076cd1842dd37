"""The wheel says of any history of deadlines what a plain sorted list says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.rollouts.deadline_wheel import HORIZON, NEVER, Deadline, DeadlineWheel

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("arm"), st.integers(0, 7), st.integers(-3, 2 * HORIZON)),
        st.tuples(st.just("disarm"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("advance"), st.just(0), st.one_of(st.integers(0, 9), st.integers(0, 3 * HORIZON))),
    ),
    max_size=60,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_wheel_is_a_sorted_list(steps: list[tuple[str, int, int]]) -> None:
    wheel, deadlines = DeadlineWheel(), [Deadline() for _ in range(8)]
    due: dict[int, int] = {}
    for what, which, ticks in steps:
        if what == "arm":
            wheel.arm(deadlines[which], wheel.now + ticks)
            due[which] = max(wheel.now + ticks, wheel.now + 1)
        elif what == "disarm":
            wheel.disarm(deadlines[which])
            due.pop(which, None)
        else:
            now = wheel.now + ticks
            expired = [deadlines.index(one) for one in wheel.advance(now)]
            expected = sorted((tick, one) for one, tick in due.items() if tick <= now)
            assert sorted(expired) == sorted(one for _, one in expected)
            assert [due[one] for one in expired] == [tick for tick, _ in expected]
            for one in expired:
                del due[one]
    assert all(deadlines[one].due == NEVER for one in range(8) if one not in due)


def test_a_deadline_that_is_moved_on_and_on_stays_one_entry() -> None:
    wheel, one = DeadlineWheel(), Deadline()
    for _ in range(1000):
        wheel.arm(one, wheel.now + 50)
        assert wheel.advance(wheel.now + 1) == []
    assert len(wheel) <= 2


def test_what_nobody_needs_is_let_go_of_within_the_horizon() -> None:
    wheel = DeadlineWheel()
    for _ in range(100):
        one = Deadline()
        wheel.arm(one, 10 * HORIZON)
        wheel.disarm(one)
    assert wheel.advance(HORIZON + 1) == [] and len(wheel) == 0


@pytest.mark.parametrize("jump", [1, HORIZON, 100 * HORIZON])
def test_a_jump_expires_everything_that_was_due(jump: int) -> None:
    wheel, near, far = DeadlineWheel(), Deadline(), Deadline()
    wheel.arm(near, 1)
    wheel.arm(far, jump + 1)
    assert wheel.advance(jump) == [near] and wheel.advance(jump + 1) == [far]
