"""The released ids without the released vocabulary: the entries that a few texts need, at their official ranks.

All other ranks hold byte strings that are in no text, so merging goes as it does with the whole vocabulary. Where the
ids come from: tests/golden/README.md; `make test-parity` compares them with the packages they come from.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from manyeyes.core.chat import parse, render
from manyeyes.core.media import Clip, MediaRules, Picture
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, system, tool_result, user
from manyeyes.core.tokenizer import Tokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "chat_ids.json").read_text(encoding="utf-8"))
RANKS = 163_584


def single_bytes() -> list[int]:
    """The bytes in the order of their ranks, 0 to 255: first what is printable in Latin-1, then the rest."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return printable + [byte for byte in range(256) if byte not in printable]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    known = {rank: bytes([byte]) for rank, byte in enumerate(single_bytes())}
    known |= {int(rank): text.encode() for rank, text in GOLDEN["tokens"].items()}
    assert len(known) == 256 + 60
    tokens = (known.get(rank, b"\xff\xfe" + rank.to_bytes(3, "big")) for rank in range(RANKS))
    return Tokenizer(tokens, name="a stand-in for tiktoken.model")


def sealed(width: int = 64, height: int = 64) -> Picture:
    def load():
        raise AssertionError("pixels were decoded")

    return Picture.lazy(width, height, load)


ZOOM = Tool("zoom", "Zooms in.", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
CALL, NEXT = ToolCall("functions.zoom:0", "zoom", '{"x": 0.5}'), ToolCall("functions.zoom:1", "zoom", '{"x":1}')
TURN = [
    user("Look"),
    assistant("", reasoning="first", calls=(CALL, NEXT)),
    tool_result(CALL, "a"),
    Message("tool", "b", tool_call_id=NEXT.id, name="zoomer"),
    assistant("between", reasoning="second", calls=(CALL,)),
    tool_result(CALL, "c"),
]
CONVERSATION = [
    system("你好"),
    *TURN,
    assistant("Done", reasoning="third"),
    user("Look", sealed(), "and say."),
    *TURN[1:],
]


def rendered(messages, tokenizer: Tokenizer, **options) -> list[int]:
    return render(messages, tokenizer, rules=MediaRules(), **options).ids.tolist()


def collapsed(ids: list[int]) -> list[int]:
    """Runs of media tokens once."""
    pairs = zip(ids, [-1, *ids[:-1]], strict=True)
    return [token for token, before in pairs if not token == before == 163605]


def test_a_text_has_the_released_ids(tokenizer) -> None:
    text = "Hello, world! 你好，世界 12345 don't"
    ids = [19180, 11, 2695, 0, 220, 33845, 378, 2243, 220, 6694, 2899, 4536]
    assert tokenizer.encode(text) == ids == GOLDEN["ids"]["text"]
    assert tokenizer.decode(ids) == text
    assert [tokenizer.encode(word) for word in ("user", "assistant", "system")] == [[2482], [69702], [14062]]


def test_special_tokens_have_the_released_ids(tokenizer) -> None:
    assert (tokenizer.n_ranks, tokenizer.n_vocab) == (163_584, 163_840)
    assert (tokenizer.bos, tokenizer.eos, tokenizer.pad) == (163584, 163585, 163839)
    assert tokenizer.stops == (163586, 163585)
    assert tokenizer.special["<|reserved_token_163589|>"] == 163589


def test_a_prompt_has_the_released_ids(tokenizer) -> None:
    ids = [163587, 2482, 163601, 18699, 163586, 163588, 69702, 163601, 163606]
    assert rendered([user("Hi")], tokenizer, generation_prompt=True) == ids == GOLDEN["ids"]["prompt"]
    assert rendered([user("Hi")], tokenizer, generation_prompt=True, thinking=False) == [*ids, 163607]


@pytest.mark.parametrize(("mode", "thinking"), [("thinking", True), ("instant", False)])
def test_a_conversation_has_the_released_ids(tokenizer, mode, thinking) -> None:
    """System prompt, tools, calls and results, history and an open turn, a picture."""
    ids = rendered(CONVERSATION, tokenizer, tools=[ZOOM], thinking=thinking, generation_prompt=True)
    assert collapsed(ids) == GOLDEN["ids"][mode]


def test_a_picture_is_the_released_number_of_placeholders(tokenizer) -> None:
    ids = rendered([user(sealed(224, 224), "Look")], tokenizer)
    frame = [163587, 2482, 163601, 163602, 4017, 163603, 163604, 198, 13258, 163586]
    assert [token for token in ids if token != 163605] == frame and ids.count(163605) == 64
    assert ids.index(163605) == 6
    chunks = rendered([user(Clip((sealed(224, 224),) * 8, fps=2.0))], tokenizer)
    assert chunks.count(163605) == 128 and chunks.count(163602) == 2


def test_the_released_ids_of_an_answer_parse(tokenizer) -> None:
    ids = GOLDEN["ids"]["thinking"]
    start = len(ids) - 1 - ids[::-1].index(8959)  # "second", the thought of the last answer
    end = start + ids[start:].index(163586) + 1
    assert parse(np.array(ids[start:end], np.int32), tokenizer) == assistant(
        "between", reasoning="second", calls=(CALL,)
    )
