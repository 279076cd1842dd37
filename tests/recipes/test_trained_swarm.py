"""A trained swarm is found again as it was trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.rl_parts import Frozen
from manyeyes.recipes.tiny_parl import tiny_parl
from manyeyes.recipes.trained_swarm import trained_swarm


def finished(folder: Path, **fields) -> Path:
    """A run's folder with its configuration and an empty model; the model that it began from beside it."""
    begun = folder / "start"
    begun.mkdir(parents=True)
    run = replace(tiny_parl(), **({"start_model": str(begun), "frozen_model": ""} | fields))
    made = RunFolder.create(folder / "run", run.to_json())
    (made.path / "model").mkdir()
    return made.path / "model"


def test_a_run_leads_and_its_frozen_checkpoint_works(tmp_path: Path) -> None:
    team = trained_swarm(model := finished(tmp_path))
    place = tiny_parl().places[0]
    assert (team.orchestrator, team.worker) == (model, tmp_path / "start")
    assert team.world.enough == place.world["enough"] and team.world.sub_temperature == place.world["sub_temperature"]
    sampling = team.world.sampling
    assert sampling.max_tokens == place.answer_tokens and sampling.extra == {"thinking": False}


def test_sub_agents_are_those_of_the_end(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    large.mkdir()
    frozen = (Frozen(0, str(small)), Frozen(20, str(large)))
    assert trained_swarm(finished(tmp_path, frozen=frozen)).worker == large


def test_another_model_does_both(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    team = trained_swarm(tmp_path / "model")
    assert team.orchestrator == team.worker == tmp_path / "model" and team.world.budget > 0


def test_sub_agents_that_are_gone_are_said_to_be(tmp_path: Path) -> None:
    model = finished(tmp_path, frozen_model=str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="gone"):
        trained_swarm(model)
