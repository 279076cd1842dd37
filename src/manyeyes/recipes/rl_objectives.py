"""Objectives of RL by name, with their fields as plain data.

Report: §4.4.2 (Eq. 1); the others are there to be compared with.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.recipes.rl_run import ObjectiveName
from manyeyes.rl.grpo import Grpo
from manyeyes.rl.gspo import Gspo
from manyeyes.rl.icepop import IcePop
from manyeyes.rl.k15 import K15
from manyeyes.rl.objective import Eq1, Objective

OBJECTIVES: Mapping[ObjectiveName, type] = {"eq1": Eq1, "grpo": Grpo, "gspo": Gspo, "icepop": IcePop, "k15": K15}


def objective_of(name: ObjectiveName, options: Mapping[str, Any]) -> Objective:
    """The objective.

    Raises:
        ConfigError: an option that it does not have, or of a wrong type.

    Example:
        >>> objective_of("eq1", {"tau": 0.01}).tau
        0.01
    """
    kind = OBJECTIVES[name]
    if unknown := set(options) - set(kind.__dataclass_fields__):
        raise ConfigError(
            f"the objective {name} has no {', '.join(sorted(unknown))}; it has {', '.join(kind.__dataclass_fields__)}"
        )
    try:
        return msgspec.convert(dict(options), type=kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"options of the objective {name}: {error}") from None
