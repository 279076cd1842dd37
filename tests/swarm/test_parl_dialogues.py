"""Dialogues for supervised fine-tuning: played through the real environment, mostly serial, text only."""

import pytest

from manyeyes.core.chat import render
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.model.config import tiny
from manyeyes.swarm.orchestrator import ASSIGN
from manyeyes.swarm.parl_budget import LAST_STEP
from manyeyes.swarm.parl_dialogues import ParlAlone, ParlOrchestrators, ParlWorkers
from manyeyes.swarm.parl_rows import read_rows
from manyeyes.swarm.parl_scripts import DONE, NOTHING, asked
from manyeyes.swarm.parl_tools import PUT, WRITE

KINDS = (ParlOrchestrators, ParlWorkers, ParlAlone)


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
        assert not out.visuals and out.length < 4096
    with pytest.raises(IndexError):
        some.dialogue(8)


def test_orchestrators_work_mostly_alone_within_their_budget() -> None:
    dialogues = [ParlOrchestrators(size=150).dialogue(index) for index in range(150)]
    delegating = [one for one in dialogues if ASSIGN in names(one)]
    assert 0.25 < len(delegating) / len(dialogues) < 0.5
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
    def found(split) -> set[str]:
        """What tools told, the world's page numbers among it."""
        made = (ParlWorkers(size=40, hopeless=0.0, split=split).dialogue(index) for index in range(40))
        return {"\n".join(message.text for message in one.messages if message.role == "tool") for one in made}

    assert not found("train") & found("test")


def test_an_agent_alone_goes_to_the_end_of_its_table() -> None:
    for index in range(12):
        one = ParlAlone(size=12, rows=(4, 12)).dialogue(index)
        (question,) = (message.text for message in one.messages if message.role == "user")
        _, keys = asked(question)
        assert len([name for name in names(one) if name in (PUT.name, WRITE.name)]) == len(keys) >= 4
