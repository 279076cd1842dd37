"""Grading as a task: known verdicts, a line between learned and held-out content, pictures in their place."""

import asyncio
import json
from collections.abc import Sequence
from itertools import islice
from typing import Any, get_args

import numpy as np
import pytest

from manyeyes.agent.environments.verdicts import environment, task_source, verdict_task_of, with_pictures
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.judge import Case
from manyeyes.agent.prompting.message_layout import MessageLayout
from manyeyes.agent.prompting.system_style import SystemStyle
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.agent.task import Outcome, Task
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import ImagePart, Message, TextPart, assistant
from manyeyes.core.trajectory import Trajectory
from manyeyes.reward.grm.rubric import TaskKind
from manyeyes.reward.grm.verdict_pair import Modality
from manyeyes.reward.grm.verdict_task import NAMED, side_of, verdict_of
from manyeyes.rl.right import is_right

TASKS = list(islice(task_source(3), 280))


def worth(task: Task, text: str, stop: Any = "done") -> float:
    judge = environment().judge
    assert judge is not None
    found = asyncio.run(judge(Case(task, Outcome(stop, text))))
    assert found.parts == {"right": found.reward}
    return found.reward


def said(task: Task, side: str) -> str:
    """A verdict, from the form that the question ends with."""
    form = json.loads(task.prompt.splitlines()[-1])
    return f"I have looked.\n{json.dumps({name: side if name != 'mark' else mark for name, mark in form.items()})}"


def test_the_known_verdict_is_worth_1_and_anything_else_0() -> None:
    for task in TASKS[:28]:
        truth = verdict_task_of(task).truth
        other = "A" if truth != "A" else "B"
        assert worth(task, said(task, truth)) == 1.0 and worth(task, said(task, truth), "cut_off") == 0.0
        assert worth(task, said(task, other)) == worth(task, truth) == worth(task, "") == 0.0


def test_a_grader_that_always_says_one_thing_is_worth_what_chance_is() -> None:
    shares = {side: np.mean([worth(task, said(task, side)) for task in TASKS]) for side in ("A", "B", "tie")}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert 0.33 < shares["A"] < 0.5 and 0.33 < shares["B"] < 0.5 and 0.1 < shares["tie"] < 0.24


def shown(task: Task) -> tuple[Any, ...]:
    """What is asked without the mark, which is never twice the same: texts, and pixels."""
    question = verdict_task_of(task).question
    return tuple(
        part.text.replace(question.mark, "MARK") if isinstance(part, TextPart) else part.image.pixels().tobytes()
        for part in question.parts
        if isinstance(part, TextPart | ImagePart)
    )


def test_no_question_of_the_one_split_is_asked_in_the_other_whatever_the_seeds() -> None:
    trained = {shown(task) for seed in (0, 5) for task in islice(task_source(seed), 420)}
    held_out = {shown(task) for seed in (0, 9) for task in islice(task_source(seed, "test"), 420)}
    assert len(held_out) > 150 and not trained & held_out


