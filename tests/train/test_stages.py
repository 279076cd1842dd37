"""Stages refuse what cannot be trained, in one line that names the stage."""

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture, Segment

from .small_system import stage


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rows": 3, "micro_rows": 2}, "multiple of micro_rows"),
        ({"steps": 0}, "at least 1"),
        ({"row_length": 1}, "at least 1"),
        ({"trainable": ("align.language_model",)}, "align.language_model cannot learn"),
        ({"language": "align", "trainable": ("vision_tower", "mm_projector")}, "mm_projector cannot learn"),
    ],
)
def test_a_stage_that_cannot_be_trained_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        stage("odd", **settings)
    assert "stage odd" in str(caught.value) and "\n" not in str(caught.value)


def test_sources_are_those_of_every_segment_once() -> None:
    mixture = Mixture((Segment(0, 0.0, {"b": 1.0, "a": 0.0}), Segment(100, 0.5, {"c": 1.0, "b": 2.0})))
    assert stage(mixture=mixture).sources == ("a", "b", "c")


def test_tokens_of_a_stage_count_padding() -> None:
    assert stage(steps=5, rows=4, row_length=16).tokens == 320
