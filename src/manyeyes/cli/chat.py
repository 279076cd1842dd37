"""Talk to a trained model in the terminal. Uses the last finished run unless --model names another.

    /see PATH    show it a picture or a clip with your next message
    /new         begin a new conversation
    /help        list these
    /exit        end it; so does Ctrl-D

Ctrl-C stops an answer.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import tyro

from manyeyes.cli.locations import model_folder, short
from manyeyes.cli.see import part_of
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.messages import Message, Part, TextPart
from manyeyes.view.wording import printable

HELP = "/see PATH  show a picture    /new  start over    /exit or Ctrl-D  end    Ctrl-C  stop an answer"


@dataclass(frozen=True)
class Options:
    """Whom to talk to, and how it answers."""

    model: Annotated[str, tyro.conf.arg(metavar="RUN_OR_FOLDER", help_behavior_hint="")] = ""
    """A run (path or name) or a checkpoint folder; the last finished run when left out."""
    thinking: bool = False
    """Let it think before it answers."""
    temperature: float = 0.6
    """0 always takes the likeliest token."""
    top_p: float = 0.95
    """Draw from the likeliest tokens that hold this much of the probability."""
    max_new_tokens: int = 256
    """Longest answer, in tokens."""
    seed: int = 0
    """Of the random choices; the same conversation then goes the same way."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""


class Answering(Protocol):
    """What a conversation needs of a model; `inference.conversation.Assistant` has it."""

    def answer(
        self, messages: Sequence[Message], *, params: Any, thinking: bool, on_text: Callable[[str], None]
    ) -> Message:
        """The assistant's next message; `on_text` receives it piece by piece."""
        ...


def main(options: Options) -> int:
    """Talk until the user leaves; returns the exit status."""
    folder = model_folder(options.model)
    # What the user typed is checked by now: loading torch takes seconds.
    from manyeyes.cli.device import chosen_device
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.sampling import SamplingParams

    def params(turn: int) -> SamplingParams:
        return SamplingParams(
            max_new_tokens=options.max_new_tokens, temperature=options.temperature, top_p=options.top_p,
            seed=options.seed + turn,
        )  # fmt: skip

    params(0)  # wrong settings are refused before the model is loaded
    assistant = Assistant.load(folder, device=chosen_device(options.device))
    if sys.stdin.isatty():
        _line_editing()
        print(f"{short(folder)}\n{HELP}")
    Chat(assistant, params, thinking=options.thinking).run(_typed if sys.stdin.isatty() else _piped)
    return 0


class Chat:
    """One sitting: the conversation so far, and the pictures that wait for the next message."""

    def __init__(self, assistant: Answering, params: Callable[[int], Any], *, thinking: bool = False) -> None:
        self.assistant, self.params, self.thinking = assistant, params, thinking
        self.messages: list[Message] = []
        self.waiting: list[Part] = []

    def run(self, read: Callable[[], str | None]) -> None:
        """Handle lines until `read` has no more or the user leaves."""
        while (line := read()) is not None:
            line = line.strip()
            if line in ("/exit", "/quit", "/bye"):
                return
            if line.startswith("/"):
                self._command(*line.split(maxsplit=1))
            elif line:
                self._turn(line)

    def _command(self, name: str, argument: str = "") -> None:
        if name == "/see" and argument:
            self._show(argument.strip("'\""))
        elif name == "/new":
            self.messages, self.waiting = [], []
            print("(a new conversation)")
        elif name == "/help":
            print(HELP)
        else:
            print("which picture? /see PATH" if name == "/see" else f"no command {printable(name)}; {HELP}")

    def _show(self, path: str) -> None:
        try:
            self.waiting.append(part_of(Path(path).expanduser()))
            print(f"(it sees {printable(path)} with your next message)")
        except ManyeyesError as error:
            print(printable(error))

    def _turn(self, line: str) -> None:
        """Ask and answer; a turn that fails or is stopped leaves the conversation as it was."""
        asked = Message("user", (*self.waiting, TextPart(line)))
        try:
            answer = self._answer([*self.messages, asked])
        except ManyeyesError as error:
            print(f"\n(no answer: {printable(error)})")
        except KeyboardInterrupt:
            print("\n(stopped; say something else)")
        else:
            self.messages += [asked, answer]
        self.waiting = []

    def _answer(self, messages: list[Message]) -> Message:
        params = self.params(len(messages))
        if self.thinking:  # thoughts and answer come as one stream of text; told apart, they are shown when complete
            answer = self.assistant.answer(messages, params=params, thinking=True, on_text=lambda text: None)
            print(f"(thinks) {printable(answer.reasoning or '').strip()}\n{printable(answer.text).strip()}")
            return answer
        answer = self.assistant.answer(messages, params=params, thinking=False, on_text=_say)
        print()
        return answer


def _say(text: str) -> None:
    print(printable(text), end="", flush=True)


def _typed() -> str | None:
    """A line from a person; Ctrl-C clears it, Ctrl-D ends."""
    try:
        return input("> ")
    except KeyboardInterrupt:
        print("\n(Ctrl-D or /exit ends)")
        return ""
    except EOFError:
        print()
        return None


def _piped() -> str | None:
    return sys.stdin.readline() or None


def _line_editing() -> None:
    """Arrow keys and history at the prompt, where Python has them."""
    try:
        import readline  # noqa: F401
    except ImportError:
        pass
