"""The experiments of post-training by name: what has to be run for each, and what is read from it.

Report: Figures 2, 4, 5, Tables 2, 6, §2.2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from manyeyes.recipes.reproduce import fig2, fig4, fig5, sft, table2, table6
from manyeyes.recipes.reproduce.post_runs import Finished, Plan
from manyeyes.recipes.reproduce.post_scale import Scale


class Experiment(NamedTuple):
    """One experiment.

    Attributes:
        plan: what has to be run at a scale.
        results: what finished runs tell.
        of_tuning: it asks about fine-tuning, so that each seed makes its own where nothing is said.
    """

    plan: Callable[[Scale], Plan]
    results: Callable[[Finished, Scale], dict[str, Any]]
    of_tuning: bool = False


POST: dict[str, Experiment] = {
    "fig2": Experiment(fig2.plan, fig2.results),
    "table2": Experiment(table2.plan, table2.results),
    "sft": Experiment(sft.plan, sft.results, of_tuning=True),
    "fig4": Experiment(fig4.plan, fig4.results),
    "fig5": Experiment(fig5.plan, fig5.results),
    "table6": Experiment(table6.plan, table6.results),
}
SHARING = (("fig2", "table2"), ("sft",), ("fig4", "table6"), ("fig5",))
"""Experiments that share runs of RL, and so take one share of its steps."""


def sharing(name: str) -> list[Experiment]:
    """An experiment and those that share runs of RL with it."""
    return [POST[other] for together in SHARING if name in together for other in together]
