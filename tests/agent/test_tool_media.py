"""How media travel: moved out of tool messages where an endpoint wants that, clips as frames or as a film."""

import base64
import io
import json

import av
import numpy as np
import pytest

from manyeyes.agent.openai_chat import Endpoint
from manyeyes.agent.tool_media import ToolMedia
from manyeyes.agent.wire import MessageEncoder
from manyeyes.core.media import Clip, Picture
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


def test_a_clip_travels_as_frames_or_as_a_film_that_is_read_back() -> None:
    frames = tuple(Picture.of(np.full((33, 64, 3), 40 * number, np.uint8)) for number in range(6))
    message = user("Watch.", Clip(frames, 3.0))
    (framed,) = json.loads(MessageEncoder().conversation([message]))
    assert [part["type"] for part in framed["content"]].count("image_url") >= 2
    (filmed,) = json.loads(MessageEncoder(video="video_url").conversation([message]))
    assert [part["type"] for part in filmed["content"]] == ["text", "video_url"]
    kind, _, content = filmed["content"][1]["video_url"]["url"].partition(";base64,")
    assert kind == "data:video/mp4"
    with av.open(io.BytesIO(base64.b64decode(content))) as film:
        (stream,) = film.streams.video
        shown = [frame.to_ndarray(format="rgb24").mean() for frame in film.decode(stream)]
        assert stream.average_rate == 3 and stream.width == 64 and stream.height == 32
    assert len(shown) == 6 and all(abs(mean - 40 * number) < 6 for number, mean in enumerate(shown))
