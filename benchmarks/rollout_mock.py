"""A mock of an inference server with fixed latency in a process of its own, as light as it can be made.

Two dialects, the same canned turn of `--tokens` ids with log-probabilities:

    POST /generate               the token API of `manyeyes serve`: lines of JSON, in `--pieces`, then the whole
    POST /v1/chat/completions    OpenAI's, with token ids as vLLM gives them; server-sent events where asked for
    GET  /stats                  calls, answers, most in flight, own CPU; counting begins anew

    python benchmarks/rollout_mock.py --latency 0.05      prints its URL, serves until standard input ends
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

STREAM = re.compile(rb'"stream": ?true')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
FIRST_ID = 1000
WORDS = " said"
LOGPROB = -0.6931471824645996


@dataclass
class Stats:
    """What happened since the last question.

    Attributes:
        calls: requests for a turn; `answers`: complete ones that were sent; `strange`: other requests.
    """

    calls: int = 0
    answers: int = 0
    strange: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    cpu: float = field(default_factory=time.process_time)

    def told(self) -> dict[str, Any]:
        """As JSON; `cpu` is the server's own since then."""
        return vars(self) | {"cpu": time.process_time() - self.cpu}


class Answers:
    """The canned turn in every form, made once."""

    def __init__(self, tokens: int, pieces: int) -> None:
        ids = list(range(FIRST_ID, FIRST_ID + tokens))
        self.generate = _chunked("application/x-ndjson", _lines(ids, pieces))
        self.chat, self.stream = _plain(json.dumps(_chat(ids)).encode()), _chunked("text/event-stream", _events(ids))


class Server:
    """What all connections share."""

    def __init__(self, latency: float, answers: Answers) -> None:
        self.latency, self.answers = latency, answers
        self.stats, self.loop = Stats(), asyncio.get_running_loop()

    def taken(self) -> bytes:
        """What was counted; in-flight requests stay."""
        told = json.dumps(self.stats.told()).encode()
        self.stats = Stats(in_flight=self.stats.in_flight)
        return told


class Connection(asyncio.Protocol):
    """One client's connection; requests come one after the other."""

    def __init__(self, server: Server) -> None:
        self.server, self.data = server, b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.stats.connections += 1

    def data_received(self, data: bytes) -> None:
        self.data = self.data + data if self.data else data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        length = LENGTH.search(head)
        wanted = int(length[1]) if length else 0
        if len(body) >= wanted:
            self.data = body[wanted:]
            self._answer(head, body[:wanted])

    def _answer(self, head: bytes, body: bytes) -> None:
        answers, stats = self.server.answers, self.server.stats
        if head.startswith(b"GET /stats"):
            self.transport.write(_plain(self.server.taken()))
            return
        if head.startswith(b"POST /generate "):
            said = answers.generate
        elif head.startswith(b"POST /v1/chat/completions "):
            said = answers.stream if STREAM.search(body) else answers.chat
        else:
            stats.strange += 1
            self.transport.write(_plain(b'{"error":{"message":"no such route"}}', b"404 Not Found"))
            return
        stats.calls += 1
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        self.server.loop.call_later(self.server.latency, self._end, said)

    def _end(self, content: bytes) -> None:
        stats = self.server.stats
        stats.in_flight -= 1
        if not self.transport.is_closing():
            self.transport.write(content)
            stats.answers += 1


def _lines(ids: list[int], pieces: int) -> list[bytes]:
    """A turn as the token API streams it."""
    logprobs, versions, each = [LOGPROB] * len(ids), [0] * len(ids), -(-len(ids) // pieces)
    lines: list[dict[str, Any]] = [
        {"ids": ids[at : at + each], "logprobs": logprobs[at : at + each], "versions": versions[at : at + each]}
        for at in range(0, len(ids), each)
    ]
    usage = {"prompt": 32, "cached": 0, "completion": len(ids)}
    whole = {"request_id": "r", "ids": ids, "logprobs": logprobs, "versions": versions, "stop": "length"}
    lines.append(whole | {"logprob_kind": "sampled", "top": [], "usage": usage, "seconds": 0.1, "done": True})
    return [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines]


def _chat(ids: list[int]) -> dict[str, Any]:
    """A turn as vLLM's chat route gives it."""
    content = [{"token": WORDS, "logprob": LOGPROB, "bytes": list(WORDS.encode()), "top_logprobs": []} for _ in ids]
    choice = {
        "index": 0, "message": {"role": "assistant", "content": WORDS * len(ids)}, "finish_reason": "stop",
        "logprobs": {"content": content}, "token_ids": ids,
    }  # fmt: skip
    usage = {"prompt_tokens": 32, "completion_tokens": len(ids), "total_tokens": 32 + len(ids)}
    about = {"id": "c", "object": "chat.completion", "created": 0, "model": "mock"}
    return about | {"choices": [choice], "usage": usage, "prompt_token_ids": list(range(32))}


def _events(ids: list[int]) -> list[bytes]:
    """The same as server-sent events: two halves, the end, the usage."""
    whole, half = _chat(ids), len(ids) // 2
    choice, about = whole["choices"][0], {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "mock"}
    events: list[dict[str, Any]] = []
    for first, last in ((0, half), (half, len(ids))):
        delta = {"role": "assistant", "content": WORDS * (last - first)}
        told = {"logprobs": {"content": choice["logprobs"]["content"][first:last]}, "token_ids": ids[first:last]}
        events.append({"choices": [{"index": 0, "delta": delta, "finish_reason": None} | told]})
    events[0]["prompt_token_ids"] = whole["prompt_token_ids"]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({"choices": [], "usage": whole["usage"]})
    return [b"data: " + json.dumps(about | event).encode() + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def _plain(content: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(content))
    return head + content


def _chunked(kind: str, pieces: list[bytes]) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def serve(latency: float, answers: Answers) -> None:
    """Serve until standard input ends; the URL goes to standard output."""
    server = Server(latency, answers)
    listening = await server.loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=20_000)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await server.loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Runs the server from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--pieces", type=int, default=1)
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(serve(asked.latency, Answers(asked.tokens, asked.pieces)))


if __name__ == "__main__":
    main()
