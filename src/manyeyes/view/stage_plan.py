"""What a run means to do, read from its `config.json`: its stages, and what each costs a step.

A run of rejection sampling has one stage, and its settings are the run's own.

A page must open whatever version wrote the folder, so nothing here trusts the file: what is missing or of another kind
is left out.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from manyeyes.view.wording import number


class StagePlan(NamedTuple):
    """One stage as the configuration has it; `step_tokens` is 0 and `vision` None where unknown."""

    name: str
    steps: int
    step_tokens: int = 0
    objective: str = ""
    learns: tuple[str, ...] = ()
    row_length: int = 0
    vision: float | None = None
    peak_rate: float | None = None


def planned(config: Mapping[str, Any]) -> tuple[StagePlan, ...]:
    """The stages of a configuration, in order.

    Example:
        >>> planned({"stages": [{"name": "text", "steps": 10, "rows": 4, "row_length": 256}]})[0].step_tokens
        1024
    """
    stages = [{**config, "name": "rft"}] if config.get("kind") == "rft" else config.get("stages")
    return tuple(_stage(stage) for stage in stages if isinstance(stage, Mapping)) if isinstance(stages, list) else ()


def _stage(stage: Mapping[str, Any]) -> StagePlan:
    schedule, mixture, learns = stage.get("schedule"), stage.get("mixture"), stage.get("trainable")
    segments = mixture.get("segments") if isinstance(mixture, dict) else None
    first = segments[0] if isinstance(segments, list) and segments and isinstance(segments[0], dict) else {}
    return StagePlan(
        name=str(stage.get("name", "?")),
        steps=_count(stage.get("steps")),
        step_tokens=_count(stage.get("rows")) * _count(stage.get("row_length")),
        objective=str(stage.get("objective", "")),
        learns=tuple(map(str, learns)) if isinstance(learns, list | tuple) else (),
        row_length=_count(stage.get("row_length")),
        vision=number(first.get("vision")),
        peak_rate=number(schedule.get("peak")) if isinstance(schedule, dict) else None,
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
