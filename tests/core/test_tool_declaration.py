import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.messages import Tool
from manyeyes.core.tool_declaration import declaration, declare, declare_json, typescript


def declared(parameters: dict, description: str = "") -> str:
    return declare([Tool("f", description, parameters)])


def arguments(**properties) -> str:
    """What the declaration says between `(_: ` and `) => any;` for an object of these properties."""
    text = declared({"type": "object", "properties": properties})
    assert text.startswith("# Tools\n\n## functions\nnamespace functions {\ntype f = (_: ")
    assert text.endswith(") => any;\n}\n")
    return text.removeprefix("# Tools\n\n## functions\nnamespace functions {\ntype f = (_: ")[: -len(") => any;\n}\n")]


def test_a_whole_declaration():
    search = Tool(
        "search",
        "Searches the web.\n\nReturns ten results.",
        {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What to\nlook for.", "minLength": 1, "maxLength": 99},
                "limit": {"type": "integer", "default": 10, "maximum": 50, "minimum": 1},
                "sites": {"type": "array", "items": {"type": "string"}, "description": "Only these."},
                "exact": {"type": "boolean", "default": False},
            },
            "required": ["query", "limit"],
        },
    )
    done = Tool("done", "", {})
    assert declare([search, done]) == (
        "# Tools\n"
        "\n"
        "## functions\n"
        "namespace functions {\n"
        "// Searches the web.\n"
        "\n"
        "// Returns ten results.\n"
        "type search = (_: {\n"
        "  // maximum: 50, minimum: 1\n"
        "  // Default: 10\n"
        "  limit: number,\n"
        "  // What to\n"
        "  // look for.\n"
        "  // maxLength: 99, minLength: 1\n"
        "  query: string,\n"
        "  // Default: False\n"
        "  exact?: boolean,\n"
        "  // Only these.\n"
        "  sites?: Array<string>\n"
        "}) => any;\n"
        "type done = (_: {}) => any;\n"
        "}\n"
    )


@pytest.mark.parametrize(
    "schema, written",
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "integer", "null", "object", "array"]}, "string | number | null | {} | Array<any>"),
        ({"enum": ["a", 'b"c', None, True, 2]}, '"a" | "b"c" | None | True | 2'),
        ({"type": "string", "enum": ["a", None]}, '"a" | None'),
        ({"type": ["string", "null"], "enum": ["a"]}, '"a"'),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, "string | Array<any>"),
        ({"type": "array"}, "Array<any>"),
        ({"type": "array", "items": {}}, "Array<any>"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, "Array<Array<number>>"),
        ({"type": "object"}, "{}"),
        ({"type": "object", "additionalProperties": True}, "{\n    [k: string]: any\n  }"),
        ({"type": "object", "additionalProperties": False}, "{\n    [k: string]: never\n  }"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "{\n    [k: string]: number\n  }"),
        ({"type": "object", "properties": {"b": {}, "a": {}}}, "{\n    a?: any,\n    b?: any\n  }"),
        ({}, "any"),
        (True, "any"),
        (False, "null"),
    ],
)
def test_types(schema, written):
    assert arguments(x=schema) == f"{{\n  x?: {written}\n}}"


@pytest.mark.parametrize(
    "schema, comment",
    [
        ({"type": "string", "pattern": "^a+$", "format": "date"}, "// pattern: ^a+$"),
        ({"type": "array", "maxItems": 3, "minItems": 1}, "// maxItems: 3, minItems: 1"),
        ({"type": "number", "minimum": -0.5}, "// minimum: -0.5"),
        ({"type": "number", "default": 1.5}, "// Default: 1.5"),
        ({"type": "boolean", "default": True}, "// Default: True"),
        ({"type": "string", "default": "é"}, '// Default: "é"'),
        ({"type": "object", "default": {"b": [1], "a": None}}, '// Default: {"a": null, "b": [1]}'),
        ({"type": "array", "default": []}, "// Default: []"),
        ({"enum": ["a"], "description": "One of:"}, "// One of:"),
        ({"anyOf": [{"type": "string", "description": "unseen"}], "description": "Seen."}, "// Seen."),
    ],
)
def test_comments_above_a_property(schema, comment):
    assert arguments(x=schema).splitlines()[1:-1][:-1] == [f"  {comment}"]


