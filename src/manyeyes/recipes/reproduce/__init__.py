"""Experiments of the report at a scale that two CPU cores finish within an hour, each with an honest verdict."""

import difflib

from manyeyes.core.errors import ConfigError

EXPERIMENTS = {
    "table1": "early, mid and late fusion at equal vision and text budgets (Table 1, Figure 9, App. B.1)",
    "fig6": "roles of the sub-agents that an orchestrator makes, as a word cloud (Figure 6)",
    "fig7": "accuracy against critical steps: a swarm and discard-all on questions that overflow a context (Figure 7)",
    "fig8": "time to reach an item-F1: one agent and a swarm on wide tables (Figure 8)",
}
"""What `manyeyes reproduce` knows, and what each shows."""


def check_experiment(name: str) -> None:
    """Raises ConfigError for an experiment that is not known."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(EXPERIMENTS)}"
        raise ConfigError(f"no experiment {name!r}; {hint}")
