"""`Quorum`: several judges of one case; the verdict is their middle, once enough of them gave one.

One judge can be flattered or be wrong; the middle of three is harder to game, and one that fails costs nothing. A
judge without a verdict is missing, never a 0; with fewer verdicts than asked for there is none.

Report: §4.4.2 (several alternative rubrics of the generative reward model).
"""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Literal

from manyeyes.agent.judge import Case, Judge, JudgeFailed, Verdict, checked
from manyeyes.core.errors import ConfigError


class Quorum:
    """A judge of judges, all asked at once.

    Args:
        judges: by name.
        at_least: so many must give a verdict; all where nothing is said.
        seconds: that each may take; a slower one counts as failed. None leaves the time to the caller.
        middle: how one reward, and each part, follows from theirs.

    Raises:
        ConfigError: more are wanted than there are.

    Example:
        >>> from manyeyes.agent.task import Outcome, Task
        >>> async def strict(case): return Verdict(0.0, {"style": 0.0})
        >>> async def mild(case): return Verdict(1.0, {"style": 0.5})
        >>> asyncio.run(Quorum({"a": strict, "b": mild, "c": mild})(Case(Task("t", "?"), Outcome("done", "")))).parts
        {'style': 0.5}
    """

    def __init__(
        self,
        judges: Mapping[str, Judge],
        *,
        at_least: int | None = None,
        seconds: float | None = None,
        middle: Literal["median", "mean"] = "median",
    ) -> None:
        self.judges, self.seconds = dict(judges), seconds
        self.at_least = len(self.judges) if at_least is None else at_least
        if not 1 <= self.at_least <= len(self.judges):
            raise ConfigError(f"a quorum of {len(self.judges)} judges cannot need {self.at_least} of them")
        self._middle = median if middle == "median" else fmean

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`; judges that fail are named in the notes."""
        answers = await self._answers(case)
        given = {name: one for name, one in answers.items() if isinstance(one, Verdict)}
        failed = {name: one for name, one in answers.items() if isinstance(one, str)}
        if len(given) < self.at_least:
            raise JudgeFailed(f"expected {self.at_least} of {len(answers)} judges, got {len(given)}; failed: {failed}")
        verdicts = list(given.values())
        notes = {name: {"reward": one.reward, "parts": one.parts, "notes": one.notes} for name, one in given.items()}
        reward = self._middle([one.reward for one in verdicts])
        return Verdict(reward, self._parts(verdicts), {"judges": notes, **({"failed": failed} if failed else {})})

    async def _answers(self, case: Case) -> dict[str, Verdict | str]:
        """Of all; what is no want of a verdict but a mistake ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                asked = {name: group.create_task(self._verdict(name, one, case)) for name, one in self.judges.items()}
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return {name: one.result() for name, one in asked.items()}

    async def _verdict(self, name: str, judge: Judge, case: Case) -> Verdict | str:
        """Its verdict, or why there is none."""
        try:
            async with asyncio.timeout(self.seconds):
                return checked(name, await judge(case))
        except JudgeFailed as error:
            return str(error)
        except TimeoutError:
            return f"no verdict within {self.seconds:g} s" if self.seconds is not None else "it timed out"

    def _parts(self, verdicts: Sequence[Verdict]) -> dict[str, float]:
        names = dict.fromkeys(name for one in verdicts for name in one.parts)
        return {name: self._middle([one.parts[name] for one in verdicts if name in one.parts]) for name in names}
