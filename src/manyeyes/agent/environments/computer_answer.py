"""An answer as E.7 asks for it, taken apart: thought, action in words, code.

    {thought}
    ## Action:
    {action}
    ## Code:
    ```python
    {code}
    ```

Report: App. E.7.
"""

import re
from typing import NamedTuple

from manyeyes.core.errors import ManyeyesError

_ACTION = re.compile(r"^#{1,4}\s*Action\s*:?[ \t]*$|^#{1,4}\s*Action\s*:", re.IGNORECASE | re.MULTILINE)
_CODE = re.compile(r"^#{1,4}\s*Code\s*:?[ \t]*$|^#{1,4}\s*Code\s*:", re.IGNORECASE | re.MULTILINE)
_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)```", re.DOTALL)


class AnswerMalformed(ManyeyesError):
    """An answer that does not keep to the format; the message is for the model."""


class ComputerAnswer(NamedTuple):
    """An answer, taken apart."""

    thought: str
    action: str
    code: str


def read_answer(text: str) -> ComputerAnswer:
    r"""The parts of an answer.

    Raises:
        AnswerMalformed: there is no code section, or no single code block in it.

    Example:
        >>> read_answer("Press it.\n\n## Action:\nClick.\n\n## Code:\n```python\npyautogui.click(0.5, 0.5)\n```")
        ComputerAnswer(thought='Press it.', action='Click.', code='pyautogui.click(0.5, 0.5)')
    """
    codes = list(_CODE.finditer(text))
    if not codes:
        raise AnswerMalformed('there is no "## Code:" section; answer with a thought, "## Action:" and "## Code:"')
    before, after = text[: codes[-1].start()], text[codes[-1].end() :]
    blocks = _FENCED.findall(after)
    if len(blocks) != 1:
        raise AnswerMalformed(f'expected one code block in ``` after "## Code:", got {len(blocks)}')
    actions = list(_ACTION.finditer(before))
    if not actions:
        return ComputerAnswer(before.strip(), "", blocks[0].strip())
    return ComputerAnswer(before[: actions[-1].start()].strip(), before[actions[-1].end() :].strip(), blocks[0].strip())
