"""How fast instances may be made, and how long one waits after failures."""

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.rollouts.pool_creation import LONGEST_PAUSE, CreationRate

PAUSES = st.floats(0.0, 3.0)


@given(st.floats(0.1, 50.0), st.lists(PAUSES, max_size=200))
def test_in_no_stretch_of_time_more_are_made_than_the_rate_and_one_burst_allow(per_second, pauses) -> None:
    rate, now, made = CreationRate(per_second), 0.0, []
    for pause in pauses:
        now += pause
        if not rate.wait(now):
            made.append(now)
    for first, begin in enumerate(made):
        for last in range(first, len(made)):
            assert last - first + 1 <= max(1.0, per_second) + per_second * (made[last] - begin) + 1e-6


@given(st.floats(0.1, 50.0), st.lists(PAUSES, max_size=50))
def test_who_waits_as_long_as_he_is_told_may_make_one(per_second, pauses) -> None:
    rate, now = CreationRate(per_second), 0.0
    for pause in pauses:
        now += pause
        if wait := rate.wait(now):
            now += wait
            assert not rate.wait(now)


def test_pauses_after_failures_double_up_to_the_longest_and_a_success_ends_them() -> None:
    rate, now, pauses = CreationRate(float("inf")), 0.0, []
    for _ in range(10):
        rate.failed(now)
        rate.failed(now)  # began before the first of them failed
        pauses.append(rate.wait(now))
        now += pauses[-1]
        assert not rate.wait(now)
    assert pauses[:3] == [0.5, 1.0, 2.0] and pauses[-1] == LONGEST_PAUSE
    rate.failed(now)
    rate.worked()
    assert not rate.wait(now)
