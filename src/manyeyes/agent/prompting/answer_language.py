"""`AnswerLanguage`: the same task, to be answered in another language.

Report: App. D (prompt diversification: language).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manyeyes.agent.judge import Case, Weighted
from manyeyes.agent.prompting.languages import LANGUAGES, written_in
from manyeyes.agent.prompting.module import Presentation
from manyeyes.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AnswerLanguage:
    """A prompt module: the language of the answer, asked for in that language.

    Attributes:
        codes: to draw from; "" asks for nothing.
        weight: of the reward for an answer in that language; 0 measures only.
    """

    codes: tuple[str, ...] = ("", "en", "zh", "fr", "de", "es", "ja", "ru", "ko")
    weight: float = 0.0
    name: str = "language"

    def __post_init__(self) -> None:
        if not self.codes or set(self.codes) - {"", *LANGUAGES}:
            raise ConfigError(f"{self.name}: expected languages of {', '.join(LANGUAGES)}, got {self.codes}")

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        code = str(rng.choice(self.codes))
        wordings = len(LANGUAGES[code].ask) if code else 1
        return {
            "language": code,
            "wording": int(rng.integers(wordings)),
            "where": str(rng.choice(["prompt", "system"])),
        }

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        shown.must_be_free(self.name)
        code = choice["language"]
        if not code:
            return shown
        asked = shown.asking(LANGUAGES[code].ask[choice["wording"]], where=choice["where"])
        reward = Weighted(lambda case: float(_written(case, code)), self.weight)
        return replace(asked, language=code).rewarding(self.name, reward)


def _written(case: Case, code: str) -> bool:
    return written_in(case.outcome.text, code)
