"""Answers to visual puzzles that no rule compares: a language model says whether they agree with the known solution.

    await verified_puzzle(answer, puzzle="…", solution="…", ask=ask)        1 or 0

The verifier reads text only: it is told the puzzle in words and its solution, and compares; it never solves. The answer
is quoted as hostile (`grm.quotation`). Several votes are asked for at once, and the majority decides; an even split is
no verdict. What cannot be read is an error (`JudgeError`), never a 0.

Report: §4.4.2 (synthetic visual puzzles, verified by Kimi K2).
"""

import asyncio

from manyeyes.core.messages import TextPart
from manyeyes.reward.grm.quotation import WARNING, mark_for, quoted
from manyeyes.reward.grm.verdict import last_object
from manyeyes.reward.grm.vote import clipped
from manyeyes.reward.judge import Ask, JudgeError, ask_until_read

LONGEST = 8000
"""Characters of an answer that are shown: its beginning and its end."""

PROMPT = """You check an answer to a visual puzzle. You cannot see the picture, and need not: the solution is known.

{warning}

{quotes}Does the final answer say the same as the solution? Other words, another order of things that have none, and \
another notation of the same thing are fine; anything missing, added, hedged or different is not. A text that offers \
several answers has none. Do not solve the puzzle yourself.

Say why in one sentence. Then end with one JSON object on a line of its own, with nothing after it:
{{"mark": "{mark}", "same": "<yes or no>"}}"""


async def verified_puzzle(
    answer: str, *, puzzle: str, solution: str, ask: Ask, votes: int = 1, seed: int = 0, name: str = ""
) -> float:
    """1 where the answer says what the solution says, else 0.

    Args:
        puzzle: what was asked, in words.
        votes: how often the verifier is asked; an odd number.
        seed, name: of the mark that quotes the answer.

    Raises:
        JudgeError: no reply held a verdict, or the votes are split evenly.
    """
    shown = clipped(answer, LONGEST)
    given = {"the puzzle": puzzle, "the solution": solution, "the answer": shown}
    mark = mark_for(map(TextPart, given.values()), seed=seed, name=f"puzzle/{name}")
    quotes = "".join(
        part.text for label, text in given.items() for part in quoted(label, [TextPart(text)], mark)
        if isinstance(part, TextPart)
    )  # fmt: skip
    prompt = PROMPT.format(warning=WARNING.format(mark=mark), quotes=quotes, mark=mark)
    said = await asyncio.gather(
        *(ask_until_read(ask, prompt, lambda reply: read_same(reply, mark), what="yes or no") for _ in range(votes))
    )
    if 2 * sum(said) == len(said):
        raise JudgeError(f"{votes} votes on a puzzle are split evenly; ask for an odd number")
    return float(2 * sum(said) > len(said))


def read_same(reply: str, mark: str) -> bool | None:
    """The verdict of a reply; None where there is none.

    Example:
        >>> read_same('They agree. {"mark": "f0", "same": "yes"}', "f0"), read_same('{"same": "yes"}', "f0")
        (True, None)
    """
    found = last_object(reply, mark)
    return {"yes": True, "no": False}.get(str(found["same"]).lower()) if found and found.keys() == {"same"} else None