def test_limits_of_other_types_are_not_said():
    assert arguments(x={"type": "boolean", "minimum": 1, "maxLength": 2, "default": None}) == "{\n  x?: boolean\n}"


def test_items_with_a_comment_take_lines_of_their_own():
    items = {"type": "object", "description": "A point.", "properties": {"x": {"type": "number"}}}
    assert arguments(points={"type": "array", "items": items}) == (
        "{\n  points?: Array<\n    // A point.\n    {\n      x?: number\n    }\n  >\n}"
    )


def test_required_stand_first_and_all_are_sorted():
    parameters = {
        "type": "object",
        "properties": {name: {} for name in ("d", "b", "c", "a")},
        "required": ["d", "c", "ghost"],
    }
    assert "{\n  c: any,\n  d: any,\n  a?: any,\n  b?: any\n}" in declared(parameters)


def test_definitions_become_interfaces():
    parameters = {
        "type": "object",
        "$defs": {
            "Point": {"type": "object", "description": "Where.", "properties": {"x": {"type": "number"}}},
            "Name": {"type": "string"},
        },
        "properties": {"at": {"$ref": "#/$defs/Point"}, "all": {"type": "array", "items": {"$ref": "#/$defs/Point"}}},
    }
    assert declared(parameters, "Goes there.") == (
        "# Tools\n\n## functions\nnamespace functions {\n"
        "interface Name string\n"
        "// Where.\n"
        "interface Point {\n  x?: number\n}\n"
        "// Goes there.\n"
        "type f = (_: {\n  all?: Array<Point>,\n  at?: Point\n}) => any;\n}\n"
    )


def test_a_schema_may_refer_to_itself():
    parameters = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#", "description": "The rest."}},
        "required": ["value"],
    }
    assert declared(parameters) == (
        "# Tools\n\n## functions\nnamespace functions {\n"
        "interface parameters {\n  // The rest.\n  next?: parameters,\n  value: number\n}\n"
        "type f = (_: parameters) => any;\n}\n"
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"description": "no type"},
        {"$ref": "#/$defs/Unknown"},
        {"$ref": "https://example.com/schema"},
        {"type": "string", "enum": [1]},
        {"type": "integer", "enum": ["a"]},
        {"type": ["string", "integer"], "enum": ["a"]},
        {"type": ["string", "unknown"]},
        {"type": "object", "additionalProperties": "yes"},
        {"type": "object", "properties": [1]},
        {"type": "object", "required": True},
        {"type": "string", "description": 5},
        "string",
        None,
        3,
    ],
)
def test_what_has_no_typescript_form_is_declared_as_json(schema):
    tool = Tool("f", "é", {"type": "object", "properties": {"x": schema}})
    text = declare([Tool("fine", "", {}), tool])
    assert json.loads(text) == [declaration(Tool("fine", "", {})), declaration(tool)]
    assert text.startswith('[{"function":{"description":"","name":"fine","parameters":{}},"type":"function"},')
    assert "é" in text and ": " not in text


def test_other_kinds_of_tools_are_skipped():
    plugin = {"type": "_plugin", "name": "clock"}
    function = declaration(Tool("f", "", {}))
    assert typescript([plugin, function]) == typescript([function])
    assert typescript([plugin]) is None
    assert typescript([{"type": "function"}]) is None
    assert declare_json([plugin]) == '[{"name":"clock","type":"_plugin"}]'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcxyz", min_size=1, max_size=3)
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "boolean", "null"])},
        optional={"description": st.text(max_size=5), "default": JSON, "minimum": st.integers()},
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array")}, optional={"items": inner})
        | st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, max_size=3)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
    ),
    max_leaves=6,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(inner) for inner in value] if isinstance(value, list) else value


@given(st.dictionaries(NAMES, SCHEMAS, max_size=4))
def test_the_order_of_keys_changes_nothing(properties):
    parameters = {"type": "object", "properties": properties}
    assert declared(parameters) == declared(reversed_keys(parameters))
    assert declared(parameters).startswith("# Tools")


@given(JSON)
def test_any_json_declares_somehow(parameters):
    text = declared(parameters)
    assert text.startswith("# Tools") or json.loads(text)[0]["function"]["parameters"] == parameters


# --- the released encoder


