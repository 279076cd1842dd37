"""`SystemStyle`: the same system prompt in another voice and another frame.

Report: App. D (prompt diversification).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from manyeyes.agent.prompting.module import Presentation

VOICES = (
    "",
    "You are a helpful assistant.",
    "You are a careful expert who checks every step.",
    "You are an autonomous agent. Work until the task is done.",
    "Act as a patient colleague: short sentences, plain words.",
    "You answer requests. Be precise, and say so when you do not know.",
    "As an experienced assistant, you think before you act.",
)
"""Opens the system prompt; "" for nothing."""
FRAMES = {
    "plain": "{text}",
    "heading": "# Instructions\n\n{text}",
    "tag": "<instructions>\n{text}\n</instructions>",
    "rule": "---\n{text}\n---",
    "colon": "INSTRUCTIONS: {text}",
    "notice": "{text}\n\nFollow the instructions above.",
}
"""Around it; only an empty prompt has none."""


@dataclass(frozen=True, slots=True)
class SystemStyle:
    """A prompt module: voice and frame of the system prompt; every word of it stays.

    Attributes:
        voices: one is put in front.
        frames: names of `FRAMES`; one is put around.
    """

    voices: tuple[str, ...] = VOICES
    frames: tuple[str, ...] = tuple(FRAMES)
    name: str = "system_style"

    def draw(self, rng: np.random.Generator, shown: Presentation) -> dict[str, Any]:
        """See `PromptModule.draw`."""
        return {"voice": str(rng.choice(self.voices)), "frame": str(rng.choice(self.frames))}

    def apply(self, shown: Presentation, choice: dict[str, Any]) -> Presentation:
        """See `PromptModule.apply`."""
        framed = FRAMES[choice["frame"]].format(text=shown.system) if shown.system else ""
        return replace(shown, system="\n\n".join(part for part in (choice["voice"], framed) if part))
