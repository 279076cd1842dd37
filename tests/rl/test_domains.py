"""Draws follow weights, go on exactly, and outlive sources that end."""

import json
from collections import Counter

import pytest

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.rl.curriculum import Curriculum, CurriculumRule
from manyeyes.rl.domains import Domain, Domains, Drawn

from .loop_worlds import one_place, place, two_domains


def drawn(domains: Domains, count: int, step: int = 0) -> list[Drawn]:
    found = [domains.draw(step=step) for _ in range(count)]
    return [one for one in found if one is not None]


def test_domains_and_places_come_by_weight() -> None:
    shares = Counter(one.key for one in drawn(two_domains(), 3000))
    assert shares["agentic/tools"] / 3000 == pytest.approx(1 / 3, abs=0.04)
    assert shares["reasoning/text"] / 3000 == pytest.approx(1 / 3, abs=0.04)
    assert [one.number for one in drawn(two_domains(), 5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", [0, 1, 7])
def test_a_state_goes_on_with_the_very_next_draw(at: int) -> None:
    whole, first, second = two_domains(), two_domains(), two_domains()
    expected = drawn(whole, 20)
    begun = drawn(first, at)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert begun + drawn(second, 20 - at) == expected


def test_a_draw_can_be_had_again_and_moves_nothing() -> None:
    domains = two_domains()
    first = drawn(domains, 9)
    again = [domains.again(json.loads(json.dumps(one.plain()))) for one in first]
    assert again == first and domains.draw(step=0) == drawn(two_domains(), 10)[-1]
    assert first[0].domain in ("reasoning", "agentic")


def test_a_source_that_ends_is_dropped_and_the_others_share_its_weight() -> None:
    def make() -> Domains:
        short = Domain("coding", (place("short", size=3, epochs=1),), 5.0)
        return Domains([Domain("reasoning", (place("longer", size=7, epochs=1),)), short], seed=0)

    domains = make()
    found = drawn(domains, 20)
    assert len(found) == 10 and sorted(domains.ended) == ["coding/short", "reasoning/longer"]
    assert len({one.task.id for one in found}) == 10 and domains.draw(step=0) is None
    other = make()
    other.load_state_dict(domains.state_dict())
    assert other.draw(step=0) is None


def test_what_rests_is_passed_over_but_never_for_ever() -> None:
    curriculum = Curriculum(CurriculumRule(patience=1, rest=10, most_skips=50))
    domains = Domains([Domain("reasoning", (place("text", size=4),))], seed=1, curriculum=curriculum)
    for n in range(3):
        curriculum.observe(f"text/{n}", [0.0, 0.0], [False, False], step=0)
    assert {one.task.id for one in drawn(domains, 12, step=1)} == {"text/3"} and domains.skipped >= 30
    curriculum.observe("text/3", [1.0, 1.0], [True, True], step=1)
    assert len(drawn(domains, 3, step=2)) == 3  # where everything rests, something comes all the same


def test_other_sources_are_refused() -> None:
    with pytest.raises(CheckpointError, match="draws from"):
        two_domains().load_state_dict(one_place().state_dict())
    with pytest.raises(CheckpointError, match="has not"):
        one_place().again({"number": 0, "key": "cooking/eggs", "before": {}})
    with pytest.raises(ConfigError, match="expected the state of"):
        one_place(size=7).load_state_dict(one_place().state_dict())


@pytest.mark.parametrize(
    "domains",
    [
        [], [Domain("a", ())], [Domain("a", (place("x"), place("x")))], [Domain("a/b", (place("x"),))],
        [Domain("a", (place("x"),), 0.0)],
    ],
)  # fmt: skip
def test_domains_that_cannot_be_drawn_from_are_refused(domains: list[Domain]) -> None:
    with pytest.raises(ConfigError):
        Domains(domains, seed=0)
