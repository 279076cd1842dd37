"""`check_rft`: what can be said of an RFT run before anything of it exists: fields that contradict, names nobody knows.

A field alone is checked when it is set; what two of them say together is checked here, so that overrides may come in
any order. `manyeyes run` asks before it makes a folder, and so does a dry run. Needs no torch.

Report: App. D (plug-ins composed by name).
"""

from manyeyes.agent.registry import Registry
from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rft_run import RftRun
from manyeyes.recipes.rl_checks import check_places, require_exceeded, require_places, require_sources


def check_rft(run: RftRun, registry: Registry | None = None, *, tasks: bool = True) -> None:
    """Fields together, then names of environments, task sources and the sources beside.

    Args:
        tasks: as in `check_rl`.

    Raises:
        ConfigError: what does not fit, or is not known.
    """
    if run.rows % run.micro_rows:
        raise ConfigError(f"{run.name}: rows={run.rows} is not a multiple of micro_rows={run.micro_rows}")
    if run.cache_tokens < run.row_length:
        raise ConfigError(f"{run.name}: cache_tokens must hold a row of {run.row_length}, got {run.cache_tokens}")
    if run.beside_share > 0 and not run.beside:
        raise ConfigError(
            f"{run.name}: beside_share is above 0 only with sources beside, got {run.beside_share} and none; name some "
            "as beside, or set beside_share=0"
        )
    for spec in (*run.places, *(one.place for one in run.measured)):
        if spec.answer_tokens >= run.row_length:
            raise ConfigError(
                f"place {spec.name}: answers of {spec.answer_tokens} tokens leave no room for a prompt in a row of "
                f"{run.row_length}; lower its answer_tokens or raise row_length"
            )
    require_exceeded(run.places)
    registry = registry or Registry()
    check_places(run.as_rl(), registry)
    require_sources(run.beside, where=f"{run.name}, beside")
    if tasks:
        require_places(run.as_rl(), registry)
