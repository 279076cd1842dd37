"""`RuleGrader`: a grader without a model: reads the question and answers by a function of the work's text.

    RuleGrader(lambda criterion, work: min(1.0, len(work) / 100))

For tests, demos and benchmarks of what stands above graders. It answers both kinds of questions, in the form that is
asked for, and can be told to fail or to babble. Report: none; kept beside what it stands in for.
"""

import json
import re
from collections.abc import Callable

from manyeyes.core.messages import Part
from manyeyes.reward.grm.vote import text_of

Rule = Callable[[str, str], float]
"""Of a criterion's name and a work's text; from 0 to 1."""
_LEVELS = re.compile(r"<0 to (\d+)>")


class RuleGrader:
    """See the module.

    Args:
        rule: what a work is worth.
        first_bias: added to whatever stands first of two, as models do.
        reply: of each call by its number (from 0): the reply, or None for the rule's; may raise.

    Attributes:
        asked: the text of every question.
    """

    def __init__(
        self, rule: Rule, *, first_bias: float = 0.0, reply: Callable[[int], str | None] = lambda number: None
    ) -> None:
        self.rule, self.first_bias, self.reply = rule, first_bias, reply
        self.asked: list[str] = []

    async def __call__(self, parts: tuple[Part, ...]) -> str:
        """See `vote.Grader`."""
        text = text_of(parts)
        self.asked.append(text)
        said = self.reply(len(self.asked) - 1)
        return self._verdict(text) if said is None else said

    def _verdict(self, text: str) -> str:
        form: dict[str, str] = json.loads(text.splitlines()[-1])
        mark = form.pop("mark")
        works = {label: _quoted(text, label, mark) for label in ("the work", "work A", "work B")}
        found = {name: self._choice(name, wanted, works) for name, wanted in form.items()}
        return f"I have seen it.\n{json.dumps({'mark': mark, **found})}"

    def _choice(self, criterion: str, wanted: str, works: dict[str, str]) -> int | str:
        if levels := _LEVELS.fullmatch(wanted):
            return round(self.rule(criterion, works["the work"]) * int(levels[1]))
        a, b = (self.rule(criterion, works[label]) for label in ("work A", "work B"))
        ahead = a + self.first_bias - b
        return "tie" if abs(ahead) < 1e-9 else "A" if ahead > 0 else "B"


def _quoted(text: str, label: str, mark: str) -> str:
    _, _, after = text.partition(f"[{mark}] {label} begins\n")
    return after.partition(f"\n[{mark}] {label} ends\n")[0]
