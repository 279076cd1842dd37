"""Experiments of the report at a scale that two CPU cores finish within an hour, each with an honest verdict."""

import difflib

from manyeyes.core.errors import ConfigError

EXPERIMENTS = {
    "table1": "early, mid and late fusion at equal vision and text budgets (Table 1, Figure 9, App. B.1)",
}
"""What `manyeyes reproduce` knows, and what each shows."""


def check_experiment(name: str) -> None:
    """Raises ConfigError for an experiment that is not known."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(EXPERIMENTS)}"
        raise ConfigError(f"no experiment {name!r}; {hint}")
