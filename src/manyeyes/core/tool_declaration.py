"""The text that declares tools to the model: TypeScript where their schemas allow it, compact JSON otherwise.

    # Tools

    ## functions
    namespace functions {
    // what the function does
    type zoom = (_: {
      // what the argument is
      x: number,
      note?: string
    }) => any;
    }

Keys of all schemas are sorted first, so equal schemas give equal tokens. Required properties stand before optional
ones. A schema that has no TypeScript form here (no type, an unknown `$ref`, enum values of the wrong type) makes the
whole declaration fall back to JSON.

Report: App. D (tool use); the rules are those of the released tokenizer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from manyeyes.core.messages import Tool
from manyeyes.core.typescript import NO_FORM, Names, Schema, comment, read, read_object, write_fields, write_object


def declare(tools: Sequence[Tool]) -> str:
    """What stands in the tool_declare message.

    Example:
        >>> print(declare([Tool("now", "The time.", {"type": "object", "properties": {"zone": {"type": "string"}}})]))
        # Tools
        <BLANKLINE>
        ## functions
        namespace functions {
        // The time.
        type now = (_: {
          zone?: string
        }) => any;
        }
        <BLANKLINE>
    """
    return declare_json([declaration(tool) for tool in tools])


def declaration(tool: Tool) -> dict[str, Any]:
    """A tool as the chat API writes it: {"type": "function", "function": {...}}."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def declare_json(declarations: Sequence[Schema]) -> str:
    """As `declare`, from tools as the chat API writes them."""
    ordered = _sorted_deep(list(declarations))
    return typescript(ordered) or json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


def typescript(declarations: Sequence[Schema]) -> str | None:
    """The declarations of type "function" in TypeScript; None if there are none, or one has no TypeScript form."""
    try:
        functions = [_function(tool["function"]) for tool in declarations if _is_function(tool)]
    except NO_FORM:
        return None
    if not functions:
        return None
    return "\n".join(["# Tools\n\n## functions\nnamespace functions {", *functions, "}\n"])


def _is_function(tool: Schema) -> bool:
    return tool.get("type") == "function" and bool(tool.get("function"))


def _function(function: Schema) -> str:
    names = Names()
    root = read_object(function.get("parameters") or {}, names)
    parameters = "parameters" if names.refers_to_itself else write_object(root, "")
    interfaces = [f"interface parameters {write_fields(root)}"] if names.refers_to_itself else []
    interfaces += [_interface(name, schema, names) for name, schema in tuple(names.definitions.items())]
    description = comment(function.get("description") or "", "")
    signature = f"type {function.get('name', 'function')} = (_: {parameters}) => any;"
    return "\n".join(part for part in ("\n".join(interfaces), description, signature) if part)


def _interface(name: str, schema: Schema, names: Names) -> str:
    text = f"interface {name} {read(schema, names).write('')}"
    description = schema.get("description", "")
    return f"{comment(description, '')}\n{text}" if description else text


def _sorted_deep(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted_deep(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_sorted_deep(inner) for inner in value]
    return value
