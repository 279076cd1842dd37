"""`TrainedSwarm`: what a finished run of PARL was trained as, so that its model is asked in the same way again.

    a run of PARL      its model leads; sub-agents are the frozen checkpoint that answered at the end of the run
    another model      leads and works, in the environment as it is when nobody says otherwise

Report: §3 (the orchestrator is trained, its sub-agents are frozen). Needs no torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from manyeyes.agent.chat_model import Sampling
from manyeyes.core.errors import ConfigError
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes.rl_parts import PlaceSpec
from manyeyes.recipes.rl_run import RlRun
from manyeyes.recipes.starting_model import MODEL_FOLDER
from manyeyes.swarm.parl_environment import Parl, environment

PARL = "parl"
"""Name of the environment."""
PLACE = PlaceSpec("tables", "agentic", PARL, answer_tokens=900)
"""Of a model that no run says more about: an orchestrator's answer assigns a row in about 40 tokens."""


@dataclass(frozen=True)
class TrainedSwarm:
    """Checkpoint folders, and the environment that they know.

    Attributes:
        orchestrator: of the model that leads.
        worker: of its sub-agents; the same folder where one model does both.
        world: with how the orchestrator samples.
    """

    orchestrator: Path
    worker: Path
    world: Parl


def trained_swarm(model: Path) -> TrainedSwarm:
    """Of a checkpoint folder.

    Args:
        model: such as `RUN/model`; the run's configuration beside it says the rest.

    Raises:
        ConfigError: the run's sub-agents are not where they were.
    """
    run = _run_of(model)
    place = None if run is None else next((one for one in run.places if one.environment == PARL), None)
    if run is None or place is None:
        return TrainedSwarm(model, model, Parl(sampling=_sampling(PLACE, 1.0)))
    worker = Path(run.frozen_at(run.steps))
    if not worker.is_dir():
        raise ConfigError(
            f"{model}: its sub-agents are the frozen checkpoint {worker}, and that is no folder (any more); put it back"
        )
    world = replace(environment(**place.world), sampling=_sampling(place, run.evaluate_temperature))
    return TrainedSwarm(model, worker, world)


def _run_of(model: Path) -> RlRun | None:
    """The run of RL that left this model; None where none did."""
    if model.name != MODEL_FOLDER or not (model.parent / "config.json").is_file():
        return None
    config = RunFolder.open(model.parent).config()
    return RlRun.from_json(config) if config.get("kind") == "rl" else None


def _sampling(place: PlaceSpec, temperature: float) -> Sampling:
    return Sampling(temperature, 1.0, place.answer_tokens, extra={"thinking": place.thinking})
