"""What a text gives as its answer, in the usual ways of saying so.

    the last \\boxed{...}, else the last line "Answer: ...", else the last line that holds something

Only the last one counts, so that who writes down every candidate has given one answer. Report: §4.4.2 (outcome
rewards), which leaves the format open.
"""

import re

BOX = "\\boxed{"
LONGEST = 4000
"""Characters of an answer; a longer one is none."""

_LABEL = re.compile(r"\banswer(?: is)?[*_ ]{0,8}[:：][*_ ]*([^\n]*)", re.IGNORECASE)
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)


def final_answer(text: str) -> str:
    """The answer; "" where there is none, or one that is too long to be one.

    Example:
        >>> final_answer("Two.\\n**Answer:** 1/2"), final_answer("I think\\n42"), final_answer("\\\\boxed{x^{2}}")
        ('1/2', '42', 'x^{2}')
    """
    if (boxed := _boxed(text)) is not None:
        found = boxed
    elif labelled := _LABEL.findall(text):
        found = labelled[-1].strip(" *_")
    else:
        found = (text.strip().splitlines() or [""])[-1].strip()
    return found if len(found) <= LONGEST else ""


def last_block(text: str) -> str | None:
    """What stands in the last fenced block; None where there is none that is closed.

    Example:
        >>> last_block("First:\\n```python\\nx = 1\\n```\\nBetter:\\n```\\nx = 2\\n```\\nDone.")
        'x = 2\\n'
    """
    blocks = _FENCE.findall(text)
    return blocks[-1] if blocks else None


def _boxed(text: str) -> str | None:
    start = text.rfind(BOX)
    if start < 0:
        return None
    depth = 1
    for end in range(start + len(BOX), len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[start + len(BOX) : end].strip()
    return None
