"""A mock OpenAI-compatible endpoint of fixed latency in a process of its own, as light as it can be made.

The answer follows from a marker in the system prompt (swarm_peers/case.py) and from how many answers the conversation
holds already, so it is the same for every system. A streamed answer's first event leaves at half of the latency, the
rest at its end; one that is not streamed leaves at its end.

    python benchmarks/swarm_mock.py --latency 0.2 --agents 1000     prints its URL, serves until standard input ends

    GET /stats    calls, answers, most in flight, when sub-agents first asked; counting begins anew
"""

import argparse
import asyncio
import base64
import json
import re
import resource
import sys
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import uvloop

MARKER = re.compile(rb"\[\[mock ([A-Za-z0-9+/=]+)\]\]")
ANSWER = re.compile(rb'"role": ?"assistant"')
STREAM = re.compile(rb'"stream": ?true')
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
WHOLE = {"id": "c", "object": "chat.completion", "created": 0, "model": "mock"}
PIECE = WHOLE | {"object": "chat.completion.chunk"}


@dataclass
class Stats:
    """What happened since the last question.

    Attributes:
        calls: requests for an answer; `answers`: complete ones that were sent; `strange`: requests without a marker.
        assigned: when the first answer of an orchestrator had been written; `begun`: when each sub-agent first asked.
        reported: results of sub-agents that stand in an orchestrator's last request.
    """

    calls: int = 0
    answers: int = 0
    strange: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    connections: int = 0
    reported: int = 0
    assigned: float = 0.0
    begun: list[float] = field(default_factory=list)
    cpu: float = field(default_factory=time.process_time)

    def told(self) -> dict[str, Any]:
        """As JSON: `cpu` is the endpoint's own since then, `begun` seconds after the orchestrator's answer."""
        begun = sorted(round(moment - self.assigned, 4) for moment in self.begun)
        return vars(self) | {"begun": begun, "cpu": time.process_time() - self.cpu}


class Server:
    """What all connections share."""

    def __init__(self, latency: float) -> None:
        self.latency, self.stats, self.loop = latency, Stats(), asyncio.get_running_loop()

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
        if head.startswith(b"GET /stats"):
            self.transport.write(_plain(self.server.taken()))
            return
        stats, marker = self.server.stats, MARKER.search(body)
        stats.calls += 1
        if marker is None:
            stats.strange += 1
            self.transport.write(_plain(b'{"error":{"message":"no marker"}}', b"400 Bad Request"))
            return
        stats.in_flight += 1
        stats.most_in_flight = max(stats.most_in_flight, stats.in_flight)
        turn, script = len(ANSWER.findall(body)), script_of(marker[1])
        if script["role"] == "finder" and turn == 0:
            stats.begun.append(time.perf_counter())
        if script["role"] == "orchestrator" and turn > 0:
            stats.reported += body.count(b"found it")
        first, rest = pieces_of(marker[1], turn, bool(STREAM.search(body)))
        if first:
            self.server.loop.call_later(self.server.latency / 2, self._write, first)
        assigns = script["role"] == "orchestrator" and turn == 0
        self.server.loop.call_later(self.server.latency, self._end, rest, assigns)

    def _write(self, content: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(content)

    def _end(self, content: bytes, assigns: bool) -> None:
        stats = self.server.stats
        stats.in_flight -= 1
        if not self.transport.is_closing():
            self.transport.write(content)
            stats.answers += 1
        if assigns:
            stats.assigned = time.perf_counter()


@lru_cache(64)
def script_of(marker: bytes) -> dict[str, Any]:
    """The script that a system prompt holds."""
    return json.loads(base64.b64decode(marker))


@lru_cache(1024)
def pieces_of(marker: bytes, turn: int, stream: bool) -> tuple[bytes, bytes]:
    """The answer to a conversation that holds `turn` answers, as bytes: what leaves at half time, and the rest."""
    message = answer_of(script_of(marker), turn)
    stop = "tool_calls" if message["tool_calls"] else "stop"
    if not stream:
        message = {name: value for name, value in message.items() if value != []}
        whole = WHOLE | {"choices": [{"index": 0, "message": message, "finish_reason": stop}], "usage": USAGE}
        return b"", _plain(json.dumps(whole).encode())
    deltas = [{"role": "assistant", "content": ""}, *_deltas(message)]
    events: list[dict[str, Any]] = []
    events += [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": stop}]})
    events.append({"choices": [], "usage": USAGE})
    lines = [_chunk(b"data: " + json.dumps(PIECE | event).encode() + b"\n\n") for event in events]
    lines.append(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + lines[0], b"".join(lines[1:])


def answer_of(script: dict[str, Any], turn: int) -> dict[str, Any]:
    """The assistant's message."""
    if script["role"] == "finder":
        calls = [_call(script["call"], turn)] if turn < script["steps"] else []
        text = "" if calls else "found it"
    else:
        each = [_call(script["call"], i) for i in range(script["agents"])] if turn == 0 else []
        calls = [_call(call, script["agents"] + i) for i, call in enumerate(script["first"])] + each if each else []
        text = "" if calls else "merged"
    if not calls and script["end"] is not None:
        calls, text = [_call(script["end"], turn)], ""
    return {"role": "assistant", "content": text, "tool_calls": calls}


def _call(call: dict[str, Any], number: int) -> dict[str, Any]:
    name, arguments = call["name"].replace("{i}", str(number)), json.dumps(call["arguments"])
    function = {"name": name, "arguments": arguments.replace("{i}", str(number))}
    return {"id": f"{name}-{number}", "type": "function", "function": function}


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Text in halves, each call in two pieces."""
    text, calls = message["content"], message["tool_calls"]
    half = len(text) // 2
    deltas: list[dict[str, Any]] = [{"content": piece} for piece in (text[:half], text[half:]) if piece]
    for index, call in enumerate(calls):
        begin = call | {"index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        deltas.append({"tool_calls": [begin]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": call["function"]["arguments"]}}]})
    return deltas


def _plain(content: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(content))
    return head + content


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


async def serve(latency: float, agents: int) -> None:
    """Serve until standard input ends; the URL goes to standard output."""
    server = Server(latency)
    backlog = max(128, 2 * agents)
    listening = await server.loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=backlog)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Runs the endpoint from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--agents", type=int, default=1000)
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(serve(asked.latency, asked.agents))


if __name__ == "__main__":
    main()
