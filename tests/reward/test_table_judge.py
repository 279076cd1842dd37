import asyncio

import pytest

from manyeyes.reward.judge import JudgeError
from manyeyes.reward.table_judge import ExactJudge, PromptedJudge, read_object


def replies(*texts):
    prompts, left = [], iter(texts)

    async def ask(prompt):
        prompts.append(prompt)
        return next(left)

    return ask, prompts


def test_exact_judge():
    judge = ExactJudge()
    assert asyncio.run(judge.map_columns(["Founded_in", "x"], ["foundedin", "y"])) == {"Founded_in": "foundedin"}
    assert asyncio.run(judge.align_keys("k", ["ＵＳＡ", "b"], ["usa", "USA"])) == {"ＵＳＡ": "usa"}
    assert asyncio.run(judge.judge_column("v", ["a b", "c"], ["AB", "d"], criterion="")) == [1.0, 0.0]


def test_prompted_judge_asks_and_reads():
    ask, prompts = replies('So:\n```json\n{"USA": "United States", "b": 3}\n```')
    assert asyncio.run(PromptedJudge(ask).align_keys("land", ["USA"], ["United States"])) == {"USA": "United States"}
    assert '["USA"]' in prompts[0] and "land" in prompts[0]
    ask, prompts = replies('{"0": 1, "idx_1": 0, "2": true}')
    scores = asyncio.run(PromptedJudge(ask).judge_column("v", ["a", "{b}", "c", "d"], ["a"] * 4, criterion="alike"))
    assert scores == [1, 0, 1, 0] and "alike" in prompts[0] and "{b}" in prompts[0]


def test_prompted_judge_asks_again_and_gives_up():
    ask, prompts = replies("I cannot say.", '{"a": "b"}')
    assert asyncio.run(PromptedJudge(ask).map_columns(["a"], ["b"])) == {"a": "b"} and len(prompts) == 2
    ask, prompts = replies("no", "secret")
    with pytest.raises(JudgeError) as error:
        asyncio.run(PromptedJudge(ask).map_columns(["a"], ["b"]))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"a": 1} then {"b": 2}', {"b": 2}),
        ('```json\n{"a": {"b": 1}}\n```', {"a": {"b": 1}}),
        ("[1, 2]", None),
        ("{" * 9000 + "}" * 9000, None),
        ('{"a": 1', None),
        ('{"a": 1} as asked {or so}', {"a": 1}),
    ],
)
def test_the_last_object_is_read(reply, found):
    assert read_object(reply) == found
