import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.data.blend import Balance, Blend, Exhausted
from manyeyes.data.mixture import Mixture, Segment, constant, one_pass

DOMAIN_OF = {"ocr": "vision", "video": "vision", "web": "text", "code": "text", "maths": "text"}


@given(ratio=st.floats(0, 1), lengths=st.lists(st.integers(1, 4096), min_size=1, max_size=300))
def test_the_vision_ratio_holds_at_every_prefix_within_one_sample(ratio: float, lengths: list[int]) -> None:
    blend = Blend(constant(ratio), DOMAIN_OF)
    vision = total = 0
    for length in lengths:
        name = blend.choose()
        blend.add(name, length)
        total += length
        vision += length * (DOMAIN_OF[name] == "vision")
        assert abs(vision - ratio * total) <= max(lengths)


@given(weights=st.lists(st.integers(1, 20), min_size=2, max_size=8), length=st.integers(1, 500))
def test_equal_lengths_stay_within_a_sample_a_source(weights: list[int], length: int) -> None:
    balance = Balance({str(n): float(w) for n, w in enumerate(weights)})
    given_out = dict.fromkeys(balance.shares, 0)
    for step in range(1, 200):
        name = balance.furthest_behind()
        balance.add(name, length)
        given_out[name] += length
        for n, weight in enumerate(weights):
            exact = Fraction(weight, sum(weights)) * step * length
            assert abs(given_out[str(n)] - exact) <= length * len(weights)


def test_weights_hold_within_a_domain_whatever_the_lengths() -> None:
    blend = Blend(constant(0.3, weights={"ocr": 3.0, "video": 1.0, "web": 5.0, "code": 4.0, "maths": 1.0}), DOMAIN_OF)
    means = {"ocr": 400, "video": 3000, "web": 700, "code": 900, "maths": 150}
    rng = np.random.default_rng(0)
    tokens = dict.fromkeys(DOMAIN_OF, 0)
    for _ in range(30_000):
        name = blend.choose()
        length = int(rng.exponential(means[name])) + 1
        blend.add(name, length)
        tokens[name] += length
    total = sum(tokens.values())
    expected = {"ocr": 0.225, "video": 0.075, "web": 0.35, "code": 0.28, "maths": 0.07}
    assert {name: count / total for name, count in tokens.items()} == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_domain_without_share_is_never_drawn(ratio: float) -> None:
    blend = Blend(constant(ratio), DOMAIN_OF)
    drawn = set()
    for _ in range(50):
        drawn.add(DOMAIN_OF[blend.choose()])
        blend.add(blend.choose(), 7)
    assert drawn == {"vision" if ratio else "text"}


def test_a_source_of_weight_zero_is_never_drawn() -> None:
    blend = Blend(constant(0.0, weights={"web": 0.0}), DOMAIN_OF)
    names = []
    for _ in range(20):
        names.append(blend.choose())
        blend.add(names[-1], 3)
    assert set(names) == {"code", "maths"}


def test_a_retired_source_leaves_its_share_to_its_domain() -> None:
    blend = Blend(constant(0.5, weights={"web": 8.0, "code": 3.0, "maths": 1.0}), DOMAIN_OF)
    for _ in range(100):
        blend.add(blend.choose(), 10)
    blend.retire("web")
    after = dict.fromkeys(DOMAIN_OF, 0)
    for _ in range(400):
        name = blend.choose()
        blend.add(name, 10)
        after[name] += 10
    assert after["web"] == 0
    assert after["code"] == pytest.approx(1500, abs=20) and after["maths"] == pytest.approx(500, abs=20)


def test_all_retired_says_what_to_raise() -> None:
    blend = Blend(constant(0.6, epochs={"ocr": 1, "video": 2}), DOMAIN_OF, retired=["ocr", "video"])
    with pytest.raises(Exhausted, match=r"every vision source is at its epoch cap: ocr \(1 ep.*, video \(2 ep"):
        blend.choose()


def test_a_finite_blend_gives_an_ended_domain_s_share_to_the_other() -> None:
    blend = Blend(one_pass(DOMAIN_OF), DOMAIN_OF, retired=["ocr"])
    blend.retire("video")
    assert DOMAIN_OF[blend.choose()] == "text"
    for name in ("web", "code", "maths"):
        blend.retire(name)
    with pytest.raises(Exhausted):
        blend.choose()


def test_segments_begin_at_their_token_count() -> None:
    blend = Blend(Mixture((Segment(0, 0.0), Segment(1000, 0.5), Segment(2000, 1.0))), DOMAIN_OF)
    drawn = []
    for _ in range(300):
        name = blend.choose()
        drawn.append((blend.tokens, DOMAIN_OF[name]))
        blend.add(name, 10)
    assert all(domain == "text" for tokens, domain in drawn if tokens < 1000)
    assert sum(domain == "vision" for tokens, domain in drawn if 1000 <= tokens < 2000) == 50
    assert all(domain == "vision" for tokens, domain in drawn if tokens >= 2000)


@given(steps=st.integers(0, 120), ratio=st.sampled_from([0.1, 0.25, 0.5]))
@settings(deadline=None)
def test_restored_counts_go_on_as_if_nothing_had_happened(steps: int, ratio: float) -> None:
    mixture = Mixture((Segment(0, ratio), Segment(900, 0.8, {"web": 3.0})))
    blend = Blend(mixture, DOMAIN_OF)
    for step in range(steps):
        blend.add(blend.choose(), 5 + step % 31)
    twin = Blend(mixture, dict(reversed(DOMAIN_OF.items())), tokens=blend.tokens)
    twin.restore(json.loads(json.dumps(blend.state())))
    for step in range(80):
        assert blend.choose() == twin.choose()
        blend.add(blend.choose(), 3 + step % 17)
        twin.add(twin.choose(), 3 + step % 17)


def test_changed_shares_start_counting_anew_and_the_others_do_not() -> None:
    blend = Blend(constant(0.1), DOMAIN_OF)
    for _ in range(101):
        blend.add(blend.choose(), 10)
    changed = Blend(constant(0.1, weights={"code": 5.0}), DOMAIN_OF, tokens=blend.tokens)
    changed.restore(blend.state())
    then, now = blend.state(), changed.state()
    assert now["domains"] == then["domains"] and now["vision"] == then["vision"]
    assert now["text"][1] == [0, 0, 0] != then["text"][1]


@pytest.mark.parametrize(
    ("mixture", "domain_of", "message"),
    [
        (constant(0.1, weights={"wbe": 1.0}), DOMAIN_OF, "names wbe, but the sources are code"),
        (constant(0.1, epochs={"wbe": 1.0}), DOMAIN_OF, "names wbe"),
        (constant(0.1), {"web": "text"}, "no vision source has a weight above 0; add one or set vision=0"),
        (constant(0.9), {"ocr": "vision"}, "no text source .* set vision=1"),
        (constant(0.1, weights={"ocr": 0.0, "video": 0.0}), DOMAIN_OF, "no vision source"),
        (Mixture((Segment(0, 0.5),), {"ocr": 1.0}, finite=True), DOMAIN_OF, "none for code, maths, video, web"),
    ],
)
def test_a_mixture_that_does_not_fit_its_sources_is_refused(mixture: Mixture, domain_of: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Blend(mixture, domain_of)
