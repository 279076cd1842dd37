"""Experiments of the report at a scale that two CPU cores finish within two hours, each with an honest verdict."""

import difflib

from manyeyes.core.errors import ConfigError

EXPERIMENTS = {
    "table1": "early, mid and late fusion at equal vision and text budgets (Table 1, Figure 9, App. B.1)",
    "fig2": "visual RL from zero-vision SFT: held-out vision tasks over training (Figure 2, §2.3)",
    "table2": "text scores before and after visual RL (Table 2, §2.3)",
    "sft": "zero-vision against text-vision SFT, before and after visual RL (§2.2)",
    "fig4": "PARL: accuracy and parallelism over training, and what each extra reward is for (Figure 4, §3)",
    "fig5": "Toggle: accuracy and tokens by family, trained on and not (Figure 5, §4.4.2)",
    "fig6": "roles of the sub-agents that an orchestrator makes, as a word cloud (Figure 6)",
    "fig7": "accuracy against critical steps: a swarm and discard-all on questions that overflow a context (Figure 7)",
    "fig8": "time to reach an item-F1: one agent and a swarm on wide tables (Figure 8); --model RUN: a trained swarm",
    "table6": "one agent, a swarm before and after PARL: deep and wide search, a small Swarm Bench (Table 6)",
}
"""What `manyeyes reproduce` knows, and what each shows."""


def check_experiment(name: str) -> None:
    """Raises ConfigError for an experiment that is not known."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(EXPERIMENTS)}"
        raise ConfigError(f"no experiment {name!r}; {hint}")
