"""Media of tool results, moved for endpoints that take text alone in tool messages."""

import json

import numpy as np
import pytest

from manyeyes.agent.openai_chat import Endpoint
from manyeyes.agent.tool_media import ToolMedia
from manyeyes.agent.wire import MessageEncoder
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, ToolCall, assistant, user

PICTURE = ImagePart(Picture.of(np.zeros((4, 4, 3), np.uint8)))


def conversation() -> list[Message]:
    calls = (ToolCall("a", "look", "{}"), ToolCall("b", "look", "{}"))
    return [
        user("Look."),
        assistant("", calls=calls),
        Message("tool", (TextPart("first"), PICTURE), tool_call_id="a"),
        Message("tool", "second", tool_call_id="b"),
        assistant("Seen."),
    ]


def test_media_follow_the_whole_round() -> None:
    written = json.loads(MessageEncoder(media_of_tools="user").conversation(conversation()))
    assert [message["role"] for message in written] == ["user", "assistant", "tool", "tool", "user", "assistant"]
    assert all(isinstance(message["content"], str) for message in written if message["role"] == "tool")
    text, picture = written[4]["content"]
    assert text["text"] == "From the result of call a:" and picture["type"] == "image_url"


def test_media_stay_where_they_may() -> None:
    written = json.loads(MessageEncoder().conversation(conversation()))
    assert [message["role"] for message in written] == ["user", "assistant", "tool", "tool", "assistant"]
    assert written[2]["content"][1]["type"] == "image_url"


def test_a_message_is_moved_once() -> None:
    media, said = ToolMedia(), conversation()
    first, second = list(media.moved(said)), list(media.moved(said))
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("url", "role"),
    [
        ("https://api.openai.com/v1", "user"),
        ("https://x.openai.azure.com/openai", "user"),
        ("https://api.moonshot.ai/v1", "tool"),
        ("http://127.0.0.1:8000/v1", "tool"),
        ("https://openai.com.example/v1", "tool"),
    ],
)
def test_the_address_decides(url: str, role: str) -> None:
    assert Endpoint(url, "m").media_of_tools == role
    assert Endpoint(url, "m", media_role="tool").media_of_tools == "tool"
