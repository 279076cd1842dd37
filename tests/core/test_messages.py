import dataclasses
import json

import numpy as np
import pytest

from manyeyes.core.media import Clip, Picture
from manyeyes.core.messages import (
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    VideoPart,
    assistant,
    part_of,
    system,
    tool_result,
    user,
)

PICTURE = Picture.of(np.zeros((4, 4, 3), np.uint8))
CLIP = Clip((PICTURE, PICTURE), fps=2.0)


def test_a_call_keeps_its_arguments_as_json_in_the_order_given():
    call = ToolCall.of("zoom", {"z": 1, "a": "é中", "nested": {"y": None}}, index=7)
    assert call.id == "functions.zoom:7"
    assert call.arguments == '{"z": 1, "a": "é中", "nested": {"y": null}}'
    assert list(json.loads(call.arguments)) == ["z", "a", "nested"]


def test_pieces_become_parts_in_order():
    message = user("look: ", PICTURE, CLIP, TextPart("well?"))
    assert message.parts == (TextPart("look: "), ImagePart(PICTURE), VideoPart(CLIP), TextPart("well?"))
    assert message.text == "look: well?"
    assert message.media == (PICTURE, CLIP)


def test_text_alone_stays_a_string():
    assert user("Hi") == Message("user", "Hi")
    assert user() == Message("user", "")
    assert user("Hi").parts == (TextPart("Hi"),)
    assert user("Hi").media == ()


@pytest.mark.parametrize("piece", [TextPart("a"), ImagePart(PICTURE), VideoPart(CLIP)])
def test_a_part_stays_itself(piece):
    assert part_of(piece) is piece


def test_every_role_has_its_fields():
    call = ToolCall.of("zoom", {}, index=0)
    assert system("Be brief.").role == "system"
    assert assistant("Yes", reasoning="hm", calls=(call,)) == Message("assistant", "Yes", "hm", (call,))
    assert tool_result(call, "done", PICTURE).tool_call_id == "functions.zoom:0"
    assert tool_result(call, "done", PICTURE).media == (PICTURE,)


def test_messages_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        user("Hi").content = "Ho"  # type: ignore[misc]
