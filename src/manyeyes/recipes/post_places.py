"""The places that `small` and `k25` learn from by reinforcement: every environment that ships, by capability.

    knowledge    looking up, reading pictures, judging works
    reasoning    puzzles of reasoning-gym, text problems, pictures
    coding       bugs in a repository, programs that are read, pictures measured with code
    agentic      computer use, looking up many things; a swarm's orchestrator
    perception, documents      where pictures are all that is learned from

Every place that can has so many tasks (`size`), which come again: a curriculum and Toggle's budgets know a task only
when it does, and tasks that are solved without their picture are found beforehand.

Report: §2.3 (domains by abilities, not by modality), §4.4.2, App. E.
"""

from manyeyes.data.synthesis.thinking_families import FAMILIES
from manyeyes.recipes.rl_parts import PlaceSpec
from manyeyes.recipes.tiny_places import SIGHT_DOMAINS

FAMILIES_OF_A_SWARM = {"wide": 1.0, "deep": 1.0, "document": 1.0, "download": 1.0}
"""Constructions of PARL by weight."""


def sights(*, side: int, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """Pictures of every kind, `side` pixels wide, with code and by looking alone."""
    return tuple(
        PlaceSpec(
            f"{'measure' if tools else 'see'}_{kind}", domain, "sights", world={"tools": tools},
            tasks={"kinds": [kind], "side": side, "size": size}, answer_tokens=answer_tokens,
        )
        for kind, domain in SIGHT_DOMAINS.items()
        for tools in (True, False)
    )  # fmt: skip


def thoughts(*, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """Text problems of every family, thought through."""
    return tuple(
        PlaceSpec(
            f"think_{name}", family.capability, "thoughts", world={"max_tokens": answer_tokens},
            tasks={"families": [name], "size": size}, thinking=True, answer_tokens=answer_tokens,
        )
        for name, family in FAMILIES.items()
    )  # fmt: skip


def puzzles(*, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """Mazes, pie charts and pictures that differ (Fig. 12), solved with code; and families of reasoning-gym."""
    return (
        PlaceSpec(
            "puzzles", "reasoning", "puzzles", tasks={"size": size}, thinking=True, answer_tokens=answer_tokens
        ),
        PlaceSpec(
            "reasoning_gym", "reasoning", "reasoning_gym", tasks={"epochs": None}, thinking=True,
            answer_tokens=answer_tokens,
        ),
    )  # fmt: skip


def graders(*, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """Which of two works is better, of every kind and modality: the policy as a generative reward model."""
    return (
        PlaceSpec(
            "verdicts", "knowledge", "verdicts", tasks={"size": size}, thinking=True, answer_tokens=answer_tokens
        ),
    )  # fmt: skip


def agents(*, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """A coding agent (E.5), computer use (E.7), and one agent alone at what a swarm is asked, with as many steps as it
    takes.
    """
    alone = {"families": FAMILIES_OF_A_SWARM, "size": size, "budget": 0}
    return (
        PlaceSpec("coding", "coding", "coding", tasks={"epochs": None}, thinking=True, answer_tokens=answer_tokens),
        PlaceSpec("computer", "agentic", "miniwob", thinking=True, answer_tokens=answer_tokens),
        PlaceSpec(
            "lookups", "agentic", "parl", world={"mode": "alone"}, tasks=alone, thinking=True,
            answer_tokens=answer_tokens,
        ),
    )  # fmt: skip


def swarm(*, answer_tokens: int, size: int) -> tuple[PlaceSpec, ...]:
    """An orchestrator's tasks: wide tables, chains, long documents, batches of files."""
    tasks = {"families": FAMILIES_OF_A_SWARM, "size": size}
    return (
        PlaceSpec(
            "swarm", "agentic", "parl", world={"enough": 0}, tasks=tasks, thinking=True, answer_tokens=answer_tokens
        ),
    )  # fmt: skip
