"""What a schema asks for and a grammar would only seem to hold: found before it is compiled.

llguidance refuses what it knows and cannot do. What is left are keywords of older drafts, which it takes for remarks,
and `minProperties`, which it counts in a text where one name may stand twice. And one keyword that costs it more than
a server can give: `multipleOf` is an automaton with a state for each remainder, a hundred million of them fill memory.

Report: none.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

IGNORED = ("additionalItems", "extends", "disallow", "divisibleBy")
"""Keywords of drafts 3 to 2019-09."""
MAPS = ("properties", "patternProperties", "$defs", "definitions")
LISTS = ("prefixItems", "allOf", "anyOf", "oneOf")
SINGLES = ("items", "additionalProperties")
REF = re.compile(
    r"#(/(properties|patternProperties|\$defs|definitions)/[^/]+|/(items|additionalProperties)"
    r"|/(prefixItems|allOf|anyOf|oneOf)/\d+)*"
)
"""Only what is looked at here can be referred to."""
DEEPEST = 64
LONGEST_PERIOD = 10_000
"""States of all `multipleOf` together: 0.1 s and a few MB; ten times as many take ten times as long (measured)."""


class TooDeep(ValueError):
    """More schemas within schemas than anybody writes."""


def unheld(schema: Any) -> str | None:
    """What cannot be held, with its keyword; None when nothing is found.

    Example:
        >>> unheld({"properties": {"a": {"type": "array", "items": [{}]}}})
        'items as a list (write prefixItems)'
    """
    inside = list(schemas_in(schema))
    if (period := _period(inside)) > LONGEST_PERIOD:
        return f"multipleOf that repeat only after {period:,} steps, at most {LONGEST_PERIOD:,}"
    return next((wrong for inner in inside if (wrong := _unheld_here(inner))), None)


def schemas_in(schema: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """A schema and all within it, but not what merely looks like one, such as a property's name.

    Raises:
        TooDeep: it nests without end.
    """
    if depth > DEEPEST:
        raise TooDeep(f"schemas nest more than {DEEPEST} deep")
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, inner in schema.items():
        if keyword in MAPS and isinstance(inner, Mapping):
            parts = list(inner.values())
        elif keyword in LISTS and isinstance(inner, list):
            parts = inner
        else:
            parts = [inner] if keyword in SINGLES else []
        for part in parts:
            yield from schemas_in(part, depth + 1)


def _unheld_here(schema: Mapping[str, Any]) -> str | None:
    ref = schema.get("$ref", "#")
    if not isinstance(ref, str) or not REF.fullmatch(ref):
        return f"$ref {str(ref)[:80]!r} (expected a schema within this one, such as #/$defs/NAME)"
    ignored = next((keyword for keyword in IGNORED if keyword in schema), None)
    if ignored is not None:
        return f"{ignored} (a keyword of older drafts)"
    if isinstance(schema.get("items"), list):
        return "items as a list (write prefixItems)"
    least = schema.get("minProperties", 0)
    sure = max(1, len(_names(schema.get("required"))))
    if isinstance(least, int | float) and least > sure:
        return f"minProperties above {sure} (name them in required)"
    return None


def _period(schemas: Sequence[Mapping[str, Any]]) -> int:
    """After how many steps of the last decimal place all factors have come round; they may meet in one number."""
    given = [schema["multipleOf"] for schema in schemas if "multipleOf" in schema]
    factors = [abs(Decimal(str(value))) for value in given if _is_factor(value)]
    places = max((-_exponent(factor) for factor in factors), default=0)
    return math.lcm(*(int(factor.scaleb(max(0, places))) for factor in factors))


def _is_factor(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value != 0


def _exponent(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _names(value: Any) -> set[str]:
    return {name for name in value if isinstance(name, str)} if isinstance(value, list) else set()
