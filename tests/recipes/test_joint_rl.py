"""Joint RL learns by ability, not by modality: every domain has pictures and text (§2.3)."""

from collections import defaultdict

import pytest

from manyeyes.recipes import recipe
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.tiny_places import by_ability, sight_place, thought_place

SHOW_PICTURES = {"sights", "puzzles", "miniwob"}


@pytest.mark.parametrize("name", ["tiny.joint_rl", "small.joint_rl", "k25.joint_rl", "small.toggle", "k25.toggle"])
def test_every_domain_has_places_with_pictures_and_without(name: str) -> None:
    run = recipe(name)
    assert isinstance(run, RlRun)
    shown = defaultdict(set)
    for place in run.places:
        shown[place.domain].add(place.environment in SHOW_PICTURES)
    assert {"knowledge", "reasoning", "coding"} <= shown.keys()
    assert all(modalities == {True, False} for modalities in shown.values()), dict(shown)


def test_pictures_stand_where_their_work_belongs() -> None:
    places = (sight_place("count"), sight_place("print", tools=False), sight_place("dice"), thought_place("most"))
    assert [one.domain for one in by_ability(places)] == ["coding", "knowledge", "reasoning", "knowledge"]
    assert [one.name for one in by_ability(places)] == [one.name for one in places]
