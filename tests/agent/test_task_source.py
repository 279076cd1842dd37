"""Task sources: the same tasks in the same order, from the start or from any state."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks, jsonl_tasks
from manyeyes.core.errors import ConfigError, DataError


def numbered(number: int) -> Task:
    return Task(f"n/{number}", str(number))


@given(size=st.integers(1, 9), epochs=st.integers(1, 3), seed=st.integers(0, 5), stop=st.integers(0, 30))
def test_resumed_equals_uninterrupted(size: int, epochs: int, seed: int, stop: int) -> None:
    whole = [task.id for task in Tasks(numbered, size=size, seed=seed, epochs=epochs)]
    first = Tasks(numbered, size=size, seed=seed, epochs=epochs)
    seen = [task.id for _ in range(stop) if (task := first.next()) is not None]
    second = Tasks(numbered, size=size, seed=seed, epochs=epochs)
    second.restore(first.state())
    assert seen + [task.id for task in second] == whole
    assert Counter(whole) == Counter({f"n/{number}": epochs for number in range(size)})


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    two = [task.id for task in Tasks(numbered, size=20, seed=1, epochs=2)]
    assert two[:20] != two[20:] and two != [task.id for task in Tasks(numbered, size=20, seed=2, epochs=2)]


def test_the_end_is_a_value_and_stays_one() -> None:
    source = Tasks(numbered, size=1)
    assert source.next() is not None and source.next() is None and source.next() is None


def test_tasks_without_end_come_in_order() -> None:
    source = Tasks(numbered, size=None, shuffled=False)
    source.restore({**source.state(), "position": 10**6})
    task = source.next()
    assert task is not None and task.id == "n/1000000"
    with pytest.raises(ConfigError, match="shuffled=False"):
        Tasks(numbered, size=None)


def test_a_state_of_other_tasks_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the state of"):
        Tasks(numbered, size=3, seed=1).restore(Tasks(numbered, size=3, seed=2).state())


def test_tasks_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"prompt": "1+1", "truth": 2}\n\n{"id": "b", "prompt": "é", "limits": {"turns": 3}}\n')
    first, second = jsonl_tasks(file, shuffled=False)
    assert first == Task("sums/1", "1+1", 2) and (second.id, second.prompt, second.limits.turns) == ("b", "é", 3)
    state = jsonl_tasks(file).state()
    file.write_text(file.read_text() + '{"prompt": "3"}\n')
    with pytest.raises(ConfigError, match="expected the state of"):
        jsonl_tasks(file).restore(state)


@pytest.mark.parametrize(
    ("content", "why"),
    [("", "no task"), ('{"prompt": "a"}\n{"prompt": 3}\n', ":2: expected a JSON object"), ('{"promt": "a"}', ":1:"),
     ('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}', "that of line 1")],
)  # fmt: skip
def test_a_bad_file_is_refused_by_line(content: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text(content)
    with pytest.raises(DataError, match=why):
        jsonl_tasks(file)
    with pytest.raises(DataError, match="cannot be read"):
        jsonl_tasks(tmp_path / "missing.jsonl")
