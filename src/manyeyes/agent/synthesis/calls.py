"""Whether a call is one that was declared: its name, its arguments' names, which are needed, and their types.

The schemas of tools use a small part of JSON schema; what stands beyond it (formats, patterns) is left to the tool.

Report: §4.4.1 (precise tool calls).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.core.messages import Tool, ToolCall

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def call_fault(call: ToolCall, tools: Sequence[Tool]) -> str:
    """What is wrong with a call; "" when nothing is.

    Example:
        >>> zoom = Tool("zoom", "", {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]})
        >>> call_fault(ToolCall.of("zoom", {"x": "left"}, index=0), [zoom])
        'x should be number'
    """
    tool = next((tool for tool in tools if tool.name == call.name), None)
    if tool is None:
        return "a tool that is not declared"
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return "arguments that are no JSON"
    return _fault(arguments, tool.parameters | {"type": "object"}, "arguments")


def _fault(value: Any, schema: Mapping[str, Any], where: str) -> str:
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{where} should be {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} should be one of {len(schema['enum'])} values"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options and all(_fault(value, one, where) for one in options):
        return f"{where} fits no form that is allowed"
    if isinstance(value, dict):
        return _object_fault(value, schema, where)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return next((fault for one in value if (fault := _fault(one, schema["items"], f"an item of {where}"))), "")
    return ""


def _object_fault(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str:
    properties = schema.get("properties", {})
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{missing[0]} is missing"
    for name, inner in value.items():
        if name not in properties:
            if properties and schema.get("additionalProperties", False) is False:
                return f"{where} have a name that is not declared"
        elif fault := _fault(inner, properties[name], name):
            return fault
    return ""


def _is(value: Any, kind: str) -> bool:
    if kind == "number" and isinstance(value, float):
        return True
    if isinstance(value, bool) and kind != "boolean":
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))
