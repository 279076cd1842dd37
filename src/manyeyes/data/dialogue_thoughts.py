"""Thoughts that stand in the text of an answer, between marks, as some endpoints and files of conversations have them.

    "<think>I add.</think>42"    →    reasoning "I add.", text "42"          the first mark may be missing

Report: §4.4.1 (thinking and instant mode).
"""

from dataclasses import replace

from manyeyes.core.messages import Message

BEGIN, END = "<think>", "</think>"


def told_apart(message: Message) -> Message:
    """The message with its thought as reasoning, where it has one that stands in the text.

    Example:
        >>> from manyeyes.core.messages import assistant
        >>> told = told_apart(assistant("<think>I add.</think>42"))
        >>> told.reasoning, told.text
        ('I add.', '42')
    """
    thought, end, said = message.text.partition(END)
    begun = thought.lstrip().startswith(BEGIN) or BEGIN not in message.text
    if message.reasoning or message.media or not end or not begun:
        return message
    return replace(message, content=said.lstrip(), reasoning=thought.strip().removeprefix(BEGIN).strip())


def has_marks(message: Message) -> bool:
    """Whether a mark of a thought stands where none belongs."""
    return any(mark in text for mark in (BEGIN, END) for text in (message.text, message.reasoning or ""))
