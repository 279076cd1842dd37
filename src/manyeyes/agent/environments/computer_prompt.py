"""What a computer-use agent is told, and what it is shown of its past: E.7's prompt, the last three screenshots.

The system prompt is E.7's, word for word in English. What it leaves open (that coordinates are fractions) stands in the
user message, where models that were not trained on it need it.

Report: App. E.7 ("the last 3 history images, the whole history of thoughts and the task instruction").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

from manyeyes.agent.context import Shown
from manyeyes.core.messages import Message, TextPart, user

SYSTEM = """You are a GUI agent. You are given an instruction, a screenshot of the screen and your previous \
interactions with the computer. You need to perform a series of actions to complete the task. The password of the \
computer is {password}.

For each step, provide your response in this format:
{{thought}}
## Action:
{{action}}
## Code:
{{code}}

In the code section, the code should be either pyautogui code or one of the following functions wrapped in the code \
block:
- {{"name": "computer.wait", "description": "Make the computer wait for 20 seconds for installation, running code, \
etc.", "parameters": {{"type": "object", "properties": {{}}, "required": []}}}}
- {{"name": "computer.terminate", "description": "Terminate the current task and report its completion status", \
"parameters": {{"type": "object", "properties": {{"status": {{"type": "string", "enum": ["success", "failure"], \
"description": "The status of the task"}}, "answer": {{"type": "string", "description": "The answer of the task"}}}}, \
"required": ["status"]}}}}"""
INSTRUCTION = """# Task instruction:
{instruction}

Coordinates in pyautogui calls are fractions of the screenshot, from 0 to 1: pyautogui.click(x=0.5, y=0.25). Generate \
the next action."""
LEFT_OUT = "[screenshot left out]"
SCREENSHOTS = 3


@dataclass(frozen=True, slots=True)
class LastScreenshots:
    """All words of the history, and the screenshots of its newest `keep` observations; a context strategy."""

    keep: int = SCREENSHOTS
    name: str = "last_screenshots"
    threshold: float = inf

    def show(self, history: Sequence[Message], *, tokens: int, hidden_before: int = 0) -> Shown:
        """See `ContextStrategy.show`."""
        pictured = [number for number, message in enumerate(history) if message.role != "assistant" and message.media]
        left_out = frozenset(pictured[: -self.keep] if self.keep else pictured)
        if not left_out:
            return Shown(tuple(history))
        shown = tuple(_without_pictures(m) if number in left_out else m for number, m in enumerate(history))
        newest_is_new = bool(history) and history[-1].role != "assistant"
        return Shown(shown, self.name if newest_is_new else "")


def _without_pictures(message: Message) -> Message:
    """The words of an observation."""
    texts = tuple(part.text for part in message.parts if isinstance(part, TextPart))
    return _blanked(message.role, texts, message.tool_call_id)


@lru_cache(maxsize=2**14)
def _blanked(role: str, texts: tuple[str, ...], call: str | None) -> Message:
    """The same object every time, for encoders know messages by identity."""
    if role == "user":
        return user(*texts, LEFT_OUT)
    return Message("tool", (*map(TextPart, texts), TextPart(LEFT_OUT)), tool_call_id=call)
