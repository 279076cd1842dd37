import base64
import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core import tokenizer as tokenizer_module
from manyeyes.core.tokenizer import SLOTS, WORD_PATTERN, Tokenizer, TokenizerError, pieces_of
from manyeyes.core.tokenizer_training import train

TINY = Tokenizer.tiny()
BYTES = Tokenizer(bytes([byte]) for byte in range(256))

# The released special tokens and their ids.
OFFICIAL = {
    "[BOS]": 163584, "[EOS]": 163585, "<|im_end|>": 163586, "<|im_user|>": 163587, "<|im_assistant|>": 163588,
    "<|start_header_id|>": 163590, "<|end_header_id|>": 163591, "[EOT]": 163593, "<|im_system|>": 163594,
    "<|tool_calls_section_begin|>": 163595, "<|tool_calls_section_end|>": 163596, "<|tool_call_begin|>": 163597,
    "<|tool_call_argument_begin|>": 163598, "<|tool_call_end|>": 163599, "<|im_middle|>": 163601,
    "<|media_begin|>": 163602, "<|media_content|>": 163603, "<|media_end|>": 163604, "<|media_pad|>": 163605,
    "<think>": 163606, "</think>": 163607, "[UNK]": 163838, "[PAD]": 163839,
}  # fmt: skip

ALIKE = st.sampled_from(sorted(OFFICIAL))
TRICKY = st.sampled_from(
    ["don't", "HTTPServer's", "12345", "你好，世界", "\r\n\n", " \t ", "é́", "naïve", "½²", "😀", "Ⅻ"]
)
TEXTS = st.lists(st.one_of(st.text(max_size=12), ALIKE, TRICKY), max_size=8).map("".join)


def test_the_tiny_vocabulary_is_the_pinned_one():
    assert (TINY.n_ranks, TINY.n_vocab) == (1792, 2048)
    assert TINY.fingerprint == "12b31d51a6d09d3c8bc096f4a8eadd78fc37e596df802392747c4900c4d30392"


@pytest.mark.parametrize("text", sorted(OFFICIAL))
def test_special_tokens_lie_at_the_official_slots(text):
    assert TINY.special[text] == TINY.n_ranks + OFFICIAL[text] - 163584


def test_the_other_slots_are_reserved_under_their_own_id():
    assert len(TINY.special) == 256
    assert sorted(TINY.special.values()) == list(range(1792, 2048))
    unnamed = {token for text, token in TINY.special.items() if text not in OFFICIAL}
    assert {TINY.decode([token]) for token in unnamed} == {f"<|reserved_token_{token}|>" for token in unnamed}


def test_named_ids_are_those_of_their_texts():
    for name, text in {
        "bos": "[BOS]", "eos": "[EOS]", "pad": "[PAD]", "unk": "[UNK]", "im_end": "<|im_end|>",
        "im_user": "<|im_user|>", "im_assistant": "<|im_assistant|>", "im_system": "<|im_system|>",
        "im_middle": "<|im_middle|>", "think": "<think>", "end_think": "</think>", "media_begin": "<|media_begin|>",
        "media_content": "<|media_content|>", "media_end": "<|media_end|>", "media_pad": "<|media_pad|>",
        "calls_begin": "<|tool_calls_section_begin|>", "calls_end": "<|tool_calls_section_end|>",
        "call_begin": "<|tool_call_begin|>", "call_argument_begin": "<|tool_call_argument_begin|>",
        "call_end": "<|tool_call_end|>",
    }.items():  # fmt: skip
        assert TINY.decode([getattr(TINY, name)]) == text
    assert TINY.stops == (TINY.im_end, TINY.eos)


@given(TEXTS)
def test_text_returns_and_holds_no_special_token(text):
    ids = TINY.encode(text)
    assert TINY.decode(ids) == text
    assert all(0 <= token < TINY.n_ranks for token in ids)


@given(TEXTS)
def test_encoding_equals_merging_by_hand(text):
    words = regex.findall(WORD_PATTERN, text, flags=regex.V1)
    assert "".join(words) == text
    assert TINY.encode(text) == [token for word in words for token in merged(word.encode())]


def merged(word: bytes) -> list[int]:
    """Byte-pair encoding as its definition says: join the neighbours of lowest rank until none has one."""
    ranks = {token: rank for rank, token in enumerate(TINY.tokens)}
    parts = [bytes([byte]) for byte in word]
    while True:
        pairs = [(ranks[a + b], at) for at, (a, b) in enumerate(zip(parts, parts[1:], strict=False)) if a + b in ranks]
        if not pairs:
            return [ranks[part] for part in parts]
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@pytest.mark.parametrize(
    "text, words",
    [
        ("Hello, world! don't", ["Hello", ",", " world", "!", " don't"]),
        ("你好，世界abc", ["你好", "，", "世界", "abc"]),
        ("a中b", ["a", "中", "b"]),
        ("12345", ["123", "45"]),
        ("HTTPServer's  end", ["HTTPServer's", " ", " end"]),
        ("camelCase", ["camel", "Case"]),
        ("x=1;\n\n  y", ["x", "=", "1", ";\n\n", " ", " y"]),
        ("WE'LL", ["WE'LL"]),
        ("end \n", ["end", " \n"]),
    ],
)
def test_words_are_cut_by_the_official_pattern(text, words):
    assert regex.findall(WORD_PATTERN, text, flags=regex.V1) == words


