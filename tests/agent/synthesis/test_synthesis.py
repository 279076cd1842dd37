"""From seeds to a file of dialogues: what is kept, what is told of the rest, and what a second call asks again."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manyeyes.agent.chat_model import ModelError, Reply, Usage
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.answer import Answer
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.choosing import KeepRule
from manyeyes.agent.synthesis.desk import desk, worked_out
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.domains import from_file, reasoning, tools
from manyeyes.agent.synthesis.form import Form
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.agent.synthesis.synthesis import DIALOGUES, REPORT, synthesise
from manyeyes.agent.synthesis.tally import KEPT, MORE, SAME, UNASKED, UNVERIFIED, Tally
from manyeyes.agent.synthesis.teacher import Teacher
from manyeyes.core.errors import ConfigError
from manyeyes.core.journal import Journal, JournalError
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.data.dialogue_file import DialogueFile
from manyeyes.data.synthesis.thinking_tools import ThinkingTools

from .synthesis_child import SEEDS
from .teachers import adds, sums, teacher

SUMS = Domain("sums", "for tests", lambda count, seed: sums(count), (Form(), Answer()))


def made(
    folder: Path, *teachers: Teacher, domain: Domain = SUMS, seeds: Sequence[Seed] | None = None, **more: Any
) -> Tally:
    return asyncio.run(synthesise(domain, seeds or sums(4), teachers, folder, **more))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / DIALOGUES).read_text().splitlines()]


def wrong(messages: Sequence[Message]) -> Message:
    return assistant("no idea")


def wordy(messages: Sequence[Message]) -> Message:
    return assistant(f"I count on by one, and so I arrive at this.\nAnswer: {adds(messages).text}")


def test_right_answers_are_kept_with_where_they_come_from(tmp_path: Path) -> None:
    tally = made(tmp_path, teacher(adds, "good"), teacher(wrong, "bad"))
    assert tally.count(KEPT) == 4 and tally.count("answer", "bad") == 4
    first = lines(tmp_path)[0]
    assert [message["content"] for message in first["messages"]] == ["What is 0 + 1?", "1"]
    origin = first["provenance"]
    assert (origin["domain"], origin["seed"], origin["teacher"], origin["attempt"]) == ("sums", "sum/0", "good", 0)
    assert origin["stages"] == {"form": {"score": None}, "answer": {"score": 1.0}} and origin["score"] == 1.0
    report = json.loads((tmp_path / REPORT).read_text())
    assert report["candidates"] == 8 and report["kept"] == 4 and report["reasons"] == {"answer": {"a wrong answer": 4}}
    assert report["teachers"]["bad"]["answer"] == 4 and report["teachers"]["good"][KEPT] == 4


def test_the_file_is_one_to_learn_from(tmp_path: Path) -> None:
    made(tmp_path, teacher(adds), seeds=[*sums(2), *[Seed("think", ("What is 8 + 1?",), ("9",), thinking=True)]])
    file = DialogueFile(tmp_path / DIALOGUES)
    assert [file.dialogue(index).thinking for index in range(3)] == [False, False, True]
    assert file.dialogue(2).messages[-1].reasoning == "I add."


def test_several_teachers_are_kept_side_by_side(tmp_path: Path) -> None:
    tally = made(tmp_path, teacher(adds, "brief"), teacher(wordy, "wordy"))
    assert tally.count(KEPT, "brief") == tally.count(KEPT, "wordy") == 4
    few = made(
        tmp_path / "few", teacher(adds, "brief"), teacher(wordy, "wordy"),
        domain=Domain("sums", "", SUMS.seeds, SUMS.stages, keep=KeepRule(per_seed=1)),
    )  # fmt: skip
    assert few.count(KEPT, "brief") == 4 and few.count(MORE, "wordy") == 4, "of two right answers the brief one"


def test_equal_texts_are_looked_at_once_by_the_last_stage(tmp_path: Path) -> None:
    asked: list[str] = []

    class Dear:
        """Counts what it is shown."""

        name = "dear"

        async def __call__(self, candidate: Candidate) -> Finding:
            asked.append(candidate.key)
            return PASSED

    tally = made(tmp_path, teacher(adds, "a"), teacher(adds, "b"), domain=SUMS.also(Dear()), attempts=2)
    assert len(asked) == 4 and tally.count(SAME) == 12 and tally.count(KEPT, "a") == 4


def test_the_same_call_again_asks_nobody(tmp_path: Path) -> None:
    first = made(tmp_path, teacher(adds))
    before = (tmp_path / DIALOGUES).read_bytes()
    model = Scripted(adds)
    again = made(tmp_path, teacher(model))
    assert model.calls == [] and again.to_json() == first.to_json() and (tmp_path / DIALOGUES).read_bytes() == before


def test_more_seeds_or_teachers_ask_only_for_what_is_new(tmp_path: Path) -> None:
    made(tmp_path, teacher(adds))
    model, other = Scripted(adds), Scripted(wordy)
    made(tmp_path, teacher(model), teacher(other, "other"), seeds=sums(6))
    assert len(model.calls) == 2 and len(other.calls) == 6 and len(lines(tmp_path)) == 12


class Down:
    """A model that fails until it is mended."""

    name = "down"
    mended = False

    def cost(self, usage: Usage) -> float:
        return 0.0

    async def complete(self, messages, tools=(), **_) -> Reply:
        if not Down.mended:
            raise ModelError("nobody listens there", kind="endpoint")
        return Reply(adds(messages))


def test_a_teacher_that_is_down_is_counted_and_asked_again(tmp_path: Path) -> None:
    tally = made(tmp_path, teacher(Down(), "down"), teacher(adds, "up"))
    assert tally.count(UNASKED, "down") == 4 and tally.count(KEPT, "up") == 4
    assert tally.to_json()["reasons"]["unasked"] == {"nobody listens there": 4}
    Down.mended = True
    assert made(tmp_path, teacher(Down(), "down"), teacher(adds, "up")).count(UNASKED) == 0


def test_what_could_not_be_verified_is_not_kept_and_looked_at_again(tmp_path: Path) -> None:
    class Absent:
        """Has no verdict."""

        name = "absent"
        verdict: bool | None = None

        async def __call__(self, candidate: Candidate) -> Finding:
            return Finding(Absent.verdict, "nobody there")

    tally = made(tmp_path, teacher(adds), domain=SUMS.also(Absent()))
    assert tally.count(UNVERIFIED) == 4 and lines(tmp_path) == []
    Absent.verdict = True
    model = Scripted(adds)
    assert made(tmp_path, teacher(model), domain=SUMS.also(Absent())).count(KEPT) == 4 and model.calls == []


def test_all_candidates_have_one_fate(tmp_path: Path) -> None:
    tally = made(tmp_path, teacher(adds, "a"), teacher(wrong, "b"), teacher(wordy, "c"), attempts=3)
    assert sum(tally.count(fate) for fate in tally.columns) == len(tally.fates) == 4 * 3 * 3


def test_secrets_are_not_written(tmp_path: Path) -> None:
    made(tmp_path, teacher(lambda messages: assistant("sk-very-secret 1")), secrets=["sk-very-secret"])
    assert b"sk-very-secret" not in b"".join(path.read_bytes() for path in tmp_path.glob("*.json*"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"teachers": []}, "at least one teacher"),
        ({"teachers": [teacher(adds), teacher(wrong)]}, "different names"),
        ({"seeds": [*sums(1), *sums(1)]}, "at least one seed and different names"),
        ({"attempts": 0}, "attempts and at_once must be at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_a_folder_is_made(tmp_path: Path, given: dict, says: str) -> None:
    settings: dict[str, Any] = {"teachers": [teacher(adds)]} | given
    with pytest.raises(ConfigError, match=says):
        made(tmp_path / "x", *settings.pop("teachers"), **settings)
    assert not (tmp_path / "x").exists()


def test_a_domain_that_cannot_work_asks_nobody(tmp_path: Path) -> None:
    async def unready() -> None:
        raise SandboxUnavailable("nothing confines code here")

    model = Scripted(adds)
    with pytest.raises(SandboxUnavailable):
        made(tmp_path / "x", teacher(model), domain=replace(SUMS, ready=unready))
    assert model.calls == [] and not (tmp_path / "x").exists()


def test_a_domain_needs_stages_of_different_names() -> None:
    with pytest.raises(ConfigError, match="stages of different names"):
        SUMS.also(Answer())


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(JournalError, match="another process"):
        made(tmp_path, teacher(adds))


def test_killed_at_any_moment_nobody_is_asked_twice(tmp_path: Path) -> None:
    """Two processes are killed in the middle of their calls; then one ends. No reply that was written is asked for."""
    child = str(Path(__file__).with_name("synthesis_child.py"))
    asked: Counter[str] = Counter()
    for calls in (3, 17, None):
        seconds = "0.01" if calls else "0"
        command = [sys.executable, child, str(tmp_path), seconds]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for number, line in enumerate(process.stdout, 1):
                asked[line] += 1
                if number == calls:
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == (-signal.SIGKILL if calls else 0)
    assert len(asked) == 2 * len(SEEDS)
    # Four seeds are under way at once: so many calls may be lost with each process, and no more.
    assert sum(asked.values()) <= 2 * len(SEEDS) + 2 * 4
    assert [line["messages"][-1]["content"] for line in lines(tmp_path)] == [str(n * 7) for n in range(len(SEEDS))]


def test_the_shipped_tools_are_called_and_their_answers_verified(tmp_path: Path) -> None:
    """A teacher that calls as the program does that made the problems; tools must give it what the program foresaw."""
    domain = tools()
    seeds = domain.seeds(16, 0)
    known = ThinkingTools(size=16, seed=0, instant=0.5)
    said = {known.dialogue(index).messages[0].text: known.dialogue(index).messages for index in range(16)}

    def policy(messages: Sequence[Message]) -> Message:
        conversation = [message for message in messages if message.role != "system"]
        return said[conversation[0].text][len(conversation)]

    assert any(seed.thinking for seed in seeds) and any(not seed.thinking for seed in seeds)
    tally = made(tmp_path, teacher(policy), domain=domain, seeds=seeds)
    assert tally.count("form") == tally.count("execution") == 0 and tally.count(KEPT) >= 8
    asked_twice = len(seeds) - len(said)
    assert tally.count("answer") <= asked_twice, "of two equal questions with other tables one script is the wrong one"
    file = DialogueFile(tmp_path / DIALOGUES)
    assert {tool.name for tool in file.dialogue(0).tools} == {"calculate", "find"}


def test_seeds_are_the_same_for_the_same_seed_and_have_truths() -> None:
    for domain in (reasoning(), tools()):
        one, same, other = domain.seeds(6, 0), domain.seeds(6, 0), domain.seeds(6, 1)
        assert one == same != other and all(seed.has_truth for seed in one)


def test_peoples_own_seeds(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "What is 3 + 1?", "truth": "4"}\n{"prompt": "What is 4 + 1?"}\n')
    domain = from_file(path)
    assert (domain.name, len(domain.seeds(1, 0))) == ("mine", 1)
    assert made(tmp_path / "out", teacher(adds), domain=domain, seeds=domain.seeds(9, 0)).count(KEPT) == 2


@pytest.mark.parametrize(
    "expression", ["", "1 +", "2 ** 99", "x + 1", "__import__('os')", "(" * 300, "True + 1", "'a'*3"]
)
def test_what_the_calculator_refuses(expression: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        worked_out(expression)
    result = asyncio.run(desk({}).call(ToolCall.of("calculate", {"expression": expression}, index=0)))
    assert result.failure == "bad_arguments"


def test_a_division_by_zero_is_a_value() -> None:
    result = asyncio.run(desk({}).call(ToolCall.of("calculate", {"expression": "1 / 0"}, index=0)))
    assert result.failure == "bad_arguments"