@pytest.mark.parametrize("name", NAMED)
def test_pairs_of_both_splits_share_no_work_and_neither_split_is_empty(name: str) -> None:
    """A work is what was answered to what was asked; an answer alone ("There are 3 red discs") may fit two pictures."""

    def of(parts: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(one.text if isinstance(one, TextPart) else one.image.pixels().tobytes() for one in parts)

    works: dict[str, set[Any]] = {"train": set(), "test": set()}
    contents: dict[str, set[str]] = {"train": set(), "test": set()}
    draw = np.random.default_rng(0)
    for _ in range(300):
        pair = NAMED[name](draw)
        side = side_of(name, pair)
        contents[side].add(pair.content)
        works[side] |= {(of(pair.task), of(pair.better)), (of(pair.task), of(pair.worse))}
    assert min(map(len, contents.values())) >= 2 and not contents["train"] & contents["test"]
    assert not works["train"] & works["test"]
    for number in range(10):
        assert verdict_of(name, number, split="test").id != verdict_of(name, number, split="train").id


def test_kinds_and_modalities_choose_pairs() -> None:
    def about(**options: Any) -> set[tuple[str, str]]:
        made = [verdict_task_of(task) for task in islice(task_source(**options), 42)]
        return {(one.kind, one.modality) for one in made}

    assert {kind for kind, _ in about()} == set(get_args(TaskKind))
    assert {modality for _, modality in about()} == set(get_args(Modality))
    assert about(kinds=["chat"], modalities=["text"]) == {("chat", "text")}
    assert about(modalities=["image"]) == {("chat", "image"), ("artefact", "image")}
    for options in ({"kinds": ["poetry"]}, {"modalities": ["smell"]}, {"kinds": ["artefact"], "modalities": ["text"]}):
        with pytest.raises(ConfigError, match="verdicts are about|no pairs"):
            task_source(**options)
    with pytest.raises(ConfigError, match="train or test"):
        next(iter(task_source(0, "dev")))  # type: ignore[arg-type]


def test_tasks_of_a_size_come_again_and_a_source_goes_on_where_it_stood() -> None:
    source = task_source(3, kinds=["chat"], modalities=["text"], size=9)
    first = [task.id for task in islice(source, 9)]
    saved = source.state()
    then = [task.id for task in islice(source, 9)]
    assert sorted(first) == sorted(then) and first != then and len(set(first)) == 9
    again = task_source(3, kinds=["chat"], modalities=["text"], size=9)
    again.restore(saved)
    assert [task.id for task in islice(again, 9)] == then
    assert len({task.id for task in TASKS}) == len(TASKS)


def test_pictures_stand_where_they_are_judged_and_the_question_is_whole() -> None:
    seen = {"image": 0, "text": 0, "trajectory": 0}
    for task in TASKS[:14]:
        made = verdict_task_of(task)
        (message,) = environment().prompt(task)
        assert [type(part) for part in message.parts] == [type(part) for part in made.question.parts]
        assert message.text == made.message.text
        assert [p.pixels().tobytes() for p in message.media] == [p.pixels().tobytes() for p in made.message.media]
        seen[made.modality] += bool(message.media)
    assert seen["image"] == 4 and seen["text"] == seen["trajectory"] == 0


def test_a_prompt_that_a_module_has_written_anew_keeps_its_pictures() -> None:
    task = next(task for task in TASKS if verdict_task_of(task).kind == "artefact")
    parts = verdict_task_of(task).question.parts
    first, second = (part for part in parts if isinstance(part, ImagePart))
    assert with_pictures("Which one?", parts) == [first, second, TextPart("Which one?")]
    assert with_pictures("(a picture of 1x1)(a picture of 1x1) so?", parts) == [first, second, TextPart(" so?")]
    made = environment(system="Judge.", modules=(SystemStyle(), MessageLayout()))
    for number in range(6):
        here, shown_task, _ = made.drawn(task, seed=1, name=f"a/{number}")
        assert sum(len(message.media) for message in here.prompt(shown_task)) == 2


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match="no comparison"):
        environment().messages(Task("t", "?", {"seed": 1}))


def solves(messages: Sequence[Message]) -> Message:
    """A grader that can multiply: it reads the works and says which is right."""
    text = messages[-1].text
    mark = text.partition("begin with [")[2].partition("]")[0]
    works = [text.partition(f"[{mark}] work {label} begins\n")[2].partition(f"\n[{mark}]")[0] for label in "AB"]
    right = []
    for work in works:
        one, _, other, _, product = work.rstrip(".").split()
        right.append(int(one) * int(other) == int(product))
    side = "tie" if right[0] == right[1] else "A" if right[0] else "B"
    return assistant(said(Task("", text), side))


def test_a_policy_that_knows_earns_1_through_the_rollout_manager_and_one_that_guesses_less() -> None:
    tasks = [task for task in TASKS if verdict_task_of(task).id.startswith("verdict/sum_of_numbers/")][:12]

    async def rewards(policy: Any) -> list[Trajectory]:
        async with RolloutManager({"live": Scripted(policy)}) as manager:
            for task in tasks:
                manager.submit(GroupRequest(task.id, task, environment(), size=1))
            return [one async for group in manager.results() for one in group.trajectories]

    assert all(one.reward == 1.0 and is_right(one, least=1.0) for one in asyncio.run(rewards(solves)))
    guessed = asyncio.run(rewards(lambda messages: assistant(said(Task("", messages[-1].text), "A"))))
    assert 0 < sum(one.reward or 0.0 for one in guessed) < len(tasks)
