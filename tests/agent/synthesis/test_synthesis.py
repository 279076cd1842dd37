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

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ModelError, Reply, Sampling, Usage
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.synthesis.answer import Answer
from manyeyes.agent.synthesis.candidate import Candidate
from manyeyes.agent.synthesis.choosing import KeepRule
from manyeyes.agent.synthesis.desk import desk, worked_out, written
from manyeyes.agent.synthesis.domain import Domain
from manyeyes.agent.synthesis.domains import from_file, reasoning, tools
from manyeyes.agent.synthesis.form import Form
from manyeyes.agent.synthesis.seed import Seed
from manyeyes.agent.synthesis.stage import PASSED, Finding
from manyeyes.agent.synthesis.synthesis import DIALOGUES, GIVE_UP, REPORT, synthesise
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

        name, mark = "dear", ""

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

        name, mark = "absent", ""
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
    """Not even into the dialogue of a right answer that says one."""
    said = assistant("My key is sk-very-secret.\n1")
    tally = made(tmp_path, teacher(lambda messages: said), seeds=sums(1), secrets=["sk-very-secret"])
    assert tally.count(KEPT) == 1 and "My key is [secret]." in (tmp_path / DIALOGUES).read_text()
    assert b"sk-very-secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def asked(folder: Path, **more: Any) -> int:
    """How often a teacher is asked by one more call."""
    model = Scripted(adds)
    made(folder, teacher(model), **more)
    return len(model.calls)


def test_other_words_of_a_seed_are_another_seed(tmp_path: Path) -> None:
    assert asked(tmp_path) == 4 and asked(tmp_path) == 0
    changed = [replace(sums(1)[0], turns=("What is 5 + 1?",), truths=("6",)), *sums(4)[1:]]
    assert asked(tmp_path, seeds=changed) == 1
    assert lines(tmp_path)[0]["messages"][0]["content"] == "What is 5 + 1?"
    assert asked(tmp_path) == 0, "both are known"


def test_other_settings_ask_anew(tmp_path: Path) -> None:
    assert asked(tmp_path) == 4
    assert asked(tmp_path, domain=replace(SUMS, instruction="Be brief.")) == 4
    assert asked(tmp_path, domain=replace(SUMS, steps=3)) == 0, "the same replies, by another rule"
    warm = Scripted(adds)
    made(tmp_path, Teacher("one", warm, instant=Sampling(temperature=0.2)))
    assert len(warm.calls) == 4


def test_a_truth_that_was_mended_is_looked_at_again_without_asking(tmp_path: Path) -> None:
    mistaken = [replace(seed, truths=("99",)) for seed in sums(4)]
    assert made(tmp_path, teacher(adds), seeds=mistaken).count("answer") == 4
    assert asked(tmp_path) == 0 and len(lines(tmp_path)) == 4


def test_a_stage_with_other_rules_looks_again(tmp_path: Path) -> None:
    brief = replace(SUMS, stages=(Form(longest=3), Answer()))
    assert made(tmp_path, teacher(wordy), domain=brief).count("form") == 4
    assert made(tmp_path, teacher(wordy)).count(KEPT) == 4


class Cut:
    """Is cut off at fewer than 10 tokens."""

    name = "cut"

    def __init__(self) -> None:
        self.calls = 0

    def cost(self, usage: Usage) -> float:
        return 0.0

    async def complete(self, messages, tools=(), *, sampling: Sampling = DEFAULT_SAMPLING, **_) -> Reply:
        self.calls += 1
        return Reply(adds(messages), "length" if (sampling.max_tokens or 99) < 10 else "stop")


def test_what_was_cut_off_is_asked_for_again_with_more_room_only(tmp_path: Path) -> None:
    def asked_with(tokens: int) -> int:
        model = Cut()
        made(tmp_path, Teacher("cut", model, instant=Sampling(max_tokens=tokens)))
        return model.calls

    assert [asked_with(tokens) for tokens in (5, 5, 20, 40)] == [4, 0, 4, 0]
    assert len(lines(tmp_path)) == 4


