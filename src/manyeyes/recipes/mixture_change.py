"""Which mixtures of a run may still change when it goes on: those of the stage that it stands in and of later ones.

What a finished stage has drawn cannot be drawn otherwise any more; a configuration that says so would be untrue.

Report: App. C.1 (ratios are adjusted on demand).
"""

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.run import Run


def changed_stages(began: Run, run: Run) -> tuple[str, ...]:
    """Names of the stages whose mixtures differ between two runs that differ in nothing else."""
    pairs = zip(began.stages, run.stages, strict=True)
    return tuple(now.name for then, now in pairs if then.mixture != now.mixture)


def refuse_past_changes(began: Run, run: Run, *, current: int) -> None:
    """Refuse another mixture for a stage that is over.

    Args:
        current: number of the stage that the run stands in; the count of its stages when it is finished.

    Raises:
        ConfigError: naming the stages.
    """
    past = {stage.name for stage in run.stages[:current]}
    if late := [name for name in changed_stages(began, run) if name in past]:
        left = ", ".join(stage.name for stage in run.stages[current:]) or "none, the run is finished"
        raise ConfigError(
            f"the mixture of stage {', '.join(late)} cannot change, that stage is over; stages that still can: {left}"
        )
