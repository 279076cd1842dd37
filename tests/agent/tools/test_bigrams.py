"""Words of queries and pages in languages that write no spaces."""

from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.bigrams import EXCERPT, excerpt, in_pairs, only_pairs, terms

MIXED = st.text(alphabet="ab é東京塔がไทย한국.,\n ", max_size=60)


@given(MIXED)
def test_every_run_of_a_text_is_found_in_its_tokens(text: str) -> None:
    pairs = f" {only_pairs(text)} "
    for term in terms(text):
        if term.unspaced:
            wanted = " ".join(term.pairs) if term.pairs else term.text
            assert f" {wanted}" in pairs
        else:
            assert term.pairs == () and term.text in text.casefold()
    assert only_pairs(in_pairs("abc")) == "" and in_pairs("abc é.") == "abc é."


@given(MIXED, st.lists(st.text(alphabet="ab東京", max_size=3), max_size=3))
def test_an_excerpt_is_short_and_comes_from_the_text(text: str, words: list[str]) -> None:
    found = excerpt(text * 20, words)
    assert len(found) <= EXCERPT + 4 and found.strip("… ") in " ".join((text * 20).split())


def test_an_excerpt_shows_where_the_words_are() -> None:
    text = "filler " * 100 + "the tower of Tokyo is red " + "filler " * 100
    assert "tower of Tokyo" in excerpt(text, ["tokyo", "tower"]) and excerpt("short", ["x"]) == "short"
    assert "东京塔" in excerpt("。一二三" * 200 + "东京塔" + "。四五六" * 200, ["东京塔", "东京"])
