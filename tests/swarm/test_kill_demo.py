"""`kill -9` at random moments of the demo: going on repeats no finished call, loses no result, gives the same table."""

import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from manyeyes.core.journal import Event, read

CHILD = Path(__file__).parent / "demo_child.py"


@dataclass(frozen=True)
class Demo:
    """A demo that has run to its end."""

    folder: Path
    printed: str

    @property
    def answers(self) -> dict[str, str]:
        """Last words by session."""
        return {path.parent.name: path.read_text() for path in self.folder.glob("*/answer.md")}

    @property
    def events(self) -> dict[str, list[Event]]:
        """By session."""
        return {path.parent.name: read(path.parent).events for path in sorted(self.folder.glob("*/events.jsonl"))}

    @property
    def served(self) -> Counter[str]:
        """How often each conversation was answered."""
        return Counter((self.folder / "served").read_text().split())

    def count(self, kind: str) -> int:
        """Events of a kind."""
        return sum(event.kind == kind for events in self.events.values() for event in events)


def child(folder: Path, *death: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), str(folder), *map(str, death)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Demo:
    """Nobody kills it."""
    folder: Path = tmp_path_factory.mktemp("calm")
    done = child(folder)
    assert done.returncode == 0, done.stderr
    return Demo(folder, done.stdout)


def killed(folder: Path, calm: Demo, *, kills: int, seed: int) -> Demo:
    """The demo, killed so often at moments spread over its whole length."""
    chance = random.Random(seed)
    length = sum(map(len, calm.events.values()))
    for _ in range(kills):
        done = child(folder, chance.randint(1, max(2, length // kills)), chance.randint(0, 4000))
        assert done.returncode == -signal.SIGKILL, done.stderr
    done = child(folder)
    assert done.returncode == 0, done.stderr
    return Demo(folder, done.stdout)


def same_in_the_end(demo: Demo, calm: Demo, *, kills: int) -> None:
    """What holds for a demo that was killed and one that was not."""
    assert demo.answers == calm.answers and len(demo.answers) == 2
    assert demo.printed == calm.printed and demo.printed.count("done 1.0") == 2
    for mode, events in demo.events.items():
        finished = Counter((e.agent, e.data["turn"]) for e in events if e.kind == "llm.finished")
        tools = Counter((e.agent, e.data["place"]) for e in events if e.kind == "tool.finished")
        assert set(finished.values()) == set(tools.values()) == {1}
        assert [event.seq for event in events] == list(range(len(events)))
        before = calm.events[mode]
        assert finished.keys() == {(e.agent, e.data["turn"]) for e in before if e.kind == "llm.finished"}
        ends = Counter(e.agent for e in events if e.kind == "agent.finished")
        assert ends.keys() == {e.agent for e in before if e.kind == "agent.finished"} and set(ends.values()) == {1}
    for kind in ("llm.finished", "tool.finished", "agent.finished"):
        assert demo.count(kind) == calm.count(kind)
    asked, answered = demo.count("llm.started"), demo.count("llm.finished")
    assert sum(demo.served.values()) <= asked, "each request was announced first"
    assert demo.served.keys() == calm.served.keys(), "an interrupted run asks what a calm one asks"
    repeated = sum(demo.served.values()) - sum(calm.served.values())
    assert 0 <= repeated <= asked - answered, "only calls that were under way are made again"
    assert sum(event.kind == "run.resumed" for events in demo.events.values() for event in events) <= kills


def test_three_kills_change_nothing(calm: Demo, tmp_path: Path) -> None:
    same_in_the_end(killed(tmp_path, calm, kills=3, seed=1), calm, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_ten_kills_change_nothing(calm: Demo, tmp_path: Path, seed: int) -> None:
    same_in_the_end(killed(tmp_path, calm, kills=10, seed=seed), calm, kills=10)