class Refusing(Scripted):
    """Has no model of the name that is asked for, until somebody mends it."""

    async def complete(self, messages, tools=(), **more) -> Reply:
        raise ModelError("HTTP 404: no such model", kind="request", status=404)


def test_a_refused_request_is_not_remembered(tmp_path: Path) -> None:
    tally = made(tmp_path, teacher(Refusing(adds)))
    assert tally.count(UNASKED) == 4 and tally.to_json()["reasons"][UNASKED] == {"HTTP 404: no such model": 4}
    assert asked(tmp_path) == 4 and len(lines(tmp_path)) == 4


def test_a_teacher_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    class Gone(Scripted):
        asked = 0

        async def complete(self, messages, tools=(), **more) -> Reply:
            Gone.asked += 1
            raise ModelError("nobody listens there", kind="endpoint")

    tally = made(tmp_path, teacher(Gone(adds), "gone"), teacher(adds, "up"), seeds=sums(50), at_once=2)
    assert GIVE_UP <= Gone.asked <= GIVE_UP + 2 and tally.count(UNASKED, "gone") == 50
    assert tally.to_json()["reasons"][UNASKED] == {"nobody listens there": 50} and tally.count(KEPT, "up") == 50


def test_where_tools_are_needed_they_must_be_called(tmp_path: Path) -> None:
    """A teacher that knows all answers and calls nothing: only questions that need no tool are kept."""
    domain = tools()
    seeds = domain.seeds(16, 0)
    answers = {seed.turns[0]: seed.truths[-1] or "" for seed in seeds}

    def policy(messages: Sequence[Message]) -> Message:
        return assistant(answers[messages[1].text], reasoning="I know it.")

    tally = made(tmp_path, teacher(policy), domain=domain, seeds=seeds)
    needed = sum(bool(seed.data["calls"]) for seed in seeds)
    assert 0 < tally.count("form") == needed < len(seeds)


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


def test_a_stage_that_cannot_be_known_again_asks_nobody(tmp_path: Path) -> None:
    model = Scripted(adds)
    nameless = replace(SUMS, stages=(Form(), Answer(score=lambda said, truth, seed: 1.0)))
    with pytest.raises(ConfigError, match="remembered by the names of functions"):
        made(tmp_path / "x", teacher(model), domain=nameless)
    assert model.calls == [] and not (tmp_path / "x").exists()


def test_where_nothing_is_found_the_brief_answer_is_kept(tmp_path: Path) -> None:
    domain = tools()
    seeds = [one for one in domain.seeds(64, 0) if (one.truths[-1] or "").startswith("There is no entry")][:2]
    key = next(iter(seeds[0].data["entries"]))

    def policy(messages: Sequence[Message]) -> Message:
        if messages[-1].role == "tool":
            return assistant("No entry", reasoning="Nothing was found.")
        return assistant(reasoning="I look.", calls=(ToolCall.of("find", {"key": key}, index=0),))

    assert made(tmp_path, teacher(policy), domain=domain, seeds=seeds[:1]).count(KEPT) == 1


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


@pytest.mark.parametrize("expression", ["1 / 0", "*".join(["1e99"] * 9) + " / 7", "9" * 190, "1e999 - 1e999"])
def test_what_has_no_value_that_can_be_written_is_a_value(expression: str) -> None:
    result = asyncio.run(desk({}).call(ToolCall.of("calculate", {"expression": expression}, index=0)))
    assert result.failure == "bad_arguments"


@pytest.mark.parametrize(
    ("expression", "shown"),
    [("1e29 + 0.5", "1" + "0" * 29 + ".5"), ("-1 / 9999999", "0"), ("-1 / 3", "-0.333333"), ("10 * 3", "30")],
)  # fmt: skip
def test_results_are_exact_to_six_decimals(expression: str, shown: str) -> None:
    assert written(worked_out(expression)) == shown
