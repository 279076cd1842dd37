"""What a step reports: operations, balance of experts, the largest logit."""

import math

import pytest
import torch

from manyeyes.train.flops import text_flops_per_token
from manyeyes.train.meter import StepReport, expert_load, largest, step_flops

from .small_system import batch, config, stage


def report(**values: float) -> StepReport:
    return StepReport("joint", 1, 2, 1, 2, **({"tokens": 100, "seconds": 0.5, "mfu": 0.1} | values))  # pyright: ignore


def test_tokens_per_second() -> None:
    assert report().tokens_per_second == 200.0
    assert report(seconds=0.0).tokens_per_second == 0.0


def test_the_log_keeps_the_loss_parts_by_name() -> None:
    figures = StepReport("joint", 3, 9, 12, 20, 100, 0.123456, 0.1, parts={"loss": 2.0, "text": 1.5}).figures
    assert figures["loss"] == 2.0 and figures["text"] == 1.5
    assert (figures["stage"], figures["stage_step"], figures["seconds"]) == ("joint", 3, 0.1235)


def test_even_load_is_one_and_one_expert_alone_is_their_number() -> None:
    assert expert_load(torch.tensor([[5, 5, 5, 5]])) == 1.0
    assert expert_load(torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0]])) == 4.0
    assert expert_load(None) == 0.0
    assert expert_load(torch.zeros(1, 4)) == 0.0


def test_the_largest_finite_logit() -> None:
    assert largest(torch.tensor([[1.0, -math.inf], [math.nan, 3.5]])) == 3.5
    assert largest(None) == 0.0


def test_frozen_parts_cost_less() -> None:
    whole, model = batch(1), config()
    everything = step_flops(whole, stage(), model)
    no_vision_learns = step_flops(whole, stage(trainable=("language_model",)), model)
    only_projector = step_flops(whole, stage(trainable=("mm_projector",)), model)
    assert everything > no_vision_learns > only_projector > 0


def test_text_alone_costs_its_tokens() -> None:
    whole = batch(1)._replace(media=())
    samples = sum(len(names) for names in whole.names)
    expected = whole.tokens * text_flops_per_token(config().text, context=whole.tokens // samples // 2)
    assert step_flops(whole, stage(), config()) == pytest.approx(expected)
