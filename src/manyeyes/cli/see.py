"""Ask a trained model about a picture or a clip. Uses the last finished run unless --model names another."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import tyro

from manyeyes.cli.locations import LocationError, finished_run, model_folder, short
from manyeyes.core.conversation import ChatError
from manyeyes.core.media import Clip, Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, VideoPart
from manyeyes.core.runlog import RunFolder
from manyeyes.view.examples import Example, read_examples
from manyeyes.view.wording import printable

CLIPS = {".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif"}
QUESTION = "what is in the image?"
SHOWN_EXAMPLES = 3

Item = TypeVar("Item")


@dataclass(frozen=True)
class Options:
    """What to look at and what to ask."""

    picture: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PICTURE]", help_behavior_hint="")] = (
        None
    )
    """Image or video file."""
    question: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[QUESTION ...]", help_behavior_hint="")
    ] = ()
    """What to ask about it; "what is in the image?" when left out."""
    model: Annotated[str, tyro.conf.arg(metavar="RUN_OR_FOLDER", help_behavior_hint="")] = ""
    """A run (path or name) or a checkpoint folder; the last finished run when left out."""
    examples: bool = False
    """Instead of a picture: answer three held-out questions that the run has never seen."""
    plain: bool = False
    """Print the answer alone, for scripts."""
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that hold this much of the probability."""
    max_new_tokens: int = 64
    """Longest answer, in tokens."""
    seed: int = 0
    """Of the random choices at a temperature above 0."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""


class Question(NamedTuple):
    """Something to look at, what to ask, and what is right where that is known."""

    shown: Path
    asked: str
    truth: str = ""


def main(options: Options) -> int:
    """Print the answers; returns the exit status, 1 when one could not be read."""
    questions, checkpoint = _what(options)
    # What the user typed is checked by now: loading torch takes seconds.
    from manyeyes.cli.device import chosen_device
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.sampling import SamplingParams

    params = SamplingParams(
        max_new_tokens=options.max_new_tokens, temperature=options.temperature, top_p=options.top_p, seed=options.seed
    )
    assistant = Assistant.load(checkpoint, device=chosen_device(options.device))
    status = 0
    for number, question in enumerate(questions):
        message = Message("user", (part_of(question.shown), TextPart(question.asked)))
        try:
            answer = printable(assistant.answer([message], params=params).text.strip())
        except (
            ChatError
        ) as error:  # a model that has learned little may break the format; the other answers still count
            answer, status = f"(unreadable: {error})", 1
        print(answer if options.plain else "\n" * (number > 0) + _written(question, answer))
    return status


def _what(options: Options) -> tuple[list[Question], Path]:
    """The questions, and the checkpoint folder that answers them."""
    if options.examples:
        if options.picture is not None:
            raise LocationError("--examples brings its own pictures; leave the picture out, or --examples")
        run = finished_run(options.model)
        return _examples(run), model_folder(str(run.path))
    if options.picture is None:
        raise LocationError('name a picture: manyeyes see PICTURE "what colour is the shape?" (or --examples)')
    part_of(options.picture)
    return [Question(options.picture, " ".join(options.question) or QUESTION)], model_folder(options.model)


def part_of(path: Path) -> ImagePart | VideoPart:
    """The file as a part of a message; reads no more than its header."""
    return VideoPart(Clip.open(path)) if path.suffix.lower() in CLIPS else ImagePart(Picture.open(path))


def _written(question: Question, answer: str) -> str:
    lines = [short(question.shown), f"  question  {question.asked}", f"  answer    {answer or '(nothing)'}"]
    lines += [f"  truth     {question.truth}"] if question.truth else []
    return "\n".join(printable(line) for line in lines)


def _examples(run: RunFolder) -> list[Question]:
    """Three of the run's held-out questions with pictures, of different sets.

    Of a clip only the first frame was kept, and a question about time cannot be asked of a still: those are left out.
    """
    found = [example for example in read_examples(run) if example.picture is not None and not example.clip]
    if not found:
        raise LocationError(f"{run.path} kept no examples with pictures; ask about a picture of your own instead")
    return [
        Question(example.picture, example.asked, example.truth)
        for example in _spread(found)[:SHOWN_EXAMPLES]
        if example.picture is not None
    ]


def _spread(examples: Sequence[Example]) -> list[Example]:
    """All examples, the sets taking turns."""
    by_set: dict[str, list[Example]] = {}
    for example in examples:
        by_set.setdefault(example.held_out, []).append(example)
    return list(_in_turns(by_set.values()))


def _in_turns(groups: Iterable[Sequence[Item]]) -> Iterator[Item]:
    kept = list(groups)
    for turn in range(max(map(len, kept), default=0)):
        yield from (group[turn] for group in kept if turn < len(group))
