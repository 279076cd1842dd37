"""Synthetic captions stay below their share, and a source's own epoch cap holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.errors import ConfigError
from manyeyes.data.blend import Blend
from manyeyes.data.caption_cap import capped, within_caps
from manyeyes.data.mixture import Mixture, constant
from manyeyes.data.registry import REGISTRY
from manyeyes.data.synthetic_sources import CAPTION_TEXTS
from manyeyes.recipes import recipe
from manyeyes.recipes.reproduce.table1 import QUICK, vit_run

WEIGHT = st.floats(0.01, 100.0)
KINDS = {"photos": False, "stamps": False, "drawn": True, "shapes": True}


@given(st.fixed_dictionaries({name: WEIGHT for name in (*KINDS, "pages", "clips")}), st.floats(0.01, 0.99))
def test_synthetic_captions_keep_to_their_share_and_nothing_else_changes(weights, share: float) -> None:
    found = capped(weights, KINDS, share=share)
    made = sum(found[name] for name in ("drawn", "shapes"))
    every = sum(found[name] for name in KINDS)
    assert made <= share * every * (1 + 1e-9)
    assert all(found[name] == weights[name] for name in weights if not KINDS.get(name, False))
    assert found["drawn"] * weights["shapes"] == pytest.approx(found["shapes"] * weights["drawn"])
    before = sum(weights[name] for name in ("drawn", "shapes"))
    if before <= share * sum(weights[name] for name in KINDS):
        assert found == weights
    else:
        assert made == pytest.approx(share * every)


def test_a_cap_beside_no_real_caption_is_refused_by_name() -> None:
    alone = constant(1.0, weights={"synthetic/caption/scenes": 1.0}, synthetic_captions=0.5)
    with pytest.raises(ConfigError, match="caption/scenes"):
        within_caps(alone, [REGISTRY["synthetic/caption/scenes"]])
    assert capped({"pages": 1.0}, {}, share=0.5) == {"pages": 1.0}
    assert capped({"drawn": 1.0}, {"drawn": True}, share=1.0) == {"drawn": 1.0}


def test_synthetic_captions_end_with_the_last_real_one() -> None:
    names = ("photographs_captions", "synthetic/caption/scenes", "synthetic/ocr/digits_text")
    mixture = within_caps(constant(1.0, synthetic_captions=0.9), [REGISTRY[name] for name in names])
    blend = Blend(mixture, {name: "vision" for name in names})
    blend.retire("photographs_captions")
    for _ in range(50):
        assert blend.choose() == "synthetic/ocr/digits_text"
        blend.add("synthetic/ocr/digits_text", 20)


def test_drawn_tokens_follow_the_cap() -> None:
    names = ("photographs_captions", "synthetic/caption/scenes", "synthetic/ocr/digits_text")
    mixture = within_caps(
        constant(1.0, weights=dict(zip(names, (1.0, 50.0, 3.0), strict=True)), synthetic_captions=0.4),
        [REGISTRY[name] for name in names],
    )
    blend, tokens = Blend(mixture, {name: "vision" for name in names}), dict.fromkeys(names, 0)
    for step in range(4000):
        name = blend.choose()
        tokens[name] += 20 + step % 7
        blend.add(name, 20 + step % 7)
    share = tokens["synthetic/caption/scenes"] / (tokens["synthetic/caption/scenes"] + tokens["photographs_captions"])
    assert share == pytest.approx(0.4, abs=0.002)


def test_a_sources_own_epoch_cap_holds_where_the_mixture_names_none() -> None:
    infos = [REGISTRY["photographs_captions"], REGISTRY["easy_vqa"]]
    assert within_caps(constant(1.0), infos).epochs == {"photographs_captions": 64}
    named = constant(1.0, epochs={"photographs_captions": 3.0})
    assert within_caps(named, infos).epochs == {"photographs_captions": 3.0}


@pytest.mark.parametrize("name", ["tiny", "small", "k25"])
def test_every_stage_of_the_recipes_caps_synthetic_captions_beside_real_ones(name: str) -> None:
    for stage in recipe(name).stages:
        infos = [REGISTRY[source] for source in stage.sources]
        mixture: Mixture = within_caps(stage.mixture, infos)
        if stage.objective == "coca":
            assert mixture.synthetic_captions < 1.0 and not all(mixture.captions.values())


@pytest.mark.parametrize(
    "stage", [s for name in ("tiny", "small", "k25") for s in recipe(name).stages] + [*vit_run(QUICK).stages]
)
def test_a_vit_is_trained_on_nothing_but_pairs(stage) -> None:
    if stage.objective == "coca":
        for name in stage.sources:
            if not REGISTRY[name].missing():
                assert REGISTRY.open(name, "train").record(0).turns[0].role == "document", name


def test_caption_texts_hold_no_picture() -> None:
    for info in CAPTION_TEXTS:
        assert not info.open("train").record(0).media


def test_collections_of_captions_alone_hold_no_conversation() -> None:
    captions = REGISTRY.open("photographs_captions", "train")
    both = REGISTRY.open("photographs", "train")
    roles = {captions.record(i).turns[0].role for i in range(len(captions))}
    assert roles == {"document"} and len(captions) < len(both)
