"""`CONSTRAINTS`: the kinds of constraints that there are, by name.

Answers are long and may mean harm, so every check takes time in proportion to the answer's length.

Report: App. D (module for instruction following).
"""

from collections.abc import Mapping

from manyeyes.agent.prompting.constraint import Constraint
from manyeyes.agent.prompting.constraints_form import FORM
from manyeyes.agent.prompting.constraints_words import WORDS

CONSTRAINTS: Mapping[str, Constraint] = {constraint.name: constraint for constraint in (*FORM, *WORDS)}
