"""Requests of the OpenAI API as records: types and ranges are checked as bytes are read; unknown fields are ignored.

Report: none; the fields are those of the OpenAI API reference, `reasoning_content` and `thinking` are Moonshot's,
`top_k`, `min_p`, `chat_template_kwargs` and `add_special_tokens` vLLM's.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from manyeyes.inference.serve_errors import ApiError, bad

MOST_CHOICES = 16
Wire = TypeVar("Wire")
Choices: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_CHOICES)]
Temperature: TypeAlias = Annotated[float, Meta(ge=0.0, le=2.0)]
TopP: TypeAlias = Annotated[float, Meta(gt=0.0, le=1.0)]
TopK: TypeAlias = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
MinP: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Seed: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
StopText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1000)]
Stops: TypeAlias = Annotated[list[StopText], Meta(max_length=4)]
Token: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Url(Struct):
    """Where a picture or film is: a data URL."""

    url: str


class TextPiece(Struct, tag="text"):
    """A stretch of text."""

    text: str


class RefusalPiece(Struct, tag="refusal"):
    """What an assistant said instead of an answer."""

    refusal: str


class ImagePiece(Struct, tag="image_url"):
    """A picture."""

    image_url: Url | str


class VideoPiece(Struct, tag="video_url"):
    """A film."""

    video_url: Url | str


Piece: TypeAlias = TextPiece | RefusalPiece | ImagePiece | VideoPiece


class CalledFunction(Struct):
    """What a call names."""

    name: str
    arguments: str


class Called(Struct):
    """A call that an assistant made."""

    id: str
    function: CalledFunction


class ChatMessage(Struct):
    """A message of any role."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Piece] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None


class Function(Struct):
    """A function that may be called."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolSpec(Struct):
    """A tool; functions are all there are."""

    type: Literal["function"]
    function: Function


class Named(Struct):
    """A name."""

    name: str


class NamedChoice(Struct):
    """The function that is to be called."""

    type: Literal["function"]
    function: Named


class JsonSchema(Struct):
    """A schema with a name."""

    name: str
    schema: dict[str, Any] | None = None


class ResponseFormat(Struct):
    """What the text has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct):
    """Of a stream."""

    include_usage: bool | None = None


class Thinking(Struct):
    """Moonshot's switch."""

    type: Literal["enabled", "disabled"]


class TemplateSwitches(Struct):
    """Of the chat template."""

    thinking: bool | None = None


class Sampling(Struct, kw_only=True):
    """Fields that both endpoints have."""

    model: str
    n: Choices | None = None
    seed: Seed | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    max_tokens: Count | None = None
    stop: StopText | Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logit_bias: dict[str, float] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class ChatRequest(Sampling, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    tools: Annotated[list[ToolSpec], Meta(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    thinking: Thinking | None = None
    chat_template_kwargs: TemplateSwitches | None = None
    functions: Any = None
    function_call: Any = None


class CompletionRequest(Sampling, kw_only=True):
    """`POST /v1/completions`; `prompt` is looked at by hand: a union of lists cannot be told apart by its type."""

    prompt: Any
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None
    add_special_tokens: bool | None = None


def read(content: bytes, kind: type[Wire]) -> Wire:
    """A request of that kind.

    Raises:
        ApiError: what is wrong, and with which field.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        param = re.sub(r"^\$\.?", "", path.rstrip("`")) or _missing(message)
        raise bad(f"{message}, at {param}" if param else message, param) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad(f"the body is no JSON: {error}") from None
    except RecursionError:
        raise bad("the body nests too deep") from None


def check_common(request: Sampling, *, model: str) -> None:
    """Raises ApiError for a model that is not served, and for what would change the meaning of `logprobs`."""
    if request.model != model:
        raise ApiError(404, f"no model {request.model[:80]!r} here; it serves {model!r}", param="model",
                       code="model_not_found")  # fmt: skip
    if request.stream_options is not None and not request.stream:
        raise bad("stream_options goes with stream: true only", "stream_options")
    for name in ("logit_bias", "frequency_penalty", "presence_penalty"):
        if getattr(request, name):
            raise bad(f"{name} is not supported: log-probabilities here are of the model's own distribution", name)


def _missing(message: str) -> str | None:
    found = re.search(r"missing required field `(\w+)`", message)
    return found[1] if found else None
