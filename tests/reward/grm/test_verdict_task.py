import asyncio

import numpy as np
import pytest

from manyeyes.core.media import MediaRules
from manyeyes.core.messages import ImagePart
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.reward.grm.config import GrmConfig
from manyeyes.reward.grm.fakes import RuleGrader
from manyeyes.reward.grm.generative_reward import GenerativeReward
from manyeyes.reward.grm.question import Work
from manyeyes.reward.grm.rubrics import RUBRICS
from manyeyes.reward.grm.verdict_pair import TEXT_PAIRS
from manyeyes.reward.grm.verdict_task import PAIRS, verdict_reward, verdict_sample, verdict_task

TASKS = [verdict_task(3, index) for index in range(280)]


def always(side):
    def reward(task):
        (criterion,) = task.rubric.criteria
        return verdict_reward(f'{{"mark": "{task.question.mark}", "{criterion.name}": "{side}"}}', task)

    return np.mean([reward(task) for task in TASKS])


def test_tasks_cross_kinds_and_modalities_and_every_verdict_is_right_for_some():
    assert {task.kind for task in TASKS} == set(RUBRICS)
    assert {task.modality for task in TASKS} == {"text", "image", "trajectory"}
    assert {task.rubric.criteria[0].name for task in TASKS} == {
        "helpfulness", "instructions", "detail", "readiness", "relevance", "aesthetics"
    }  # fmt: skip
    assert len({task.id for task in TASKS}) == len(TASKS)
    shares = {side: always(side) for side in ("A", "B", "tie")}
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.3 < shares["A"] < 0.55 and 0.3 < shares["B"] < 0.55 and 0.08 < shares["tie"] < 0.27


def test_the_right_verdict_earns_one_and_everything_else_nothing():
    for task in TASKS[:14]:
        assert verdict_reward(task.verdict, task) == verdict_reward(f"Reasons.\n{task.verdict}\n", task) == 1
        wrong = task.verdict.replace(f'"{task.truth}"', '"tie"' if task.truth != "tie" else '"A"')
        for reply in (wrong, "", "A", f"{task.verdict}!", task.verdict.replace(task.question.mark, "0" * 16)):
            assert verdict_reward(reply, task) == 0
        assert not any(isinstance(p, ImagePart) is False and task.verdict in p.text for p in task.question.parts)


def test_tasks_are_the_same_again_and_pictures_stand_where_they_are_judged():
    for index in range(14):
        one, other = verdict_task(3, index), verdict_task(3, index)
        assert one.truth == other.truth and one.question.mark == other.question.mark
        shown = [
            [part.image.pixels() for part in task.question.parts if isinstance(part, ImagePart)]
            for task in (one, other)
        ]
        assert all(np.array_equal(a, b) for a, b in zip(*shown, strict=True))
        assert len(shown[0]) == {("chat", "image"): 1, ("artefact", "image"): 2}.get((one.kind, one.modality), 0)
    assert verdict_task(4, 0).question.mark != verdict_task(3, 0).question.mark


@pytest.mark.parametrize("pair", PAIRS)
def test_one_work_is_better_and_a_tie_shows_one_twice(pair):
    def shown(parts):
        return [part.image.pixels().tobytes() if isinstance(part, ImagePart) else part.text for part in parts]

    for seed in range(20):
        made = pair(np.random.default_rng(seed))
        assert shown(made.better) != shown(made.worse)
        assert made.criterion in {one.name for rubric in RUBRICS[made.kind] for one in rubric.criteria}


def test_a_grader_that_can_multiply_learns_nothing_new_from_the_first_kind():
    """The known winner is what a rule that solves the task finds, through the very question that graders are asked."""

    def right(criterion, work):
        one, _, other, _, product = work.rstrip(".").split()
        return float(int(one) * int(other) == int(product))

    made = TEXT_PAIRS[0](np.random.default_rng(1))
    better, worse = (Work(made.kind, made.task, answer) for answer in (made.better, made.worse))
    grm = GenerativeReward({"g": RuleGrader(right)}, GrmConfig(drawn=3))
    assert asyncio.run(grm.compare(better, worse, name="t")).score == 1
    sums = [task for task in TASKS if task.id.endswith(("0", "7")) and "times" in task.question.parts[0].text]
    said = [asyncio.run(RuleGrader(right)(task.question.parts)) for task in sums]
    assert sums and [verdict_reward(reply, task) for reply, task in zip(said, sums, strict=True)] == [1.0] * len(sums)


def test_samples_carry_weight_on_the_verdict_alone():
    tokenizer, rules = Tokenizer.tiny(), MediaRules()
    for index in (0, 3, 5, 6):
        task = TASKS[index]
        sample = verdict_sample(task, tokenizer, rules=rules, why="I looked.")
        learned = tokenizer.decode(sample.ids[sample.weights > 0].tolist())
        assert (
            task.verdict in learned
            and "I looked." in learned
            and task.question.mark not in learned.replace(task.verdict, "")
        )
        pictures = sum(isinstance(part, ImagePart) for part in task.question.parts)
        assert len(sample.media) == pictures and ((sample.ids == tokenizer.media_pad).sum() > 0) == (pictures > 0)
