"""Configurations of every size are checked and counted without weights."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from manyeyes.agent.missing_package import MissingPackage
from manyeyes.agent.registry import Found, Registry
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.core.errors import ConfigError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.recipes import RECIPES, recipe
from manyeyes.recipes.dry_run import dry_run, model_of
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_parts import PlaceSpec, PtxSpec
from manyeyes.recipes.rl_run import ObjectiveName, RlRun
from manyeyes.recipes.rl_settings import settings_of
from manyeyes.rl.band import EQ_1, Band
from manyeyes.train import in_order


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


POST = [name for name in RECIPES if "." in name]


@pytest.mark.parametrize("name", POST)
def test_every_recipe_of_post_training_passes(name: str) -> None:
    needs = dry_run(recipe(name)).needs
    assert needs
    for need in needs:
        assert 0 < need.trainable <= need.parameters and need.muon <= need.trainable
        if name.startswith("k25"):
            assert need.parameters == 1_026_879_353_328


def test_a_row_beyond_the_context_is_refused() -> None:
    run = recipe("tiny.parl")
    assert isinstance(run, RlRun)
    with pytest.raises(ConfigError, match="rows of 8192 tokens are longer than the model's context of 4096"):
        dry_run(dataclasses.replace(run, row_length=8192))


def test_memory_counts_the_engines_and_their_caches() -> None:
    run = recipe("tiny.parl")
    assert isinstance(run, RlRun)
    (need,) = dry_run(run).needs
    text = model_of(run).text
    cache = 4 * run.cache_tokens * text.num_hidden_layers * (text.kv_lora_rank + text.qk_rope_head_dim)
    assert need.engine_bytes == 2 * (4 * need.parameters + cache)  # orchestrator and frozen sub-agents
    (elsewhere,) = dry_run(dataclasses.replace(run, engine="http://x", engine_weights="w")).needs
    assert elsewhere.engine_bytes * 2 == need.engine_bytes
    assert "for engines and their caches" in need.line


def test_memory_counts_gradients_of_micro_batches_side_by_side(one_thread: None) -> None:
    run = recipe("tiny.vision_rl")
    assert isinstance(run, RlRun)
    assert dry_run(run).needs[0].aside_bytes == 0
    torch.set_num_threads(3)
    (need,) = dry_run(run).needs
    assert need.aside_bytes == 3 * 4 * need.trainable and "on a CPU" in need.line


def test_gradients_that_are_too_many_to_be_held_aside_are_not_counted(
    one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recipe("tiny.vision_rl")
    assert isinstance(run, RlRun)
    torch.set_num_threads(2)
    monkeypatch.setattr(in_order, "MOST_ASIDE", 1 << 20)
    assert dry_run(run).needs[0].aside_bytes == 0


@pytest.mark.parametrize(
    "name, options, band",
    [
        ("eq1", {"band": {"alpha": 0.8, "beta": 1.25}}, Band(0.8, 1.25)), ("icepop", {}, Band(0.5, 5.0)),
        ("grpo", {}, EQ_1),
    ],
)  # fmt: skip
def test_the_mismatch_is_counted_against_the_objectives_own_band(
    name: ObjectiveName, options: dict[str, Any], band: Band
) -> None:
    run = recipe("tiny.vision_rl")
    assert isinstance(run, RlRun)
    run = dataclasses.replace(run, objective=name, objective_options=options)
    assert settings_of(run, Tokenizer.tiny(), vocab_size=2048).update.band == band


def test_names_and_fields_are_checked_as_before_a_run() -> None:
    run, rft = recipe("tiny.vision_rl"), recipe("tiny.rft")
    assert isinstance(run, RlRun) and isinstance(rft, RftRun)
    with pytest.raises(ConfigError, match="ptx: no source named 'sft/thinkin'; did you mean sft/thinking"):
        dry_run(dataclasses.replace(run, ptx=PtxSpec({"sft/thinkin": 1.0})))
    with pytest.raises(ConfigError, match="does not fit a row"):
        dry_run(dataclasses.replace(run, context=4096))
    with pytest.raises(ConfigError, match="no source named 'sft/nothing'"):
        dry_run(dataclasses.replace(rft, beside={"sft/nothing": 1.0}))


def test_what_is_not_installed_is_told_and_what_is_wrong_is_refused() -> None:
    def absent(seed: int = 0, *, empty: bool = False) -> Tasks:
        if empty:
            return Tasks(lambda n: Task("t", "?"), size=1, epochs=0)
        raise MissingPackage("no such browser here")

    registry = Registry(
        {"environments": {"sums": lambda: None}, "task_sources": {"sums": absent}}, installed=Found(())
    )  # fmt: skip
    run = recipe("tiny.vision_rl")
    assert isinstance(run, RlRun)
    place = PlaceSpec("sums", "reasoning", "sums")
    alone = dataclasses.replace(run, places=(place,), measured=(), blind=None)
    assert dry_run(alone, registry).missing == ["place sums: no such browser here"]
    with pytest.raises(ConfigError, match="its task source has no task"):
        dry_run(dataclasses.replace(alone, places=(dataclasses.replace(place, tasks={"empty": True}),)), registry)


def test_an_unknown_option_of_an_environment_is_refused() -> None:
    run = recipe("tiny.parl")
    assert isinstance(run, RlRun)
    place = dataclasses.replace(run.places[0], world={"bugdet": 3})
    with pytest.raises(ConfigError, match="bugdet"):
        dry_run(dataclasses.replace(run, places=(place,)))
