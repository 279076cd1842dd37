"""The places that `tiny` learns from by reinforcement, and the held-out tasks of the same kinds that it is measured on.

    sight_place("count")                 a picture and a question, with code: "measure_count"
    sight_place("print", tools=False)    the same by looking alone: "see_print"
    thought_place("sum")                 a text problem, thought through: "think_sum"
    measured(places)                     tasks of the split "test" of each, none of which is learned from
    by_ability(places)                   pictures and text side by side: measured with code, looked up, or thought about

Domains are capabilities. A place has so many tasks (`size`), which come again and again: a curriculum and budgets of
tokens know only what comes again, and what is solved without its picture is found before the run only where it is known
what there is.

Report: §2.3.
"""

from collections.abc import Sequence
from dataclasses import replace

from manyeyes.data.synthesis.thinking_families import FAMILIES
from manyeyes.recipes.rl_parts import Measured, PlaceSpec

SIGHT_TOKENS = 96
THOUGHT_TOKENS = 384
LEVELS = [1, 2]
"""Of text problems, as fine-tuning shows them."""
SIGHT_DOMAINS = {
    "count": "perception", "locate": "perception",
    "bars": "documents", "tallest": "documents", "print": "documents",
    "share": "reasoning", "dice": "reasoning", "gauge": "reasoning",
}  # fmt: skip
"""The capability that each kind of sight asks for, where pictures are all that is learned from."""


def sight_place(kind: str, *, tools: bool = True, weight: float = 1.0, size: int | None = 2048) -> PlaceSpec:
    """Pictures of a kind; with code, or by looking alone.

    Args:
        size: how many tasks; None makes new ones without end.
    """
    return PlaceSpec(
        f"{'measure' if tools else 'see'}_{kind}", SIGHT_DOMAINS[kind], "sights", world={"tools": tools},
        tasks={"kinds": [kind], "size": size}, weight=weight, answer_tokens=SIGHT_TOKENS,
    )  # fmt: skip


def thought_place(family: str, *, weight: float = 1.0, size: int | None = 1024) -> PlaceSpec:
    """Problems of a family, thought through.

    Args:
        size: how many tasks; None makes new ones without end.
    """
    return PlaceSpec(
        f"think_{family}", FAMILIES[family].capability, "thoughts", world={"max_tokens": THOUGHT_TOKENS},
        tasks={"families": [family], "levels": LEVELS, "size": size}, weight=weight, thinking=True,
        answer_tokens=THOUGHT_TOKENS,
    )  # fmt: skip


def by_ability(places: Sequence[PlaceSpec]) -> tuple[PlaceSpec, ...]:
    """The same places with pictures under the abilities that text has: what is counted and found with code is coding,
    what is read is knowledge, and what has to be thought about is reasoning.
    """
    return tuple(replace(one, domain=_ability(one)) if one.environment == "sights" else one for one in places)


def _ability(sight: PlaceSpec) -> str:
    if sight.domain == "reasoning":
        return "reasoning"
    return "coding" if sight.world["tools"] else "knowledge"


def measured(places: Sequence[PlaceSpec], *, count: int = 200, quick: int = 64) -> tuple[Measured, ...]:
    """Held-out tasks of the same kinds.

    Args:
        count: of each place, in full measurements.
        quick: of these, in those in between.
    """
    return tuple(Measured(_endless(place), count, quick) for place in places)


def _endless(place: PlaceSpec) -> PlaceSpec:
    """Tests are taken in order; a training source's size says nothing about them."""
    tasks = {name: value for name, value in place.tasks.items() if name != "size"}
    return PlaceSpec(
        place.name, place.domain, place.environment, place.world, tasks, place.weight, place.thinking,
        place.answer_tokens,
    )  # fmt: skip
