"""A constraint holds: whatever a model scores, a completion that ends fits; what cannot be held is refused by name."""

import json
from datetime import date
from typing import Any

import jsonschema
import numpy as np
import pytest

from manyeyes.core.chat_parse import parse
from manyeyes.core.sampler import Constraint
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint import GrammarError, Grammars
from manyeyes.inference.constraint_schema import unheld
from manyeyes.inference.constraint_turn import TurnShape, json_grammar, turn_grammar

TOKENIZER = Tokenizer.tiny()
GRAMMARS = Grammars(TOKENIZER)
V = TOKENIZER.n_vocab
ENDINGS = np.array([TOKENIZER.encode(text)[0] for text in ('"', "}", "]", "0", "1", '"}', "a")] + [TOKENIZER.call_end])
# What a text that is cut by nothing but luck needs: marks that end something are taken half of the time.


def allowed(constraint: Constraint) -> np.ndarray:
    """Ids that may come next."""
    words = np.zeros(-(-V // 32), np.int32)
    constraint.mask(words)
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")[:V])


def sampled(constraint: Constraint, random: np.random.Generator, *, most: int) -> list[int] | None:
    """A completion by random choices; None when it is not at its end after so many tokens."""
    ids: list[int] = []
    while len(ids) < most:
        may = allowed(constraint)
        assert len(may), "a constraint must leave something"
        ending = np.intersect1d(may, ENDINGS)
        ids.append(int(random.choice(ending if len(ending) and random.random() < 0.5 else may)))
        constraint.accept(ids[-1])
        if ids[-1] == TOKENIZER.im_end:
            return ids
    return None


def random_schema(random: np.random.Generator, depth: int = 0) -> dict[str, Any]:
    """A schema of the keywords that can be held."""
    scalar = [_string, _integer, _number, _choice, _plain]
    nested = [_object, _array, _union] if depth < 3 else []
    return scalar_or_nested(random, scalar, nested)(random, depth)


def scalar_or_nested(random: np.random.Generator, scalar: list, nested: list) -> Any:
    kinds = nested if nested and random.random() < 0.5 else scalar
    return kinds[random.integers(len(kinds))]


def _string(random: np.random.Generator, depth: int) -> dict[str, Any]:
    least = int(random.integers(0, 4))
    extra = [{}, {"minLength": least}, {"maxLength": least + 3}, {"minLength": least, "maxLength": least + 2},
             {"pattern": "^[a-c]+x?$"}, {"pattern": "b"}, {"format": "date"}, {"format": "uuid"}]  # fmt: skip
    return {"type": "string", **extra[random.integers(len(extra))]}


def _integer(random: np.random.Generator, depth: int) -> dict[str, Any]:
    low = int(random.integers(-50, 50))
    extra = [{}, {"minimum": low}, {"exclusiveMinimum": low, "maximum": low + 9}, {"maximum": low}, {"multipleOf": 3}]
    return {"type": "integer", **extra[random.integers(len(extra))]}


def _number(random: np.random.Generator, depth: int) -> dict[str, Any]:
    low = float(random.integers(-5, 5)) / 2
    extra = [{}, {"minimum": low}, {"minimum": low, "exclusiveMaximum": low + 1.5}]
    return {"type": "number", **extra[random.integers(len(extra))]}


def _choice(random: np.random.Generator, depth: int) -> dict[str, Any]:
    values: list[Any] = ["in", "out", 3, 2.5, None, True, {"a": 1}, ["x"]]
    some = [values[i] for i in random.permutation(len(values))[: random.integers(1, 4)]]
    return {"enum": some} if random.random() < 0.7 else {"const": some[0]}


def _plain(random: np.random.Generator, depth: int) -> dict[str, Any]:
    return {"type": ["boolean", "null", ["string", "null"], ["integer", "boolean"]][random.integers(4)]}


def _object(random: np.random.Generator, depth: int) -> dict[str, Any]:
    names = [
        f"{name}" for name in random.permutation(["a", "b c", "é", "items", "not", '"q"'])[: random.integers(0, 4)]
    ]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: random_schema(random, depth + 1) for name in names},
        "required": [name for name in names if random.random() < 0.6],
    }
    extra: list[dict[str, Any]] = [
        {},
        {"additionalProperties": False},
        {"additionalProperties": {"type": "integer"}},
        {"additionalProperties": False, "patternProperties": {"^z": {"type": "boolean"}}},
    ]
    return schema | extra[random.integers(len(extra))]


