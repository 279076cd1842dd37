"""The temperature is a pure function of the step, between its ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.rl.temperature import TemperatureSchedule


@given(start=st.floats(0.1, 2), end=st.floats(0.1, 2), steps=st.integers(1, 50), hold=st.integers(1, 9),
       shape=st.sampled_from(["linear", "cosine"]))  # fmt: skip
def test_it_goes_from_start_to_end_one_way_and_stays(start, end, steps, hold, shape) -> None:
    schedule = TemperatureSchedule(start, end, steps, shape, hold)
    values = [schedule.at(step) for step in range(steps + 3 * hold)]
    assert values[0] == start and values[-1] == pytest.approx(end)
    assert all((one - other) * (end - start) <= 1e-12 for one, other in zip(values, values[1:], strict=False))
    assert all(value == values[place // hold * hold] for place, value in enumerate(values))


def test_half_way_of_a_cosine() -> None:
    assert TemperatureSchedule(1.2, 0.8, 4, "cosine").at(2) == pytest.approx(1.0)
    assert TemperatureSchedule(1.2, 0.8, 4, "cosine").at(1) == pytest.approx(1.0 + 0.2 * math.cos(math.pi / 4))


@pytest.mark.parametrize("settings", [{"start": 0.0}, {"end": math.inf}, {"steps": 0}, {"hold": 0}])
def test_what_cannot_be_sampled_at_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        TemperatureSchedule(**settings)
