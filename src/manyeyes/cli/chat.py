"""Talk to a trained model in the terminal. An empty line or Ctrl-D ends it; `/see PATH` shows it a picture."""

from dataclasses import dataclass
from pathlib import Path

from manyeyes.cli.see import checkpoint_of
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, Part, TextPart


@dataclass(frozen=True)
class Options:
    """Whom to talk to, and how it answers."""

    model: str = ""
    """run (path or name) or checkpoint folder (default: the last finished run)"""
    thinking: bool = False
    """let it think before it answers"""
    temperature: float = 0.6
    """0 is greedy"""
    top_p: float = 0.95
    """nucleus mass"""
    max_new_tokens: int = 128
    """longest answer"""
    seed: int = 0
    """of its random choices"""


def main(options: Options) -> int:
    """Read, answer, repeat."""
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.sampling import SamplingParams

    assistant = Assistant.load(checkpoint_of(options.model))
    messages: list[Message] = []
    waiting: list[Part] = []
    while (line := _read()) is not None:
        if line.startswith("/see "):
            waiting += _picture(line[5:].strip())
            continue
        messages.append(Message("user", (*waiting, TextPart(line))))
        waiting = []
        params = SamplingParams(
            max_new_tokens=options.max_new_tokens, temperature=options.temperature, top_p=options.top_p,
            seed=options.seed + len(messages),
        )  # fmt: skip
        say = lambda text: print(text, end="", flush=True)  # noqa: E731
        messages.append(assistant.answer(messages, params=params, thinking=options.thinking, on_text=say))
        print()
    return 0


def _read() -> str | None:
    try:
        return input("> ").strip() or None
    except EOFError:
        return None


def _picture(path: str) -> list[Part]:
    try:
        return [ImagePart(Picture.open(Path(path)))]
    except ManyeyesError as error:
        print(error)
        return []