def _array(random: np.random.Generator, depth: int) -> dict[str, Any]:
    least = int(random.integers(0, 3))
    extra: list[dict[str, Any]] = [{}, {"minItems": least}, {"minItems": least, "maxItems": least + 2}, {"maxItems": 2},
                                   {"prefixItems": [random_schema(random, depth + 1)], "minItems": 1}]  # fmt: skip
    return {"type": "array", "items": random_schema(random, depth + 1), **extra[random.integers(len(extra))]}


def _union(random: np.random.Generator, depth: int) -> dict[str, Any]:
    some = [random_schema(random, depth + 1) for _ in range(2)]
    kinds: list[dict[str, Any]] = [
        {"anyOf": some},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 9}]},
        {"$defs": {"part": {"type": "boolean"}}, "$ref": "#/$defs/part"} if depth == 0 else {"anyOf": some},
    ]
    return kinds[random.integers(len(kinds))]


def is_date(text: object) -> bool:
    """As RFC 3339 has it, which knows a year 0; Python does not."""
    return bool(date.fromisoformat(str(text).replace("0000-", "2000-", 1)))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    checker = jsonschema.FormatChecker(["uuid"])
    checker.checks("date", ValueError)(is_date)
    return jsonschema.Draft202012Validator(schema, format_checker=checker).is_valid(value)


def run_schemas(first: int, count: int) -> tuple[int, int]:
    """How many of so many random schemas were taken, and how many completions of them ended; all that end fit."""
    taken = ended = 0
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        schema = random_schema(random)
        arguments = {"type": "object", "properties": {"v": schema}, "required": ["v"], "additionalProperties": False}
        if "$defs" in schema:
            arguments = {**arguments, "$defs": schema["$defs"]}
        try:
            GRAMMARS.check_schema(arguments, "tool zoom")
        except GrammarError as error:
            assert "Unsatisfiable" in str(error) or "oneOf" in str(error), (schema, error)
            continue
        taken += 1
        shape = TurnShape(thinking=False, tools=(("zoom", arguments),), calls="must", most_calls=2, first_call=number)
        ids = sampled(GRAMMARS.compiled(turn_grammar(shape, TOKENIZER))(), random, most=200)
        if ids is None:
            continue
        ended += 1
        for place, call in enumerate(parse(ids, TOKENIZER, thinking=False).tool_calls):
            assert (call.name, call.id) == ("zoom", f"functions.zoom:{number + place}")
            assert fits(json.loads(call.arguments), arguments), (schema, call.arguments)
    return taken, ended


def test_a_call_that_ends_fits_its_schema_for_a_thousand_random_schemas() -> None:
    taken, ended = run_schemas(0, 1000)
    assert taken > 900 and ended > 600, (taken, ended)


@pytest.mark.slow
def test_a_call_that_ends_fits_its_schema_for_many_more() -> None:
    taken, ended = run_schemas(10_000, 20_000)
    assert taken > 18_000 and ended > 12_000


@pytest.mark.parametrize(
    "schema",
    [
        {"uniqueItems": True}, {"not": {}}, {"if": {}}, {"then": {}}, {"else": {}}, {"contains": {}},
        {"propertyNames": {}}, {"dependentRequired": {}}, {"dependentSchemas": {}}, {"dependencies": {}},
        {"unevaluatedProperties": False}, {"unevaluatedItems": False}, {"$dynamicRef": "#x"},
        {"additionalItems": False}, {"minProperties": 3}, {"extends": {}}, {"disallow": "string"}, {"divisibleBy": 2},
    ],
)  # fmt: skip
@pytest.mark.parametrize("nested", [False, True])
def test_a_keyword_that_cannot_be_held_is_named(schema, nested) -> None:
    (keyword,) = schema
    whole = {"type": "object", "properties": {"a": {"anyOf": [schema]}}} if nested else schema
    with pytest.raises(GrammarError, match=f"tool zoom.*{keyword.lstrip('$')}"):
        GRAMMARS.check_schema(whole, "tool zoom")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"}, {"type": "string", "format": "weird"}, {"$ref": "http://a.org/x"}, {"$ref": "#/nowhere"},
        {"type": "string", "pattern": "(?=a)b"}, {"type": "string", "pattern": "("}, {"type": 5}, {"properties": 3},
        {"enum": []}, {"minimum": 5, "maximum": 3, "type": "integer"}, {"items": [{}]},
        {"$ref": "#/hidden", "hidden": {"uniqueItems": True}}, {"$ref": "#/hidden", "hidden": {"multipleOf": 99999999}},
        {"$id": "http://a.org/b", "$ref": "b#/$defs/c", "$defs": {"c": {}}}, {"$ref": 5},
    ],
)  # fmt: skip
def test_a_schema_that_means_nothing_is_refused(schema) -> None:
    with pytest.raises(GrammarError):
        GRAMMARS.check_schema(schema, "tool zoom")