def official_pieces(text: str, longest_text: int, longest_run: int) -> Iterator[str]:
    """The rule in words: cut every `longest_text` characters, then before a run grows over `longest_run`."""
    for start in range(0, len(text), longest_text):
        piece, run, was_space = "", 0, None
        for character in text[start : start + longest_text]:
            run = run + 1 if character.isspace() == was_space else 1
            was_space = character.isspace()
            if run > longest_run:
                yield piece
                piece, run = "", 1
            piece += character
        yield piece


@given(st.text(alphabet="ab \n\u3000\x1c\x85", max_size=60))
def test_long_text_is_cut_where_the_official_tokenizer_cuts(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_module, "LONGEST_TEXT", 17)
        patch.setattr(tokenizer_module, "LONGEST_RUN", 3)
        assert list(pieces_of(text)) == list(official_pieces(text, 17, 3))


def test_the_official_limits():
    text = "x" * 60_000 + " " * 30_000 + "word " * 80_000
    pieces = list(pieces_of(text))
    assert pieces == list(official_pieces(text, 400_000, 25_000))
    assert [len(piece) for piece in pieces[:3]] == [25_000, 25_000, 35_000]
    ids = TINY.encode(text)
    assert TINY.decode(ids) == text
    assert ids == [token for piece in pieces for token in TINY.encode(piece)]


def test_a_run_of_a_million_letters_encodes_quickly():
    text = "ab" * 500_000
    assert TINY.decode(TINY.encode(text)) == text


def test_digits_never_merge():
    digits = set(b"0123456789")
    assert [token for token in TINY.tokens if len(token) > 1 and digits & set(token)] == []
    assert [TINY.decode([token]) for token in TINY.encode("0.123, 2026")] == list("0.123, 2026")


def test_a_vocabulary_depends_on_the_texts_alone():
    texts = [f"the cat number {n} sat on the mat in 1234 ways; the dog{n} did not" for n in range(200)]
    learned = train(texts, 280)
    assert learned == train(reversed(texts), 280)
    assert learned.n_ranks == 280
    assert learned.tokens[:256] == tuple(bytes([byte]) for byte in range(256))
    assert b" the" in learned.tokens
    assert not any(set(token) & set(b"0123456789") for token in learned.tokens[256:])
    assert [BYTES.n_ranks, train([], 256)] == [256, BYTES]


def test_training_wants_enough_text():
    with pytest.raises(TokenizerError, match="at least the 256 single bytes, 100"):
        train(["abc"], 100)
    with pytest.raises(TokenizerError, match="give 257 ranks and 400 were asked for"):
        train(["ab ab"], 400)


def test_files_return(tmp_path):
    path = tmp_path / "tokenizer.tiktoken"
    TINY.save(path)
    assert path.read_bytes() == TINY.to_bytes()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == TINY.fingerprint
    assert Tokenizer.load(path) == Tokenizer.load(tmp_path) == TINY
    (tmp_path / "tiktoken.model").write_bytes(BYTES.to_bytes())
    assert Tokenizer.load(tmp_path) == BYTES


def test_lines_may_stand_in_any_order_and_end_anyhow(tmp_path):
    path = tmp_path / "shuffled.tiktoken"
    path.write_bytes(b"\r\n".join(reversed(TINY.to_bytes().splitlines())) + b"\n\n")
    assert Tokenizer.load(path) == TINY
    assert Tokenizer.load(path).fingerprint == TINY.fingerprint


