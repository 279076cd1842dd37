"""Stages refuse what cannot be trained, in one line that names the stage."""

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture, Segment
from manyeyes.train.stages import LoopConfig

from .small_system import stage


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": 3, "micro_rows": 2}, "multiple of micro_rows"),
        ({"steps": 0}, "at least 1"),
        ({"row_length": 1}, "row_length must be at least 2, got 1"),
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"micro_rows": 0}, "micro_rows must be at least 1, got 0"),
        ({"micro_rows": -1}, "micro_rows must be at least 1, got -1"),
        ({"evaluate_every": -1}, "evaluate_every must be at least 0, got -1"),
        ({"context": -1}, "context must be at least 0"),
        ({"yarn_factor": 0.5}, "yarn_factor must be at least 1 and finite, got 0.5"),
        ({"yarn_original": 0}, "yarn_original must be at least 1"),
        ({"siglip_weight": float("nan")}, "siglip_weight must be at least 0 and finite, got nan"),
        ({"caption_weight": float("inf")}, "caption_weight must be at least 0 and finite, got inf"),
        ({"bias_rate": -1e-3}, "bias_rate must be at least 0"),
        ({"trainable": ()}, "trainable names no component"),
        ({"trainable": ("align.language_model",)}, "align.language_model cannot learn"),
        ({"language": "align", "trainable": ("vision_tower", "mm_projector")}, "mm_projector cannot learn"),
    ],
)
def test_a_stage_that_cannot_be_trained_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        stage("odd", **settings)
    assert "stage odd" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"checkpoint_every": 0}, "loop: checkpoint_every must be at least 1, got 0"),
        ({"gradient_norm": float("nan")}, "loop: gradient_norm must be at least 0 and finite, got nan"),
    ],
)
def test_a_loop_that_cannot_run_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        LoopConfig(**settings)


def test_sources_are_those_of_every_segment_once() -> None:
    mixture = Mixture((Segment(0, 0.0, {"b": 1.0, "a": 0.0}), Segment(100, 0.5, {"c": 1.0, "b": 2.0})))
    assert stage(mixture=mixture).sources == ("a", "b", "c")


def test_tokens_of_a_stage_count_padding() -> None:
    assert stage(steps=5, rows=4, row_length=16).tokens == 320
