"""openai-agents: an agent with a tool, over its responses model and over its chat model, streamed and not."""

import asyncio
import json
import sys

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

base, key, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
set_tracing_disabled(True)


@function_tool
def look_up(key: str) -> str:
    """Look something up."""
    return f"found {key}"


async def main() -> None:
    client = AsyncOpenAI(base_url=f"{base}/v1", api_key=key)
    settings = ModelSettings(max_tokens=tokens)
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        agent = Agent(name="finder", instructions="Be brief.", tools=[look_up], model=kind("m", client),
                      model_settings=settings)  # fmt: skip
        first = await Runner.run(agent, "What is k1?", max_turns=4)
        more = [*first.to_input_list(), {"role": "user", "content": "and k2?"}]
        streamed = Runner.run_streamed(agent, more, max_turns=4)
        async for _ in streamed.stream_events():
            pass
        final = streamed.final_output
    print(json.dumps({"text": final}))


asyncio.run(main())