GOOD = BYTES.to_bytes()
MALFORMED = {
    "truncated in base64": (GOOD + base64.b64encode(b"hello")[:5], "line 257: expected 'base64 rank', got 'aGVsb'"),
    "truncated in rank": (GOOD + b"aGVsbG8= 25", "line 257: rank 25 stands there twice"),
    "no rank": (GOOD + b"aGVsbG8= \n", "line 257: expected 'base64 rank'"),
    "rank no number": (GOOD + b"aGVsbG8= -1\n", "line 257: expected 'base64 rank'"),
    "huge rank": (GOOD + b"aGVsbG8= " + b"9" * 5000 + b"\n", "line 257: expected 'base64 rank'"),
    "duplicate rank": (GOOD + b"aGVsbG8= 7\n", "line 257: rank 7 stands there twice"),
    "duplicate token": (GOOD + b"YQ== 256\n", "the byte string b'a' stands there twice"),
    "not base64": (GOOD + b"a!b 256\n", "line 257: 'a!b' is not base64"),
    "not quite base64": (GOOD + b"YW!Jj 256\n", "line 257: 'YW!Jj' is not base64"),
    "gap": (GOOD + b"aGVsbG8= 300\n", "rank 256 is missing, expected 0 to 300"),
    "missing byte": (GOOD.replace(b"YQ== 97\n", b"aGVsbG8= 97\n"), "1 of the 256 single bytes have no rank .*0x61"),
    "empty": (b"", "256 of the 256 single bytes have no rank"),
    "another kind of file": (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1: expected 'base64 rank'"),
}


@pytest.mark.parametrize("case", sorted(MALFORMED))
def test_malformed_files_say_in_one_line_what_is_wrong(tmp_path, case):
    data, message = MALFORMED[case]
    path = tmp_path / "broken.model"
    path.write_bytes(data)
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@given(data=st.data())
@settings(max_examples=200)
def test_a_file_cut_anywhere_is_refused_or_shorter(data):
    whole = TINY.to_bytes()
    cut = data.draw(st.integers(0, len(whole) - 2))
    try:
        loaded = Tokenizer.from_bytes(whole[:cut])
    except TokenizerError:
        return
    assert loaded.tokens == TINY.tokens[: loaded.n_ranks]  # a cut between lines leaves a smaller vocabulary


def test_missing_files_are_named(tmp_path):
    with pytest.raises(TokenizerError, match="nowhere.model: cannot read"):
        Tokenizer.load(tmp_path / "nowhere.model")
    with pytest.raises(TokenizerError, match="expected tiktoken.model or tokenizer.tiktoken in this folder"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("token", [-1, 2048, 10**12])
def test_unknown_ids_are_refused(token):
    with pytest.raises(TokenizerError, match=f"no token {token}, ids go from 0 to 2047"):
        TINY.decode([token])


def test_arrays_decode_like_lists():
    ids = np.array(TINY.encode("one two"), np.int32)
    assert TINY.decode(ids) == "one two"


def test_skipping_special_tokens_keeps_the_marks_of_thoughts_and_calls():
    ids = list(TINY.special.values())
    shown = [text for text, official in OFFICIAL.items() if 163595 <= official <= 163599 or "think" in text]
    assert TINY.decode(ids, skip_special=True) == "".join(sorted(shown, key=lambda text: SLOTS[text]))
    assert TINY.decode(ids) == "".join(TINY.special)


def test_bytes_that_are_no_text_are_replaced():
    assert BYTES.decode([0xE4, 0xBD]) == "�"
    assert BYTES.decode_bytes([0xE4, 0xBD]) == b"\xe4\xbd"
    assert TINY.decode(TINY.encode("a\ud800b")) == "a�b"


def test_many_texts_in_order():
    texts = [f"text {n}" for n in range(50)]
    assert TINY.encode_many(texts) == TINY.encode_many(texts, threads=3) == [TINY.encode(text) for text in texts]


def test_a_tokenizer_travels_to_another_process():
    copy = pickle.loads(pickle.dumps(TINY))
    assert copy == TINY and hash(copy) == hash(TINY) and copy != BYTES
    assert copy.encode("travels well") == TINY.encode("travels well")


# --- the released vocabulary, from an independent package that carries it


@pytest.mark.parity
@pytest.mark.slow
def test_the_released_vocabulary_has_the_released_ids(released):
    tokenizer = released.tokenizer
    assert tokenizer.fingerprint == "b6c497a7469b33ced9c38afb1ad6e47f03f5e5dc05f15930799210ec050c5103"
    assert len(tokenizer.to_bytes()) == 2_795_286
    assert tokenizer.n_vocab == 163_840
    assert {text: tokenizer.special[text] for text in OFFICIAL} == OFFICIAL
    assert tokenizer.special["<|reserved_token_163589|>"] == 163589
    text = "Hello, world! 你好，世界 12345 don't"
    assert tokenizer.encode(text) == [19180, 11, 2695, 0, 220, 33845, 378, 2243, 220, 6694, 2899, 4536]
    golden = json.loads((Path(__file__).parents[1] / "golden" / "chat_ids.json").read_text(encoding="utf-8"))
    assert {rank: tokenizer.decode([int(rank)]) for rank in golden["tokens"]} == golden["tokens"]
    assert golden["ids"]["text"] == tokenizer.encode(text)
    assert [tokenizer.encode(word) for word in ("user", "assistant", "system")] == [[2482], [69702], [14062]]


@pytest.mark.parity
@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_the_released_vocabulary_encodes_as_an_independent_tokenizer(released, text):
    assert released.tokenizer.encode(text) == list(released.reference.encode_ordinary(text))
