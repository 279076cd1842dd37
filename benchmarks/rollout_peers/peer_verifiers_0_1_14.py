"""verifiers 0.1.14: a `MultiTurnEnv`, whose rollouts are coroutines of one process.

Over HTTP it samples through its own client (`openai_chat_completions`, which keeps ids and log-probabilities) with
the pool of connections that it makes. With the option "stub" that client answers without HTTP: the response is parsed
anew for each turn, but nothing is sent; what remains is the cost of the environment's loop.
"""

import asyncio
import json
import os
from typing import Any

import verifiers as vf
from datasets import Dataset
from measured import KEY, Case, Told, measure
from openai.types.chat import ChatCompletion
from verifiers.clients import OpenAIChatCompletionsClient, resolve_client
from verifiers.types import ClientConfig

os.environ["MOCK_KEY"] = KEY
OBSERVED = "what a tool has found, " * 4
SAMPLING = {"logprobs": True, "extra_body": {"return_token_ids": True}}


class SlowTool(vf.MultiTurnEnv):
    """An environment whose tool takes its time."""

    def __init__(self, case: Case) -> None:
        async def done(state: Any) -> float:
            return 1.0

        asked = Dataset.from_list([{"prompt": [{"role": "user", "content": "Find it."}], "answer": ""}])
        super().__init__(max_turns=case.turns, dataset=asked, rubric=vf.Rubric(funcs=[done]))
        self._delay = case.delays()

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        """What the tool found."""
        await asyncio.sleep(self._delay())
        return [vf.UserMessage(content=OBSERVED)]


class Stub(OpenAIChatCompletionsClient):
    """Its client without HTTP."""

    def __init__(self, config: ClientConfig, answer: str) -> None:
        super().__init__(config)
        self._answer = answer

    async def get_native_response(self, *args: Any, **kwargs: Any) -> Any:
        """The canned turn, parsed anew."""
        await asyncio.sleep(0.05)
        return ChatCompletion.model_validate(json.loads(self._answer))


async def rollouts(case: Case) -> Told:
    """One run; all states are kept until its end."""
    environment = SlowTool(case)
    config = ClientConfig(api_base_url=f"{case.url}/v1", api_key_var="MOCK_KEY")
    client = Stub(config, canned(case.tokens)) if "stub" in case.options else resolve_client(config)
    asked = [
        {"prompt": [{"role": "user", "content": "Find it."}], "example_id": number, "answer": ""}
        for number in range(case.tasks)
    ]
    found = await asyncio.gather(*(environment.rollout(one, client, "mock", dict(SAMPLING)) for one in asked))
    return lambda: told(case, found)


def told(case: Case, found: list[Any]) -> dict[str, Any]:
    """What came out."""
    errors = {repr(state["error"])[:200] for state in found if state.get("error") is not None}
    good = [state for state in found if state.get("error") is None and _right(state, case)]
    turns = sum(len(state["trajectory"]) for state in found)
    return {"finished": len(good), "turns": turns, "errors": sorted(errors)[:3]}


def _right(state: Any, case: Case) -> bool:
    steps = state["trajectory"]
    return len(steps) == case.turns and all(len(step["tokens"]["completion_ids"]) == case.tokens for step in steps)


def canned(tokens: int) -> str:
    """The turn that the mock server gives."""
    content = [{"token": " said", "logprob": -0.69, "bytes": None, "top_logprobs": []} for _ in range(tokens)]
    choice = {
        "index": 0, "message": {"role": "assistant", "content": " said" * tokens}, "finish_reason": "stop",
        "logprobs": {"content": content}, "token_ids": list(range(1000, 1000 + tokens)),
    }  # fmt: skip
    usage = {"prompt_tokens": 32, "completion_tokens": tokens, "total_tokens": 32 + tokens}
    about = {"id": "c", "object": "chat.completion", "created": 0, "model": "mock", "choices": [choice]}
    return json.dumps(about | {"usage": usage, "prompt_token_ids": list(range(32))})


if __name__ == "__main__":
    measure(rollouts, ["verifiers", "openai", "httpx"])
