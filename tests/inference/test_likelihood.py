import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.media import Grid, Media
from manyeyes.inference.generate import GenerationError
from manyeyes.inference.likelihood import Choice, option_scores
from manyeyes.model import config as models
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25, build


@pytest.fixture(scope="module")
def model() -> K25:
    tiny = models.tiny()
    text = dataclasses.replace(
        tiny.text, hidden_size=32, num_hidden_layers=2, intermediate_size=64, initializer_range=0.2
    )
    vision = dataclasses.replace(tiny.vision, vt_hidden_size=32, vt_num_hidden_layers=1, vt_intermediate_size=64)
    return build(dataclasses.replace(tiny, text=text, vision=vision), seed=0)


def choice(rng: np.random.Generator, model: K25, *, pictures: int = 0) -> Choice:
    """A random prompt with 2x2-token pictures, and four options of 1 to 6 tokens."""
    words = rng.integers(0, 1000, int(rng.integers(1, 30)))
    pads = np.full(4 * pictures, model.config.media_placeholder_token_id)
    options = tuple(rng.integers(0, 1000, int(n)).astype(np.int32) for n in rng.integers(1, 7, 4))
    media = tuple(Media(rng.integers(0, 256, (16, 3, 8, 8)).astype(np.uint8), Grid(1, 4, 4)) for _ in range(pictures))
    return Choice(np.concatenate([words[:1], pads, words]).astype(np.int32), options, media)


def plain(model: K25, asked: Choice) -> list[float]:
    """One whole forward pass for each option, nothing shared, nothing padded."""
    scores = []
    for option in asked.options:
        ids = torch.from_numpy(np.concatenate([asked.ids, option]))[None]
        patches = [torch.from_numpy(item.patches) for item in asked.media]
        media = MediaBatch(torch.cat(patches), tuple(item.grid for item in asked.media)) if patches else None
        with torch.no_grad():
            log_p = model.logits(model(ids, media=media).hidden_BTD)[0].log_softmax(-1)
        at = range(len(asked.ids) - 1, len(ids[0]) - 1)
        scores.append(float(np.mean([float(log_p[t, int(ids[0, t + 1])]) for t in at])))
    return scores


def test_packed_scores_equal_plain_ones(model: K25) -> None:
    rng = np.random.default_rng(0)
    asked = [choice(rng, model, pictures=number % 3) for number in range(17)]
    found = option_scores(model, asked, rows=5)
    for scores, one in zip(found, asked, strict=True):
        np.testing.assert_allclose(scores, plain(model, one), atol=1e-4)


def test_options_of_one_token_need_no_second_pass(model: K25) -> None:
    rng = np.random.default_rng(1)
    asked = choice(rng, model)._replace(options=(np.array([5], np.int32), np.array([6], np.int32)))
    np.testing.assert_allclose(option_scores(model, [asked])[0], plain(model, asked), atol=1e-4)


def test_scores_do_not_depend_on_the_batch(model: K25) -> None:
    rng = np.random.default_rng(2)
    asked = [choice(rng, model, pictures=1) for _ in range(6)]
    together, alone = option_scores(model, asked), [option_scores(model, [one])[0] for one in asked]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_an_empty_option_is_refused(model: K25) -> None:
    with pytest.raises(GenerationError, match="choice 0"):
        option_scores(model, [Choice(np.array([1], np.int32), (np.array([], np.int32),))])