def golden() -> dict:
    return json.loads((Path(__file__).parents[1] / "golden" / "typescript.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", sorted(golden()))
def test_declarations_are_those_of_the_released_encoder(case):
    """Pairs that the released encoder made: tests/golden/README.md."""
    assert declare_json(golden()[case]["tools"]) == golden()[case]["typescript"]


@pytest.fixture(scope="session")
def released_encoder():
    """tinker-cookbook 0.6.1's copy of it: one file that needs nothing of the package around it."""
    spec = importlib.util.find_spec("tinker_cookbook")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs tinker-cookbook")
    path = Path(spec.submodule_search_locations[0]) / "renderers" / "kimi_k2_5_tool_declaration_ts.py"
    file = importlib.util.spec_from_file_location("released_tool_declaration", path)
    assert file is not None and file.loader is not None
    module = importlib.util.module_from_spec(file)
    sys.modules[file.name] = module  # its dataclasses look themselves up there
    file.loader.exec_module(module)
    return module.encode_tools_to_typescript_style


def encoded(encoder, tools):
    """What the released tokenizer makes of tools: None where it falls back to JSON."""
    try:
        return encoder(in_order(tools)) or None
    except Exception:  # any: the released tokenizer catches them all
        return None


def in_order(value):
    if isinstance(value, dict):
        return {key: in_order(inner) for key, inner in sorted(value.items())}
    return [in_order(inner) for inner in value] if isinstance(value, list) else value


SAID = {"description": st.text("ab \n\t/*é", max_size=6), "default": JSON}
KINDS = ("string", "number", "integer", "boolean", "null", "object", "array")
LEAVES = st.one_of(
    st.just({}),
    st.booleans(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional=SAID
        | {name: st.integers(-2, 9) | st.floats(-1, 1) for name in ("minimum", "maximum", "minLength", "maxLength")}
        | {"pattern": st.text("^a$", max_size=3)},
    ),
    st.fixed_dictionaries(
        {"enum": st.lists(st.text("ab", max_size=2) | st.integers(0, 3) | st.booleans() | st.none(), max_size=3)},
        optional=SAID | {"type": st.sampled_from(KINDS)},
    ),
    st.fixed_dictionaries({"type": st.lists(st.sampled_from(KINDS), max_size=3)}, optional=SAID),
    st.fixed_dictionaries({"$ref": st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/elsewhere"])}, optional=SAID),
)


def objects(inner):
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional=SAID
        | {
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2),
            "additionalProperties": st.booleans() | inner,
            "$defs": st.dictionaries(st.sampled_from(["A", "B"]), inner, max_size=2),
        },
    )


def nested(inner):
    limits = {"minItems": st.integers(0, 2), "maxItems": st.integers(0, 5)}
    return (
        objects(inner)
        | st.fixed_dictionaries({"type": st.just("array")}, optional=SAID | limits | {"items": inner})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)}, optional=SAID)
    )


ANY_SCHEMA = st.recursive(LEAVES, nested, max_leaves=8)
FUNCTIONS = st.fixed_dictionaries(
    {}, optional={"name": NAMES, "description": st.text("ab \n", max_size=6), "parameters": objects(ANY_SCHEMA)}
)
TOOLS = st.lists(
    st.builds(lambda kind, function: {"type": kind, "function": function}, st.just("function"), FUNCTIONS)
    | st.just({"type": "_plugin", "name": "clock"}),
    max_size=3,
)


@pytest.mark.parity
@pytest.mark.slow
@settings(max_examples=1500)
@given(TOOLS)
def test_any_declaration_is_that_of_the_released_encoder(released_encoder, tools):
    assert typescript(in_order(tools)) == encoded(released_encoder, tools)


@pytest.mark.parity
@pytest.mark.slow
@given(JSON)
def test_any_json_is_read_as_the_released_encoder_reads_it(released_encoder, parameters):
    tools = [{"type": "function", "function": {"name": "f", "description": "", "parameters": parameters}}]
    assert typescript(in_order(tools)) == encoded(released_encoder, tools)


@pytest.mark.parity
@pytest.mark.slow
def test_the_golden_declarations_are_still_those_of_the_released_encoder(released_encoder):
    for pair in golden().values():
        assert encoded(released_encoder, pair["tools"]) == pair["typescript"]
