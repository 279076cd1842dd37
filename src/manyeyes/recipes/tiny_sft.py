"""`tiny.sft`: `tiny` learns to call tools on pictures, to think and to talk from text alone.

    command      manyeyes run tiny.sft        (goes on from the newest finished run of `tiny`, or start_model=FOLDER)
    hardware     2 CPU cores, 4 GB of memory
    data         exact generators; every sample is looked at, and one media token ends the run

Zero-vision fine-tuning: image operations stand as IPython code with what that code printed, and no picture is shown.
The vision tower and the projector are frozen.

    short    rows of 1,024 tokens: all conversations but the longest; many small steps learn more than few large ones
    sft      rows of 3,072 tokens: all of them, whole tables of one agent among them, while the rate falls

A small part of the tokens are the text of pre-training, and another the questions of pre-training about pictures that
are told in words, against forgetting. Held-out sets with pictures say what training without pictures costs.
"""

import dataclasses
from collections.abc import Mapping

from manyeyes.data.mixture import constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import tiny as pretraining
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import LoopConfig, Stage

SHORT = {
    "sft/zero_vision": 4.0,
    "sft/told": 2.5,
    "sft/copying": 1.0,
    "sft/thinking": 6.0,
    "sft/thinking_talk": 1.0,
    "sft/thinking_tools": 1.2,
    "sft/parl": 1.6,
    "sft/parl_workers": 1.25,
}
"""Weights of the dialogues by domain (§4.4.1): shares of tokens."""
DIALOGUES = SHORT | {"sft/parl": 2.2, "sft/parl_alone": 3.0}
"""The same with an agent's whole tables, which need longer rows."""
TEXT_SHARE = 0.08
"""Of the tokens, those of pre-training's text. Each of its tokens is learned, of a dialogue's less than a third."""
ROW_LENGTH = 3072
RATE = 1e-3
"""Twice as much learned little better in the whole run and forgot more of how to see (docs/log.md): every step
of MuonClip is as long as its rate says, and text alone says nothing about pictures."""
SEEN = ("text", "knowledge", "vqa", "ocr", "counting", "grounding")


def tiny_sft() -> Run:
    """The recipe."""
    return Run(
        name="tiny.sft",
        about="text-only fine-tuning of tiny: tools on pictures, thinking, talk",
        hardware="2 CPU cores, about 15 minutes",
        model=models.tiny(),
        after="tiny",
        held_out=(*_seen(), *_dialogues()),
        loop=LoopConfig(compute="float32"),
        stages=(
            _stage("short", SHORT, steps=2800, row_length=1024, schedule=Schedule(RATE, warmup=20, decay=0.0)),
            _stage("sft", DIALOGUES, steps=600, row_length=ROW_LENGTH, schedule=Schedule(RATE, decay=1.0)),
        ),
    )


def mixed(dialogues: Mapping[str, float], text: Mapping[str, float], *, share: float) -> dict[str, float]:
    """Weights under which `text` makes up `share` of the tokens; the dialogues keep theirs.

    Example:
        >>> mixed({"talk": 3.0}, {"prose": 1.0, "code": 1.0}, share=0.25)
        {'talk': 3.0, 'prose': 0.5, 'code': 0.5}
    """
    if not dialogues:
        return dict(text)
    factor = share / (1.0 - share) * sum(dialogues.values()) / sum(text.values())
    return {**dialogues, **{name: weight * factor for name, weight in text.items()}}


def _stage(name: str, dialogues: Mapping[str, float], *, steps: int, row_length: int, schedule: Schedule) -> Stage:
    return Stage(
        name=name,
        objective="language",
        trainable=("language_model",),
        steps=steps,
        row_length=row_length,
        rows=1,
        micro_rows=1,
        mixture=constant(0.0, weights=mixed(dialogues, pretraining.TEXT, share=TEXT_SHARE)),
        schedule=schedule,
        held_out=(*(SEEN if name == "sft" else ()), *map(_set_of, dialogues)),
    )


def _seen() -> tuple[HeldOut, ...]:
    """Sets of pre-training, asked less often."""
    chosen = (held_out for held_out in pretraining.HELD_OUT if held_out.name in SEEN)
    return tuple(
        one if one.scorer == "loss" else dataclasses.replace(one, records=min(one.records, 500), quick=64)
        for one in chosen
    )


def _dialogues() -> tuple[HeldOut, ...]:
    """The held-out dialogues of each domain, as a set of its own."""
    return tuple(HeldOut(_set_of(source), source, "loss", records=64, length=ROW_LENGTH) for source in DIALOGUES)


def _set_of(source: str) -> str:
    return source.partition("/")[2]
