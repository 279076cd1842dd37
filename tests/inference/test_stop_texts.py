"""Stop texts are found in bytes, wherever tokens are cut."""

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.stop_texts import StopTexts

TOKENIZER = Tokenizer.tiny()
BYTES = Tokenizer(bytes([b]) for b in range(256))
TEXT = st.text(st.sampled_from("ab é𓀀\n"), max_size=20)


@given(TEXT, st.lists(TEXT.filter(bool), min_size=1, max_size=3), st.sampled_from([TOKENIZER, BYTES]), st.data())
def test_the_first_token_that_completes_a_text_is_told(text: str, stops: list[str], tokenizer: Tokenizer, data) -> None:
    """Also when the beginning was said in an earlier part."""
    ids = tokenizer.encode(text)
    earlier = data.draw(st.integers(0, len(ids)))
    looking = StopTexts(stops, tokenizer, said=ids[:earlier])
    found = next((n for n in range(earlier, len(ids)) if looking.add(ids[n])), None)
    said = [tokenizer.decode_bytes(ids[: n + 1]) for n in range(len(ids))]

    def complete(n: int) -> bool:
        """A stop text ends within token n."""
        before = len(said[n - 1]) if n else 0
        return any(said[n].find(stop.encode(), max(0, before - len(stop.encode()) + 1)) >= 0 for stop in stops)

    assert found == next((n for n in range(earlier, len(ids)) if complete(n)), None)


def test_special_tokens_count_as_nothing() -> None:
    looking = StopTexts(["<|im_end|>", "ab"], BYTES)
    assert not looking.add(BYTES.im_end) and not looking.add(ord("a"))
    assert not looking.add(BYTES.im_user) and looking.add(ord("b"))


def test_ids_that_the_tokenizer_does_not_know_count_as_nothing() -> None:
    """A model may have more rows than its tokenizer has ids."""
    looking = StopTexts(["ab"], BYTES)
    assert not looking.add(ord("a")) and not looking.add(BYTES.n_vocab) and looking.add(ord("b"))
