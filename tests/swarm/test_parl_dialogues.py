"""Dialogues for supervised fine-tuning: played through the real environment, mostly serial, text only."""

import pytest

from manyeyes.core.chat import render
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model.config import tiny
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.parl_budget import LAST_STEP
from manyeyes.swarm.parl_dialogues import ParlAlone, ParlOrchestrators, ParlReading, ParlWorkers, dialogues
from manyeyes.swarm.parl_rows import read_rows
from manyeyes.swarm.parl_scripts import DONE, NOTHING

KINDS = (ParlOrchestrators, ParlWorkers, ParlAlone, ParlReading)


def names(dialogue) -> list[str]:
    return [call.name for message in dialogue.messages for call in message.tool_calls]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_always_the_same_and_ends_with_an_answer(kind) -> None:
    some, again = kind(size=8), kind(size=8)
    for index in range(8):
        one = some.dialogue(index)
        assert one == again.dialogue(index) and not one.thinking
        last = one.messages[-1]
        assert last.role == "assistant" and not last.tool_calls
        assert read_rows(last.text) or last.text in (DONE, NOTHING)
        out = render(one.messages, Tokenizer.tiny(), rules=tiny().rules, tools=one.tools, thinking=False)
        assert not out.visuals and out.length < 2500
    with pytest.raises(IndexError):
        some.dialogue(8)


def test_orchestrators_work_mostly_alone_within_their_budget() -> None:
    dialogues = [ParlOrchestrators(size=150).dialogue(index) for index in range(150)]
    delegating = [one for one in dialogues if ASSIGN in names(one)]
    assert 0.06 < len(delegating) / len(dialogues) < 0.25
    vague = [one for one in delegating if "search" in names(one)]
    assert 0.1 < len(vague) / len(delegating) < 0.6  # started for nothing, then alone
    told = [message.text for one in dialogues for message in one.messages if message.role == "tool"]
    assert any(text.endswith(LAST_STEP) for text in told)
    assert all(len(names(one)) <= 8 for one in dialogues if ASSIGN not in names(one))


def test_some_workers_have_nothing_to_tell() -> None:
    dialogues = [ParlWorkers(size=100).dialogue(index) for index in range(100)]
    hopeless = [one for one in dialogues if one.messages[-1].text == NOTHING]
    assert 0.07 < len(hopeless) / len(dialogues) < 0.25
    assert {0, 1} <= {len(names(one)) for one in hopeless}


def test_splits_share_no_task() -> None:
    train, test = (
        {ParlReading(size=60, split=split).dialogue(index).messages[-1].text for index in range(60)}
        for split in ("train", "test")
    )
    assert not train & test
    assert len({one.name for one in dialogues()}) == 4