def test_a_name_that_looks_like_a_keyword_is_a_name() -> None:
    schema = {"properties": {"minProperties": {"type": "integer"}, "items": {"enum": ["a"]}}, "const": {"extends": 1}}
    assert unheld(schema) is None


def test_options_of_the_library_inside_a_schema_loosen_nothing() -> None:
    loose = {"x-guidance": {"lenient": True, "whitespace_flexible": True}, "type": "array", "uniqueItems": True}
    with pytest.raises(GrammarError, match="uniqueItems"):
        GRAMMARS.check_schema(loose, "here")
    with pytest.raises(GrammarError, match="uniqueItems"):
        GRAMMARS.compiled(json_grammar(loose))


def test_schemas_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(GrammarError, match="deep|cannot be read"):
        GRAMMARS.check_schema(deep, "here")
    with pytest.raises(GrammarError, match="characters"):
        GRAMMARS.compiled(json_grammar({"enum": ["x" * 1_200_000]}))


def test_thoughts_are_free_and_text_may_come_before_calls() -> None:
    shape = TurnShape(thinking=True, tools=(("zoom", {"type": "object"}),), calls="may")
    make = GRAMMARS.compiled(turn_grammar(shape, TOKENIZER))
    call = [TOKENIZER.calls_begin, TOKENIZER.call_begin, *TOKENIZER.encode("functions.zoom:0")]
    call += [TOKENIZER.call_argument_begin, *TOKENIZER.encode('{"x": 1}'), TOKENIZER.call_end, TOKENIZER.calls_end]
    thought = [*TOKENIZER.encode('<think> {"é'), TOKENIZER.end_think]
    for ids in ([*thought, *TOKENIZER.encode("text"), *call], [*thought, *call], [*thought, *TOKENIZER.encode("text")]):
        constraint = make()
        for token in ids:
            constraint.accept(token)
        assert TOKENIZER.im_end in allowed(constraint)
        assert constraint.finished == (ids[-1] == TOKENIZER.calls_end)
    wrong = make()
    wrong.accept(TOKENIZER.calls_begin)  # the thought must end first
    assert not len(allowed(wrong)) and not wrong.finished


def test_each_completion_has_its_own_place() -> None:
    make = GRAMMARS.compiled(json_grammar({"enum": [12, 34]}))
    first, second = make(), make()
    first.accept(TOKENIZER.encode("1")[0])
    texts = {TOKENIZER.decode([int(token)]) for token in allowed(second)}
    assert {"1", "3"} <= texts and {TOKENIZER.decode([int(t)]) for t in allowed(first)} == {"2"}


def test_a_mask_of_a_model_with_more_ids_leaves_those_out() -> None:
    words = np.full(-(-V // 32) + 5, -1, np.int32)
    GRAMMARS.compiled(json_grammar({"const": 1}))().mask(words)
    assert not words[-5:].any() and words.any()


@pytest.mark.parametrize(
    ("factors", "fine"),
    [([5], True), ([0.01, 0.25], True), ([2.5, 10], True), ([99_999_999], False), ([997, 991], False), ([1e300], False),
     ([0.001, 100], False), ([0], True), ([True, "x"], True), ([1e-9], True)],
)  # fmt: skip
def test_factors_that_would_fill_the_memory_are_refused(factors, fine) -> None:
    schema = {"allOf": [{"multipleOf": factor} for factor in factors]}
    said = unheld(schema)
    assert said is None if fine else said is not None and said.startswith("multipleOf")
