"""pydantic-ai: a tool of the orchestrator that runs a sub-agent ("agent delegation"), calls of one answer at once."""

from case import KEY, Case, finder, measure, orchestrator
from lifted_pool import client
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

UNLIMITED = UsageLimits(request_limit=None)
"""The limit of 50 requests would count those of all sub-agents together."""


async def swarm(case: Case) -> str:
    """One run; returns the orchestrator's answer."""
    if case.tuned:
        provider = OpenAIProvider(openai_client=client(case.url, KEY, tuned=True))
    else:
        provider = OpenAIProvider(base_url=case.url, api_key=KEY)
    model = OpenAIChatModel("mock", provider=provider)
    sub_agent = Agent(model, instructions=finder(case))
    call = {"name": "find", "arguments": {"topic": "topic {i}"}}
    main = Agent(model, instructions=orchestrator(case, call))

    @sub_agent.tool_plain
    async def look_up(key: str) -> str:
        """Look something up."""
        return case.found(key)

    @main.tool
    async def find(ctx: RunContext[None], topic: str) -> str:
        """Finds something."""
        return (await sub_agent.run(topic, usage=ctx.usage, usage_limits=UNLIMITED)).output

    return (await main.run("Look it all up.", usage_limits=UNLIMITED)).output


if __name__ == "__main__":
    measure(swarm, ["pydantic-ai-slim", "openai", "httpx2"])
