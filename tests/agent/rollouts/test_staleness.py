"""AReaL's capacity formula, and what it is for: nothing that it lets start is too old when its turn comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.agent.rollouts.staleness import StalenessGate
from manyeyes.core.errors import ConfigError


@given(st.integers(1, 4), st.integers(0, 3), st.lists(st.sampled_from(["start", "end", "train"]), max_size=120))
@settings(max_examples=300, deadline=None)
def test_groups_trained_in_order_are_never_too_old(batch: int, most: int, steps: list[str]) -> None:
    gate = StalenessGate(batch, most)
    running: list[int] = []
    waiting: list[int] = []
    for step in steps:
        if step == "start" and gate.capacity(most_running=1000):
            gate.start()
            running.append(gate.version)
        elif step == "end" and running:
            gate.end(accepted=True)
            waiting.append(running.pop(0))
        elif step == "train" and len(waiting) >= batch:
            assert not any(gate.too_old(began) for began in waiting[:batch])
            del waiting[:batch]
            gate.publish(gate.version + 1)
        expected = (most + gate.version + 1) * batch - (gate.accepted + gate.running)
        assert gate.capacity(most_running=1000) == max(0, min(1000 - gate.running, expected))


def test_the_cap_on_running_groups_holds_too() -> None:
    gate = StalenessGate(batch=100, max_staleness=5, running=7)
    assert gate.capacity(most_running=8) == 1


def test_a_group_that_came_to_nothing_makes_room_for_another() -> None:
    gate = StalenessGate(batch=1, max_staleness=0)
    gate.start()
    assert gate.capacity(most_running=9) == 0
    gate.end(accepted=False)
    assert gate.capacity(most_running=9) == 1


def test_a_resumed_run_starts_no_burst() -> None:
    gate = StalenessGate(batch=4, max_staleness=1)
    gate.resume(version=50)
    assert gate.capacity(most_running=1000) == 8


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch"):
        StalenessGate(batch=0, max_staleness=1)
