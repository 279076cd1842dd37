"""Calls written as text: what counts, and that nothing else does."""

import pytest

from manyeyes.agent.fenced_calls import fenced_calls

ONE = '{"name": "open", "arguments": {"url": "https://a.example", "line": 3}}'
TWO = '{"name": "search", "arguments": {"queries": ["a", "b"]}}'
NAMES = {"open", "search"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"```json\n{ONE}\n```", ["open"]),
        (f"```\n{ONE}\n```", ["open"]),
        (f"  {ONE}\n", ["open"]),
        (f"```json\n{ONE}\n{TWO}\n```", ["open", "search"]),
        (f"```json\n[{ONE}, {TWO}]\n```", ["open", "search"]),
        (f"```json\n{ONE}\n```\n```json\n{TWO}\n```", ["open", "search"]),
        (f"<tool_call>\n{ONE}\n</tool_call>\n<tool_call>{TWO}</tool_call>", ["open", "search"]),
        (f"I call this:\n```json\n{ONE}\n```", []),
        (f"```json\n{ONE}\n```\nand then I shall see", []),
        ('```json\n{"name": "rm", "arguments": {}}\n```', []),
        (f'```json\n{ONE}\n{{"name": "rm", "arguments": {{}}}}\n```', []),
        ('```json\n{"name": "open", "arguments": {}, "why": "x"}\n```', []),
        ('```json\n{"name": "open", "arguments": "x"}\n```', []),
        ("", []),
        ("an answer", []),
        ("[1, 2]", []),
    ],
)
def test_what_counts(text: str, names: list[str]) -> None:
    assert [call.name for call in fenced_calls(text, NAMES)] == names


def test_arguments_are_kept_and_ids_differ() -> None:
    first, second = fenced_calls(f"```json\n{ONE}\n{TWO}\n```", NAMES, turn=4)
    assert first.arguments == '{"url":"https://a.example","line":3}' and first.id != second.id
    assert fenced_calls(f"```json\n{ONE}\n```", NAMES, turn=5)[0].id != first.id
