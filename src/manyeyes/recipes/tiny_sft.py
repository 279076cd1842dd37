"""`tiny.sft`: `tiny` learns to call tools on pictures, to think and to talk from text alone.

    command      manyeyes run tiny.sft        (goes on from the newest finished run of `tiny`, or start_model=FOLDER)
    hardware     2 CPU cores, 4 GB of memory
    data         exact generators; every sample is looked at, and one media token ends the run

Zero-vision fine-tuning: image operations stand as IPython code with what that code printed, and no picture is shown.
A quarter of the tokens are the text of pre-training, against forgetting; the vision tower and the projector are frozen.
A step is one row: at equal tokens, many small steps learn far more than few large ones.
The held-out sets with pictures say what training without pictures costs.
"""

import dataclasses

from manyeyes.data.mixture import constant
from manyeyes.model import config as models
from manyeyes.optim.schedule import Schedule
from manyeyes.recipes import tiny as pretraining
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.train.stages import LoopConfig, Stage

DIALOGUES = {
    "sft/zero_vision": 4.0,
    "sft/thinking": 4.0,
    "sft/thinking_talk": 1.0,
    "sft/thinking_tools": 1.5,
    "sft/parl": 3.0,
    "sft/parl_workers": 1.5,
    "sft/parl_alone": 0.5,
}
"""Weights of the dialogues by domain (§4.4.1): shares of tokens."""
TEXT_SHARE = 0.25
"""Of the tokens, those of pre-training's text."""
ROW_LENGTH = 2048
RATE = 1e-3
"""Twice as much learns dialogues sooner and forgets how to see (docs/log.md): every step of MuonClip is as long as its
rate says, and text alone says nothing about pictures."""
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
            Stage(
                name="sft",
                objective="language",
                trainable=("language_model",),
                steps=2000,
                row_length=ROW_LENGTH,
                rows=1,
                micro_rows=1,
                mixture=constant(0.0, weights=mixed(DIALOGUES, pretraining.TEXT, share=TEXT_SHARE)),
                schedule=Schedule(RATE, warmup=20, decay=0.5),
                held_out=(*SEEN, *map(_set_of, DIALOGUES)),
                evaluate_every=1000,
            ),
        ),
    )


def mixed(dialogues: dict[str, float], text: dict[str, float], *, share: float) -> dict[str, float]:
    """Weights under which `text` makes up `share` of the tokens; the dialogues keep theirs.

    Example:
        >>> mixed({"talk": 3.0}, {"prose": 1.0, "code": 1.0}, share=0.25)
        {'talk': 3.0, 'prose': 0.5, 'code': 0.5}
    """
    if not dialogues:
        return dict(text)
    factor = share / (1.0 - share) * sum(dialogues.values()) / sum(text.values())
    return dialogues | {name: weight * factor for name, weight in text.items()}


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
