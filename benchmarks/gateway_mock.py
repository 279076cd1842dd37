"""The endpoint behind the gateways of `gateway.py`: one process, canned answers with token ids and log-probabilities.

    POST /v1/chat/completions     whole or streamed; 64 tokens, ids of the prompt and the answer, log-probabilities
    POST /generate                the same tokens by the token API, in one line
    GET  /stats                   calls since the last question
    GET  /health                  200

What it says follows from the request alone, so a probe can tell whose answer it got: token ids begin with the number
after "#" in the last message. "slow" in that message makes it take SLOW_SECONDS. A picture is PICTURE_TOKENS times PAD
in the ids of the prompt.
"""

import argparse
import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import uvloop
from aiohttp import web

from manyeyes.core.tokenizer import Tokenizer

TOKENS = 64
STOP = 1794
"""<|im_end|> of the tiny vocabulary."""
SLOW_SECONDS = 1.0
SHORT = 64
"""Tokens of a prompt that is looked at for "slow"; those of the load are longer."""
TINY = Tokenizer.tiny()
NUMBER = re.compile(r"#(\d+)")
PROMPT_BASE = 1000
PAD, PICTURE_TOKENS = 1813, 4
"""Of the vocabulary and rules that `manyeyes_gateway.py` cuts the probe's picture with."""
ENCODE = msgspec.json.Encoder().encode


class Mock:
    """See the module."""

    def __init__(self) -> None:
        self.calls = 0
        self.cut = 0
        self._kept: dict[tuple[int, int], bytes] = {}

    async def chat(self, http: web.Request) -> web.StreamResponse:
        """An answer."""
        self.calls += 1
        asked = msgspec.json.decode(await http.read())
        text = ENCODE(asked["messages"][-1]).decode()
        number = int(found[1]) if (found := NUMBER.search(text)) else 0
        try:
            if "slow" in text:
                await asyncio.sleep(SLOW_SECONDS)
        except asyncio.CancelledError:
            self.cut += 1
            raise
        if asked.get("stream"):
            return await self._streamed(http, number, asked)
        key = number, len(asked["messages"])
        if key not in self._kept or asked.get("tools"):
            self._kept[key] = ENCODE(whole(number, asked))
        return web.Response(body=self._kept[key], content_type="application/json")

    async def _streamed(self, http: web.Request, number: int, asked: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http)
        for chunk in pieces(number, asked):
            await response.write(b"data: " + ENCODE(chunk) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def generate(self, http: web.Request) -> web.Response:
        """An answer of the token API."""
        self.calls += 1
        asked = msgspec.json.decode(await http.read())
        if len(asked["ids"]) < SHORT and "slow" in TINY.decode(asked["ids"]):
            await asyncio.sleep(SLOW_SECONDS)
        said = [TINY.end_think, *range(100, 100 + TOKENS - 2), STOP]
        line = {
            "done": True, "ids": said, "versions": [0] * TOKENS, "stop": "stop",
            "logprobs": [logprob(token) for token in said],
            "usage": {"prompt": len(asked["ids"]), "cached": 0, "completion": TOKENS},
        }  # fmt: skip
        return web.Response(body=ENCODE(line) + b"\n", content_type="application/x-ndjson")

    async def health(self, http: web.Request) -> web.Response:
        """It is well."""
        return web.json_response({"status": "ok"})

    async def stats(self, http: web.Request) -> web.Response:
        """Counts, which begin anew."""
        calls, cut, self.calls, self.cut = self.calls, self.cut, 0, 0
        return web.json_response({"calls": calls, "cut": cut})


def ids(number: int) -> list[int]:
    """Of an answer: the number it is known by, then fillers."""
    return [number, *range(100, 100 + TOKENS - 1)]


def prompt_ids(messages: Sequence[Any]) -> list[int]:
    """Of a prompt: grows with the conversation, an assistant's message being what was sampled."""
    out: list[int] = []
    for message in messages:
        text = message.get("content") or ""
        if not isinstance(text, str):
            out += [PAD] * PICTURE_TOKENS * sum(part["type"] == "image_url" for part in text)
            text = ENCODE(text).decode()
        found = NUMBER.search(text)
        number = int(found[1]) if found else 0
        out += ids(number) if message["role"] == "assistant" else [PROMPT_BASE + number] * 16
    return out


def logprob(token: int) -> float:
    """Of a token."""
    return -0.001 * (token % 100) - 0.001


def logprobs(number: int) -> list[dict[str, Any]]:
    """One for each token."""
    return [{"token": f"t{i}", "logprob": logprob(i), "bytes": None, "top_logprobs": []} for i in ids(number)]


def said(number: int, asked: dict[str, Any]) -> dict[str, Any]:
    """The message: text, a thought where the model is asked for one, a call where tools are offered."""
    message: dict[str, Any] = {"role": "assistant", "content": f"#{number} " + "word " * 20}
    if "think" in ENCODE(asked["messages"][-1]).decode():
        message["reasoning_content"] = f"thought {number}"
    if asked.get("tools"):
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": '{"x": 1}'}
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    return message


def envelope(kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    """What stands around choices."""
    return {"id": "chatcmpl-mock", "object": kind, "created": 1, "model": asked.get("model", "m")}


def usage(asked: dict[str, Any]) -> dict[str, int]:
    """Tokens."""
    prompt = len(prompt_ids(asked["messages"]))
    return {"prompt_tokens": prompt, "completion_tokens": TOKENS, "total_tokens": prompt + TOKENS}


def whole(number: int, asked: dict[str, Any]) -> dict[str, Any]:
    """An answer in one piece."""
    message = said(number, asked)
    choice = {
        "index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop",
        "logprobs": {"content": logprobs(number)}, "token_ids": ids(number),
    }  # fmt: skip
    told = {"choices": [choice], "usage": usage(asked), "prompt_token_ids": prompt_ids(asked["messages"])}
    return envelope("chat.completion", asked) | told


def pieces(number: int, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """An answer in pieces, eight tokens each."""
    message, around = said(number, asked), envelope("chat.completion.chunk", asked)
    first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    chunks = [around | {"choices": [first], "prompt_token_ids": prompt_ids(asked["messages"])}]
    every, told = ids(number), logprobs(number)
    words = message["content"].split(" ")
    for at in range(0, TOKENS, 8):
        delta: dict[str, Any] = {"content": " ".join(words[at // 2 : at // 2 + 4]) + " "}
        if at == 0 and "reasoning_content" in message:
            delta["reasoning_content"] = message["reasoning_content"]
        if at + 8 == TOKENS and "tool_calls" in message:
            delta["tool_calls"] = [{"index": 0, **call} for call in message["tool_calls"]]
        end = "tool_calls" if "tool_calls" in message else "stop"
        choice = {
            "index": 0, "delta": delta, "finish_reason": end if at + 8 == TOKENS else None,
            "token_ids": every[at : at + 8], "logprobs": {"content": told[at : at + 8]},
        }  # fmt: skip
        chunks.append(around | {"choices": [choice]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks.append(around | {"choices": [], "usage": usage(asked)})
    return chunks


async def serve(port: int) -> None:
    """Listen until the process is killed."""
    mock = Mock()
    app = web.Application(client_max_size=2**26)
    app.add_routes([
        web.post("/v1/chat/completions", mock.chat), web.post("/generate", mock.generate),
        web.get("/stats", mock.stats), web.get("/health", mock.health),
    ])  # fmt: skip
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Runs the mock from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
