"""The grammar of an assistant turn: thoughts, then text or JSON or tool calls whose arguments fit their schemas.

    turn      := [thought </think>] ( text | JSON ) [calls]      calls may be asked for, or forbidden
    calls     := <|tool_calls_section_begin|> call_k [call_k+1 ...] <|tool_calls_section_end|>
    call_i    := <|tool_call_begin|> functions.NAME:i <|tool_call_argument_begin|> JSON <|tool_call_end|>

Calls are numbered through the conversation, as the released template numbers them.

Report: App. D (tool use); the marks are those of the released chat template.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from manyeyes.core.tokenizer import Tokenizer

Schema = Mapping[str, Any]
Calls = Literal["none", "may", "must"]

MOST_CALLS = 16
"""In one constrained turn."""
ANY_OBJECT: Schema = {"type": "object"}
# One space at most after a comma or colon: white space without end would be a way to never finish.
TIGHT = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}
LOOSE = {"whitespace_pattern": r"[ \n\t]{0,20}"}
TEXT = r"TEXT: /(.|\n)+/"


@dataclass(frozen=True, slots=True)
class TurnShape:
    """What a turn may be.

    Attributes:
        thinking: it begins inside a thought.
        answer: schema of the text where that must be JSON; None for any text.
        tools: functions that may be called, and the schema of their arguments.
        calls: whether it may or must call.
        most_calls: at most so many.
        first_call: number of the first one.
    """

    thinking: bool = True
    answer: Schema | None = None
    tools: tuple[tuple[str, Schema], ...] = ()
    calls: Calls = "none"
    most_calls: int = MOST_CALLS
    first_call: int = 0


def turn_grammar(shape: TurnShape, tokenizer: Tokenizer) -> str:
    """A turn, up to its end, in Lark.

    Example:
        >>> tokenizer = Tokenizer(bytes([b]) for b in range(256))
        >>> print(turn_grammar(TurnShape(thinking=False), tokenizer))
        start: body
        body: TEXT?
        TEXT: /(.|\\n)+/
    """
    rules = [f"start: {'TEXT? ' + _mark(tokenizer.end_think) + ' ' if shape.thinking else ''}body"]
    rules.append(f"body: {_body(shape)}")
    if shape.answer is not None:
        rules.append(f"answer: {_json(shape.answer, LOOSE)}")
    if shape.calls != "none":
        rules += _call_rules(shape, tokenizer)
    return "\n".join([*rules, TEXT])


def json_grammar(schema: Schema) -> str:
    """JSON of a schema and nothing else."""
    return f"start: {_json(schema, LOOSE)}"


def _body(shape: TurnShape) -> str:
    if shape.calls == "must":
        return "calls"
    if shape.answer is not None:
        return "answer" if shape.calls == "none" else "answer | calls"
    return "TEXT?" if shape.calls == "none" else "TEXT? calls?"


def _call_rules(shape: TurnShape, tokenizer: Tokenizer) -> list[str]:
    """Each call may be followed by the next one, so that numbers count up."""
    rules = [f"calls: {_mark(tokenizer.calls_begin)} call_0 {_mark(tokenizer.calls_end)}"]
    for place in range(shape.most_calls):
        more = f" call_{place + 1}?" if place + 1 < shape.most_calls else ""
        names = [
            f"{json.dumps(f'functions.{name}:{shape.first_call + place}')} {_mark(tokenizer.call_argument_begin)} "
            f"arguments_{number}"
            for number, (name, _) in enumerate(shape.tools)
        ]
        begin, end = _mark(tokenizer.call_begin), _mark(tokenizer.call_end)
        rules.append(f"call_{place}: {begin} ({' | '.join(names)}) {end}{more}")
    arguments = (f"arguments_{number}: {_json(schema, TIGHT)}" for number, (_, schema) in enumerate(shape.tools))
    return [*rules, *arguments]


def _mark(token: int) -> str:
    return f"<[{token}]>"


def _json(schema: Schema, spaces: Mapping[str, Any]) -> str:
    # Ours stands last: a schema that brings options of its own for the library must not loosen anything.
    return f"%json {json.dumps({**schema, 'x-guidance': spaces})}"


def arguments_schema(parameters: Schema) -> Schema:
    """The schema of a function's arguments, which are always an object."""
    return parameters if "type" in parameters else {**parameters, **ANY_OBJECT}
