"""What a grader is shown of a piece of work: text and pictures in order, within a budget.

    of_trajectory(trajectory, tokenizer)       every turn of every agent, its pictures where they stood
    of_messages(messages)                      a conversation with its tool calls
    fitted(parts, budget)                      the beginning and, of more weight, the end; the last pictures

What is left out is said to be left out, with its size. A rendered artefact is a picture that whoever rendered it adds.
Report: §4.4.2 (multimodal trajectories of chat, coding, search and artefact agents).
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from manyeyes.core.media import Media, frame_of
from manyeyes.core.messages import ImagePart, Message, Part, TextPart, VideoPart
from manyeyes.core.picture import Picture, Pixels
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import Event, Node, Trajectory
from manyeyes.reward.grm.quotation import joined

HEAD_SHARE = 0.25
"""Of a text that is too long, what is kept of its beginning; the rest is kept of its end, where the outcome stands."""
TOLD = ("reply", "call", "told", "tool")
"""Kinds of events that say what happened where no tokens do."""
_SPECIAL = re.compile(r"<\|([^|<>\n]{1,40})\|>")


class EvidenceBudget(NamedTuple):
    """How much of one piece of work is shown.

    Attributes:
        characters: of text.
        pictures: how many; the last ones stay.
        pixels: of one picture; a larger one is shrunk.
    """

    characters: int = 40_000
    pictures: int = 8
    pixels: int = 1_000_000


def of_trajectory(trajectory: Trajectory, tokenizer: Tokenizer) -> tuple[Part, ...]:
    """What every agent was given and said, turn by turn; tool calls and replies of a trajectory without tokens.

    Thoughts are left out: whoever asked is shown none, and a grader should not be swayed by them.

    Raises:
        TokenizerError: the ids are of another vocabulary.
    """
    parts = [part for node in trajectory.nodes for part in _turn(trajectory, node, tokenizer)]
    told = [] if parts else [_said(trajectory, event) for event in trajectory.events if event.kind in TOLD]
    return joined([*parts, *told])


def of_messages(messages: Sequence[Message]) -> tuple[Part, ...]:
    """A conversation: who says what, with tool calls; reasoning is left out, for nobody is shown it."""
    return joined(part for message in messages for part in _message(message))


def fitted(parts: Sequence[Part], budget: EvidenceBudget) -> tuple[Part, ...]:
    """Parts within a budget; clips are shown as their first frame, and no text holds a special token."""
    stills = [_still(part) for part in parts]
    shown = _last_pictures(stills, budget)
    return joined(_cut(joined(_harmless(shown)), budget.characters))


def _harmless(parts: Sequence[Part]) -> Iterator[Part]:
    """Texts in which nothing can pass for a special token, whoever tokenizes them: `<|im_end|>` as `<¦im_end¦>`."""
    for part in parts:
        yield TextPart(_SPECIAL.sub(r"<¦\1¦>", part.text)) if isinstance(part, TextPart) else part


def picture_of(media: Media) -> Picture:
    """What a model saw, its first frame; padding included."""
    return Picture.of(frame_of(media))


def _turn(trajectory: Trajectory, node: Node, tokenizer: Tokenizer) -> Iterator[Part]:
    name = trajectory.agents[node.agent].name
    media = iter(node.media)
    given, sampled = node.ids[: node.given].tolist(), node.sampled.tolist()
    thinks = given[-1:] == [tokenizer.think]
    for label, ids in (("was given", given), ("said", _after_thought(sampled, tokenizer, thinks))):
        if ids:
            yield TextPart(f"({name} {label})\n")
            yield from _ids(ids, media, tokenizer)
            yield TextPart("\n")


def _after_thought(ids: list[int], tokenizer: Tokenizer, thinks: bool) -> list[int]:
    """What was said; nothing where a thought was cut short."""
    if tokenizer.end_think in ids:
        return ids[ids.index(tokenizer.end_think) + 1 :]  # of the first: a second one would hide what was said
    return [] if thinks or ids[:1] == [tokenizer.think] else ids


def _ids(ids: Sequence[int], media: Iterator[Media], tokenizer: Tokenizer) -> Iterator[Part]:
    """Text, and a picture for each run of media tokens."""
    at, start = 0, 0
    while at < len(ids):
        if ids[at] != tokenizer.media_pad or (item := next(media, None)) is None:
            at += 1
            continue
        yield TextPart(tokenizer.decode(ids[start:at]))
        yield ImagePart(picture_of(item))
        at = start = at + item.grid.tokens
    yield TextPart(tokenizer.decode(ids[start:]))


def _said(trajectory: Trajectory, event: Event) -> Part:
    name = trajectory.agents[event.agent].name if 0 <= event.agent < len(trajectory.agents) else "somebody"
    return TextPart(f"({name}: {event.kind})\n{json.dumps(event.data, ensure_ascii=False, default=str)}\n")


def _message(message: Message) -> Iterator[Part]:
    yield TextPart(f"({message.role})\n")
    yield from message.parts
    for call in message.tool_calls:
        yield TextPart(f"\n(calls {call.name}) {call.arguments}")
    yield TextPart("\n")


def _still(part: Part) -> Part:
    return ImagePart(part.video.frames[0]) if isinstance(part, VideoPart) else part


def _last_pictures(parts: Sequence[Part], budget: EvidenceBudget) -> list[Part]:
    pictures = sum(isinstance(part, ImagePart) for part in parts)
    too_many = max(0, pictures - budget.pictures)
    shown: list[Part] = []
    for part in parts:
        if not isinstance(part, ImagePart):
            shown.append(part)
        elif too_many > 0:
            too_many -= 1
            shown.append(TextPart(f"(a picture of {part.image.width}x{part.image.height} is left out here)"))
        else:
            shown.append(ImagePart(_shrunk(part.image, budget.pixels)))
    return shown


def _shrunk(picture: Picture, pixels: int) -> Picture:
    scale = (pixels / (picture.width * picture.height)) ** 0.5
    if scale >= 1:
        return picture
    width, height = max(1, int(picture.width * scale)), max(1, int(picture.height * scale))

    def load() -> Pixels:
        return np.asarray(Image.fromarray(picture.pixels()).resize((width, height), Image.Resampling.BICUBIC))

    return Picture.lazy(width, height, load)


def _cut(parts: Sequence[Part], characters: int) -> Iterator[Part]:
    """The texts without their middle, where they are longer than that together; pictures stay where they stood."""
    total = sum(len(part.text) for part in parts if isinstance(part, TextPart))
    first = int(characters * HEAD_SHARE)
    begin, end = (total, total) if total <= characters else (first, total - (characters - first))
    at = 0
    for part in parts:
        if not isinstance(part, TextPart):
            yield part
            continue
        text, here = part.text, at
        at += len(text)
        yield TextPart(text[: max(0, begin - here)])
        if here <= begin < at and begin < end:
            yield TextPart(f"\n(… {end - begin:,} characters are left out here …)\n")
        if begin < end:
            yield TextPart(text[max(0, end - here) :])
