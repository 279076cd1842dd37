"""Checks of samples: what a trajectory gives passes, and any token too many or too few is found."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manyeyes.core.data_rules import Rules
from manyeyes.core.media import Grid, Media
from manyeyes.core.sample import Sample
from manyeyes.core.sample_checks import check_sample, check_sample_batch, check_samples_of
from manyeyes.core.trajectory import NOBODY, AgentSpan, Node, Trajectory

PAD = 50
RULES = Rules(vocab_size=100, media_pad=PAD, version=7, most_tokens=9)


def sound() -> Sample:
    ids = np.array([1, PAD, 2, 3, 4], np.int32)
    weights = np.array([0, 0, 0, 1, 1], np.float32)
    return Sample(
        ids, weights, (Media(np.zeros((4, 3, 2, 2), np.uint8), Grid(1, 2, 2)),), "s", -weights, weights,
        np.where(weights > 0, 5, -1).astype(np.int32),
    )  # fmt: skip


Turn = tuple[int, int, int, int, bool]
turns = st.lists(
    st.tuples(st.integers(NOBODY, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=10,
)


def grown(drawn: list[Turn]) -> Trajectory:
    whole = Trajectory("t/0/0", "t", agents=[AgentSpan(), AgentSpan("main/0"), AgentSpan("main/1", policy="frozen")])
    for parent, told, sampled, agent, hole in drawn:
        lp = np.where(np.arange(sampled) == 1, np.nan, -0.5).astype(np.float32)
        ids = np.arange(told + sampled, dtype=np.int32)
        parent = min(parent, len(whole.nodes) - 1)
        versions = np.zeros(sampled, np.int32)
        whole.add(Node(ids, told, lp, versions, parent, agent, masked="a hole" if hole else ""))
    return whole


@example([(NOBODY, 0, 0, 0, False), (0, 0, 0, 1, True), (1, 0, 2, 0, False), (0, 0, 3, 1, False)])
@given(turns)
def test_what_a_trajectory_gives_has_no_errors(drawn: list[Turn]) -> None:
    whole = grown(drawn)
    samples = whole.to_samples(1.0)
    assert check_samples_of(whole, samples) == []
    assert [found for found in check_sample_batch(samples, Rules(vocab_size=100)) if found.severity == "error"] == []


@given(turns, st.data())
def test_a_token_too_many_or_too_few_is_found(drawn: list[Turn], data: st.DataObject) -> None:
    whole = grown(drawn)
    samples = whole.to_samples(1.0)
    if not samples or samples[-1].length < 2:
        return
    chosen = data.draw(st.integers(0, len(samples) - 1))
    at = data.draw(st.integers(0, samples[chosen].length - 1))
    weights = samples[chosen].weights.copy()
    weights[at] = 0.0 if weights[at] else 1.0
    samples[chosen] = replace(samples[chosen], weights=weights)
    (found, *more) = check_samples_of(whole, samples)
    assert not more and found.severity == "error" and found.check == "exactly_once" and found.name == "t/0/0"
    assert found.node in whole.branch(int(samples[chosen].name.partition("#")[2]))


def test_a_sample_of_another_stream_is_found() -> None:
    whole = grown([(NOBODY, 2, 2, 0, False)])
    (one,) = whole.to_samples(1.0)
    assert "not those that the sampler saw" in check_samples_of(whole, [replace(one, ids=one.ids + 1)])[0].words
    assert "of no branch" in check_samples_of(whole, [replace(one, name="t/0/1#0")])[0].words


def array(**fields: object) -> Callable[[Sample], Sample]:
    return lambda sample: replace(sample, **{key: np.array(value, np.float32) for key, value in fields.items()})


@pytest.mark.parametrize(
    ("harm", "severity", "words"),
    [
        (array(weights=[0, 0, 0, 1, -1]), "error", "at least 0"),
        (array(weights=[0, 0, 0, 1, np.nan]), "error", "finite"),
        (array(weights=[1, 0, 0, 1, 1]), "error", "the first token weighs 1"),
        (array(weights=[0, 1, 0, 1, 1]), "error", "tokens of media carry loss"),
        (array(weights=[0, 0, 0, 0, 0]), "warning", "no token carries loss"),
        (array(logprobs=[0, 0, 0, 0.5, -1]), "error", "above 0"),
        (array(logprobs=[0, 0, 0, np.nan, -1]), "error", "not finite"),
        (array(advantages=[0, 0, 0, np.inf, 0]), "error", "advantages must be finite"),
        (lambda s: replace(s, versions=np.array([-1, -1, -1, -1, 5], np.int32)), "error", "nobody sampled them"),
        (lambda s: replace(s, versions=np.array([-1, -1, -1, 5, 9], np.int32)), "error", "version 9 is newer"),
        (lambda s: replace(s, ids=np.array([1, PAD, 2, 3, 100], np.int32)), "error", "id 100"),
        (lambda s: replace(s, media=()), "error", "0 items of media"),
        (lambda s: Sample(np.ones(10, np.int32), np.ones(10, np.float32) - np.eye(10, dtype=np.float32)[0], name="s"),
         "error", "10 tokens, at most 9"),
    ],
)  # fmt: skip
def test_each_check_names_what_it_finds(harm: Callable[[Sample], Sample], severity: str, words: str) -> None:
    assert check_sample(sound(), RULES) == []
    found = check_sample(harm(sound()), RULES)
    assert any(one.severity == severity and words in one.words and one.name == "s" for one in found), found


def test_a_batch_has_each_sample_once() -> None:
    assert check_sample_batch([sound(), replace(sound(), name="other")], RULES) == []
    assert [found.check for found in check_sample_batch([sound(), sound()], RULES)] == ["duplicates"]
