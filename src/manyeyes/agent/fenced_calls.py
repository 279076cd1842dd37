"""Tool calls that a small model wrote as text: JSON objects with a tool's name and arguments, in fences or bare.

Some models know what to call and not how to say so in their template (Qwen2.5-Coder writes a ```json block). Such an
answer counts as calls only if it holds nothing else and every object names a tool that was offered.

Report: none; found with llama.cpp endpoints (docs/llama-cpp.md).
"""

import re
from collections.abc import Collection

import msgspec

from manyeyes.core.messages import ToolCall

_AROUND = re.compile(r"```(?:json|tool_call)?\s*\n(.*?)\n?```|<tool_call>(.*?)</tool_call>", re.DOTALL)


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, object]


def fenced_calls(text: str, names: Collection[str], *, turn: int = 0) -> tuple[ToolCall, ...]:
    r"""The calls that an answer consists of; none when it is anything else.

    Args:
        names: of the tools that were offered.
        turn: makes the calls' ids different from those of other answers.

    Example:
        >>> fenced_calls('```json\n{"name": "open", "arguments": {"url": "https://a.example"}}\n```', {"open"})[0].name
        'open'
        >>> fenced_calls('I would call {"name": "open", "arguments": {}}', {"open"})
        ()
    """
    inside = [fenced or tagged for fenced, tagged in _AROUND.findall(text)]
    if _AROUND.sub("", text).strip():
        inside = [] if inside else [text]
    try:
        written = [one for block in inside for one in msgspec.json.decode(f"[{_joined(block)}]", type=list[_Written])]
    except msgspec.DecodeError:
        return ()
    if any(one.name not in names for one in written):
        return ()
    encode = msgspec.json.encode
    return tuple(
        ToolCall(f"written-{turn}-{number}", one.name, encode(one.arguments).decode())
        for number, one in enumerate(written)
    )


def _joined(block: str) -> str:
    """Objects one below the other, or in a list, as the inside of a list."""
    block = block.strip()
    if block.startswith("[") and block.endswith("]"):
        block = block[1:-1]
    return re.sub(r"\}\s*\n\s*\{", "},{", block)
