"""JSON schemas as TypeScript types, in the spelling that K2.5 learned: the half of a tool declaration below its name.

A schema is read first, which gathers the `$defs` it brings and notes whether it refers to itself, and written after,
when all names are known. Comments above a property: its description, its limits sorted by name, its default.
A schema without a TypeScript form raises an error of `NO_FORM`; `core.tool_declaration` answers that with JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

# What a malformed schema raises while it is read or written: it is a user's JSON and may be anything.
NO_FORM = (ValueError, TypeError, KeyError, AttributeError)

_STEP = "  "
_BETWEEN = ",\n"
_LIMITS: Mapping[str, tuple[str, ...]] = {
    "string": ("maxLength", "minLength", "pattern"),
    "number": ("maximum", "minimum"),
    "integer": ("maximum", "minimum"),
}
_UNION = {
    "string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null",
    "object": "{}", "array": "Array<any>",
}  # fmt: skip
_PYTHON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "number": (int, float), "integer": int, "boolean": bool,
}  # fmt: skip


class Type(NamedTuple):
    """A schema, read: what is said above it, and how it is written at an indentation."""

    write: Callable[[str], str]
    description: str = ""
    limits: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True)
class Names:
    """What `$ref` may name in one function: its `$defs`, and itself."""

    definitions: dict[str, Any] = field(default_factory=dict)
    refers_to_itself: bool = False


class Property(NamedTuple):
    """One field of an object."""

    name: str
    type: Type
    optional: bool
    default: Any


class ObjectType(NamedTuple):
    """The fields of an object."""

    properties: tuple[Property, ...]
    others: Any
    """`additionalProperties`: a bool, a `Type`, or None where nothing is said."""


def read(schema: Schema | bool, names: Names) -> Type:
    """A schema as a type. Raises one of `NO_FORM`."""
    if isinstance(schema, bool):
        return _plain("any" if schema else "null")
    if "$ref" in schema:
        return _described(schema, _reference(schema["$ref"], names))
    if "anyOf" in schema:
        return _any_of(schema, names)
    if "enum" in schema:
        return _described(schema, _enum(schema))
    if "type" in schema:
        return _of_type(schema, names)
    if not schema:
        return _plain("any")
    raise ValueError(f"no TypeScript form for {schema}")


def _of_type(schema: Schema, names: Names) -> Type:
    kind = schema["type"]
    if isinstance(kind, list):
        return _described(schema, " | ".join(_UNION[each] for each in kind))
    if kind == "object":
        fields = read_object(schema, names)
        return Type(lambda indent: write_object(fields, indent), schema.get("description", ""))
    if kind == "array":
        return _array(schema, names)
    return _described(schema, "number" if kind == "integer" else f"{kind}", _LIMITS.get(kind, ()))


def _plain(text: str) -> Type:
    return Type(lambda _: text)


def _described(schema: Schema, text: str, limits: Sequence[str] = ()) -> Type:
    return _plain(text)._replace(description=schema.get("description", ""), limits=_limits(schema, limits))


def _limits(schema: Schema, keys: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    return tuple((key, schema[key]) for key in sorted(keys) if key in schema)


def _reference(target: str, names: Names) -> str:
    if target == "#":
        names.refers_to_itself = True
        return "parameters"
    name = target.split("/")[-1]
    if not target.startswith("#/$defs/") or not isinstance(names.definitions.get(name), Mapping):
        raise ValueError(f"unknown $ref {target}")
    return name


def _any_of(schema: Schema, names: Names) -> Type:
    options = [read(option, names) for option in schema["anyOf"]]
    return Type(lambda indent: " | ".join(each.write(indent) for each in options), schema.get("description", ""))


def _enum(schema: Schema) -> str:
    values = schema["enum"]
    if "type" in schema:
        _check_enum(values, schema["type"])
    return " | ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)


def _check_enum(values: Sequence[Any], kind: Any) -> None:
    if isinstance(kind, list):
        if len(kind) not in (1, 2) or (len(kind) == 2 and "null" not in kind):
            raise ValueError(f"no TypeScript form for an enum of type {kind}")
        kind = next((each for each in kind if each != "null"), "null")
    expected = _PYTHON_TYPES.get(kind)
    if expected and not all(value is None or isinstance(value, expected) for value in values):
        raise ValueError(f"enum values {values} are not all of type {kind}")


def _array(schema: Schema, names: Names) -> Type:
    item = read(schema["items"], names) if schema.get("items") else _plain("any")
    limits = _limits(schema, ("maxItems", "minItems"))
    return Type(lambda indent: _write_array(item, indent), schema.get("description", ""), limits)


def _write_array(item: Type, indent: str) -> str:
    notes = _notes(item, indent + _STEP)
    if not notes:
        return f"Array<{item.write(indent)}>"
    return f"Array<\n{notes}{indent}{_STEP}{item.write(indent + _STEP)}\n{indent}>"


def read_object(schema: Schema, names: Names) -> ObjectType:
    """The fields of a schema of type object; its `$defs` join `names`."""
    names.definitions.update(schema.get("$defs") or {})
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        others = read(others, names)
    properties = schema.get("properties", {})
    optional = set(properties) - set(schema.get("required", []))
    fields = (_read_property(name, each, name in optional, names) for name, each in properties.items())
    return ObjectType(tuple(fields), others)


def _read_property(name: str, schema: Schema | bool, optional: bool, names: Names) -> Property:
    default = None if isinstance(schema, bool) else schema.get("default")
    return Property(name, read(schema, names), optional, default)


def write_object(fields: ObjectType, indent: str) -> str:
    """Required properties by name, then optional ones, then what any other property may be."""
    inner = indent + _STEP
    ordered = sorted(fields.properties, key=lambda each: (each.optional, each.name))
    lines = [_write_property(each, inner) for each in ordered]
    if fields.others is not None:
        lines.append(f"{inner}[k: string]: {_write_others(fields.others, inner)}")
    return f"{{\n{_BETWEEN.join(lines)}\n{indent}}}" if lines else "{}"


def write_fields(fields: ObjectType) -> str:
    """The body of the interface that a self-reference names: properties in their order, as released."""
    lines = [_write_property(each, _STEP) for each in fields.properties]
    return f"{{\n{_BETWEEN.join(lines)}\n}}" if lines else "{}"


def _write_others(others: Any, indent: str) -> str:
    if isinstance(others, Type):
        return others.write(indent)
    if not isinstance(others, bool):
        raise ValueError(f"additionalProperties is {others!r}")
    return "any" if others else "never"


def _write_property(each: Property, indent: str) -> str:
    mark = "?" if each.optional else ""
    return f"{_notes(each.type, indent)}{_default(each, indent)}{indent}{each.name}{mark}: {each.type.write(indent)}"


def _notes(type_: Type, indent: str) -> str:
    """The comment lines above a type, each with its line end."""
    description = f"{comment(type_.description, indent)}\n" if type_.description else ""
    limits = ", ".join(f"{key}: {value}" for key, value in type_.limits)
    return description + (f"{indent}// {limits}\n" if limits else "")


def _default(each: Property, indent: str) -> str:
    if each.default is None:
        return ""
    # As released: numbers and booleans in Python's spelling, everything else in JSON's.
    python = isinstance(each.default, int | float)
    value = repr(each.default) if python else json.dumps(each.default, ensure_ascii=False)
    return f"{indent}// Default: {value}\n"


def comment(text: str, indent: str) -> str:
    """Each line behind "// "; empty lines stay empty."""
    return "\n".join(f"{indent}// {line}" if line else "" for line in text.split("\n"))
