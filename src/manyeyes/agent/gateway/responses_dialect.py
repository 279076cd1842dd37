"""OpenAI's responses.

    POST responses

Stateless: the whole conversation comes with each request, as the agents SDK sends it.

Report: none; the form is that of the OpenAI API reference.
"""

from manyeyes.agent.gateway.dialect import Answer, Ask, Json, Voice
from manyeyes.agent.gateway.responses_items import Shell, output_of
from manyeyes.agent.gateway.responses_voice import ResponsesVoice
from manyeyes.agent.gateway.responses_wire import ResponsesRequest, chat_of
from manyeyes.inference.serve_errors import ApiError, encoded
from manyeyes.inference.serve_wire import read

REQUEST = "request"


class ResponsesDialect:
    """See the module."""

    name = "responses"
    ping = b": still waiting\n\n"

    def read(self, body: bytes) -> Ask:
        """See `Dialect`."""
        request = read(body, ResponsesRequest)
        return Ask(bool(request.stream), request.model, chat_of(request), usage=True, extra={REQUEST: request})

    def whole(self, ask: Ask, answer: Answer, id: str) -> bytes:
        """See `Dialect`."""
        choice = answer.choice
        status = "incomplete" if choice["finish_reason"] == "length" else "completed"
        logprobs = ((choice.get("logprobs") or {}).get("content")) or []
        output = output_of(choice["message"], logprobs, id, status)
        return encoded(Shell(id, ask.extra[REQUEST]).response(status, output, answer.usage))

    def voice(self, ask: Ask, id: str) -> Voice:
        """See `Dialect`."""
        return ResponsesVoice(Shell(id, ask.extra[REQUEST]))

    def error(self, error: ApiError) -> Json:
        """See `Dialect`."""
        return error.body

    def error_event(self, error: ApiError) -> bytes:
        """See `Dialect`."""
        said = error.body["error"]
        body = {"type": "error", "sequence_number": 0, "code": said["code"], "message": said["message"], "param": None}
        return b"event: error\ndata: " + encoded(body) + b"\n\n"
