"""The PARL reward: its weights end at zero, and then it is the task's own reward."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory
from manyeyes.swarm.parl import Fade, ParlRule, parl_reward, parl_reward_of

SHARE = st.floats(0, 1)
PARTS = st.fixed_dictionaries({"performance": SHARE, "parallel": SHARE, "finish": SHARE})


@given(PARTS, st.floats(0, 2), st.floats(0, 2), st.integers(1, 50))
def test_the_reward_is_that_of_the_task_once_the_weights_have_faded(parts, one, two, until) -> None:
    rule = ParlRule(Fade(one, until=until), Fade(two, until=until))
    assert parl_reward(parts, 0, rule) == pytest.approx(
        one * parts["parallel"] + two * parts["finish"] + parts["performance"]
    )
    assert parl_reward(parts, until, rule) == parl_reward(parts, until + 100, rule) == parts["performance"]


@given(st.floats(0, 2), st.integers(0, 20), st.integers(1, 20))
def test_a_weight_never_grows_and_moves_evenly(start, hold, length) -> None:
    fade = Fade(start, hold=hold, until=hold + length)
    values = [fade.at(updates) for updates in range(hold + length + 2)]
    assert values[: hold + 1] == [start] * (hold + 1) and values[-2:] == [0, 0]
    falls = [before - after for before, after in zip(values[hold:-1], values[hold + 1 : -1], strict=False)]
    assert falls == pytest.approx([start / length] * length)


def test_a_reward_without_its_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="finish"):
        parl_reward({"performance": 1.0, "parallel": 1.0}, 0, ParlRule())


def test_attempts_in_other_environments_keep_their_reward() -> None:
    reward_of = parl_reward_of(ParlRule(Fade(1.0), Fade(1.0)))
    parts = {"performance": 0.5, "parallel": 1.0, "finish": 0.25}
    swarm = Trajectory("a", "t", rewards=parts, reward=0.5)
    assert reward_of(swarm, 0) == 1.75 and reward_of(swarm, 40) == 0.5
    assert reward_of(Trajectory("b", "t", rewards={"correct": 1.0}, reward=1.0), 0) == 1.0
    assert reward_of(Trajectory("c", "t"), 0) is None


@pytest.mark.parametrize("wrong", [{"start": -1.0}, {"hold": 40}, {"hold": -1}])
def test_a_weight_that_cannot_fade_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match="fading weight"):
        Fade(**{"start": 0.3} | wrong)
