"""K1.5's length term on top of an attempt's own reward."""

import asyncio
import math

import pytest

from manyeyes.agent.brief_in_group import BriefInGroup
from manyeyes.agent.group_judge import judged_together
from manyeyes.core.errors import ConfigError
from manyeyes.core.trajectory import Trajectory

from .judged_groups import attempt, group


def rewards(judge: BriefInGroup, *attempts: Trajectory) -> list[float | None]:
    return asyncio.run(judged_together(group(*attempts), judge)).rewards


ATTEMPTS = (
    attempt(0, 1.0, tokens=10), attempt(1, 1.0, tokens=20), attempt(2, 0.0, tokens=30),
    attempt(3, 0.9, tokens=10, right=1.0),
)  # fmt: skip


def test_the_shorter_of_the_right_ones_earn_more_and_wrong_ones_nothing_by_brevity() -> None:
    assert rewards(BriefInGroup(0.2, non_negative=False), *ATTEMPTS) == pytest.approx([1.1, 1.0, -0.1, 1.0])
    assert rewards(BriefInGroup(0.2), *ATTEMPTS) == pytest.approx([1.2, 1.1, 0.0, 1.1])
    short_and_wrong = rewards(
        BriefInGroup(0.2, non_negative=False), attempt(0, 0.0, tokens=1), attempt(1, 1.0, tokens=9)
    )
    assert short_and_wrong == pytest.approx([0.0, 0.9])


def test_without_a_weight_and_where_all_are_alike_nothing_changes_between_attempts() -> None:
    assert rewards(BriefInGroup(0.0), *ATTEMPTS) == [1.0, 1.0, 0.0, 0.9]
    assert rewards(BriefInGroup(0.2), attempt(0, 1.0, tokens=5), attempt(1, 1.0, tokens=5)) == pytest.approx([1.1, 1.1])


def test_one_attempt_that_has_no_number_costs_the_others_nothing() -> None:
    found = rewards(BriefInGroup(0.2), attempt(0, math.nan, tokens=1), attempt(1, 1.0, tokens=5, right=math.nan),
                    attempt(2, 1.0, tokens=9), attempt(3, None, stop="failed", masked="failed"))  # fmt: skip
    assert found[0] is not None and math.isnan(found[0]) and found[3] is None
    assert found[1:3] == pytest.approx([1.2, 1.0])


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        BriefInGroup(weight)
