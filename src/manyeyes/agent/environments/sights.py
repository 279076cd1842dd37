"""`Sights`: small pictures with a question each: looked at, and where there is a tool, measured with code.

    environment = Sights(tools=True)                  `ipython`; the picture is `im` there
    environment = Sights(tools=False)                 the answer comes from looking
    environment = Sights(tools=True, blind=True)      the same with blank pictures: what guessing is worth
    tasks = sights(kinds=("count", "locate"))         see `data.synthesis.zero_vision_sights.KINDS`

Prompt and tool are those of zero-vision fine-tuning, with the picture in the place of the words that stand for it.

Report: §2.3 (grounding and counting, chart and document understanding, vision-critical STEM), §4.4.1.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment
from manyeyes.agent.environments.puzzle import png
from manyeyes.agent.environments.sight_code import Brief
from manyeyes.agent.environments.sight_filter import without
from manyeyes.agent.environments.sight_judge import SightJudge
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.tools.forked_python import ForkedPython
from manyeyes.agent.tools.forked_python_pool import ForkedPythons
from manyeyes.agent.toolset import Functions, Toolset
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, system
from manyeyes.core.picture import Picture
from manyeyes.data.collection import Split
from manyeyes.data.synthesis.zero_vision import seen
from manyeyes.data.synthesis.zero_vision_programs import NAMED, TEACHERS, TOOL
from manyeyes.data.synthesis.zero_vision_sight import Sight
from manyeyes.data.synthesis.zero_vision_sights import SIDE, checked_kinds, sight

FILE = "im.png"
PREAMBLE = "\n".join(
    [
        f"nd, im = ndimage, np.asarray(Image.open('/inputs/{FILE}').convert('RGB')).astype(int)",
        *(f"{name} = np.array({rgb.tolist()})" for name, rgb in NAMED.items()),
    ]
)
SHOWN = 100
"""Characters of what a piece of code printed."""
SECONDS = 5.0
"""For one piece of code."""
Code = Callable[[bytes, Ctx], Toolset]
BLANK = 255
"""What every channel is in a blank picture."""


@dataclass
class Sights(AttemptEnvironment):
    """See the module.

    Attributes:
        tools: whether there is code.
        blind: whether pictures are blank, for the model and for code.
        pythons: where code runs.
        code: a toolset over the bytes of a picture for one agent; one of `pythons` when left out.
    """

    limits: Limits = Limits(steps=3, turns=4)
    name: str = "sights"
    tools: bool = True
    blind: bool = False
    pythons: ForkedPythons = field(default_factory=ForkedPythons)
    code: Code | None = None

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`. Raises ConfigError where the task is no sight."""
        drawn = sight_of(task)
        picture = drawn.blank if self.blind else drawn.picture
        return replace(self, make_toolset=lambda ctx: self._toolset(picture, ctx), judge=self.judge or drawn.judge)

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`."""
        drawn = sight_of(task)
        picture = Picture.from_bytes(drawn.blank if self.blind else drawn.picture, name=task.id)
        return [*([system(self.system)] if self.system else []), seen(picture, task.prompt)]

    async def ready(self) -> None:
        """See `AttemptEnvironment.ready`: fork one Python and end it, where code is run.

        Raises:
            ConfigError: no sandbox works here; the message says what to do.
        """
        if not self.tools or self.code is not None:
            return
        try:
            await self.pythons.end(await self.pythons.fork())
        except SandboxUnavailable as error:
            raise ConfigError(
                f"{self.name} measures pictures with code in a sandbox, and there is none: {error}"
            ) from None

    async def close(self) -> None:
        """See `AttemptEnvironment.close`."""
        await self.pythons.close()

    def _toolset(self, picture: bytes, ctx: Ctx) -> Toolset:
        if not self.tools:
            return Functions(())
        return Brief((self.code or self._python)(picture, ctx), most=SHOWN)

    def _python(self, picture: bytes, ctx: Ctx) -> Toolset:
        return ForkedPython(
            self.pythons, files={FILE: picture}, preamble=PREAMBLE, about=TOOL.description, seconds=SECONDS,
            name=TOOL.name, noted=ctx.noted,
        )  # fmt: skip


class Drawn(NamedTuple):
    """A sight with its picture, and a blank one of the same size, as PNG files."""

    sight: Sight
    picture: bytes
    blank: bytes

    @property
    def judge(self) -> SightJudge:
        """What says how good an answer is."""
        return SightJudge(self.sight)


def sight_of(task: Task) -> Drawn:
    """The sight of a task. Raises ConfigError where it has none."""
    truth: Any = task.truth
    if not isinstance(truth, dict) or not {"kind", "number", "seed", "split", "side"} <= truth.keys():
        raise ConfigError(f"task {task.id!r} is no sight; make one with sight_task(kind, number)")
    return _drawn(truth["kind"], truth["number"], truth["seed"], truth["split"], truth["side"])


@lru_cache(maxsize=1024)
def _drawn(kind: str, number: int, seed: int, split: Split, side: int) -> Drawn:
    """Attempts at one task come together, so each is drawn about once."""
    found = sight(kind, number, seed=seed, split=split, side=side)
    pixels = found.draw()
    blank = np.full_like(pixels, BLANK)
    return Drawn(found, png(Image.fromarray(pixels)), png(Image.fromarray(blank)))


def sight_task(kind: str, number: int, *, seed: int = 0, split: Split = "train", side: int = SIDE) -> Task:
    """Sight number `number` of a kind as a task.

    Raises:
        ConfigError: there is no such kind.
    """
    truth = {"kind": kind, "number": number, "seed": seed, "split": split, "side": side}
    question = sight(kind, number, seed=seed, split=split, side=side).question
    return Task(f"sight/{split}/{seed}/{side}/{kind}/{number}", question, truth)


def sights(
    seed: int = 0,
    split: Split = "train",
    *,
    kinds: Sequence[str] = tuple(TEACHERS),
    size: int | None = None,
    epochs: int | None = None,
    dropped: Collection[str] = (),
    side: int = SIDE,
) -> Tasks:
    """Sights, kinds in turns; without end where no size is given.

    Args:
        seed: of the sights, and of their order where they have a size.
        size: how many there are before some are dropped.
        epochs: how often each comes; None goes on for ever.
        dropped: ids of tasks that are left out, such as those that a blind policy solves (`sight_filter`).

    Raises:
        ConfigError: an unknown kind, or dropped tasks of a source without end, or all of them.
    """
    of = checked_kinds(tuple(kinds))

    def at(number: int) -> Task:
        return sight_task(of[number % len(of)], number // len(of), seed=seed, split=split, side=side)

    name = f"sights/{split}/{','.join(of)}/{side}"
    if size is None:
        if dropped:
            raise ConfigError("sights that are dropped are taken from so many: give a size")
        return Tasks(at, size=None, shuffled=False, seed=seed, name=name)
    kept = [number for number in range(size) if not dropped or at(number).id not in dropped]
    name = without(f"{name}/{size}", dropped)
    return Tasks(partial(_kept, at, kept), size=len(kept), seed=seed, epochs=epochs, name=name)


def _kept(at: Callable[[int], Task], kept: Sequence[int], number: int) -> Task:
    return at(kept[number])


def environment(*, tools: bool = True, blind: bool = False, code: Code | None = None, **fields: Any) -> Sights:
    """For the registry.

    Args:
        fields: of `Environment`, such as `sampling` and `limits`.
    """
    return Sights(tools=tools, blind=blind, code=code, **fields)
