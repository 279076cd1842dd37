"""A visual puzzle of one's own: pictures drawn by code, an exact answer, solved with IPython in a sandbox.

    python examples/solve_a_puzzle.py          needs `pip install 'manyeyes[code]'`

Shipped kinds: a maze, a pie chart, spot the difference. A script plays the model; a `TokenChat` takes its place.
"""

import asyncio
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from manyeyes.agent.environments.puzzle import Puzzle, png, read_number
from manyeyes.agent.environments.puzzles import Puzzles, puzzle_task
from manyeyes.agent.fakes import Scripted
from manyeyes.agent.rollouts.group import GroupRequest
from manyeyes.agent.rollouts.manager import RolloutManager
from manyeyes.core.messages import Message, ToolCall, assistant

CODE = """import numpy as np; from PIL import Image; from scipy import ndimage
print("Answer:", ndimage.label(np.asarray(Image.open("/inputs/dots.png").convert("L")) < 128)[1])"""


def dots(level: int, seed: int) -> Puzzle:
    """How many dots? This is all that an author writes."""
    places = np.random.default_rng((level, seed)).permutation(100)[: 7 * level + seed % 7]

    @cache
    def draw() -> bytes:
        image = Image.new("L", (300, 300), 255)
        for place in places:
            ImageDraw.Draw(image).circle((place % 10 * 30 + 15, place // 10 * 30 + 15), 9, fill=0)
        return png(image)

    def score(answer: str) -> dict[str, float]:
        return {"count": float(read_number(answer) == len(places))}

    return Puzzle("How many dots? End: Answer: <number>", {"dots.png": draw}, score, {"count": 1.0}, str(len(places)))


def measures(messages: Sequence[Message]) -> Message:
    """The script: measure, then say what was measured."""
    call = ToolCall.of("ipython", {"code": CODE}, index=0)
    return assistant(messages[-1].text) if messages[-1].role == "tool" else assistant(calls=(call,))


async def main() -> None:
    environment = Puzzles(kinds={"dots": dots})
    async with RolloutManager({"live": Scripted(measures)}) as manager:
        task = puzzle_task("dots", level=2, seed=5, kinds=environment.kinds)
        manager.submit(GroupRequest("0", task, environment, size=2))
        group = await anext(manager.results())
    await environment.close()
    print(*(f"{one.name}: {one.reward} {one.rewards}" for one in group.trajectories), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
