"""openai-agents: a sub-agent as a tool of the orchestrator (`Agent.as_tool`), calls of one answer at once."""

from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from case import KEY, Case, finder, measure, orchestrator
from lifted_pool import client


async def swarm(case: Case) -> str:
    """One run; returns the orchestrator's answer."""

    @function_tool
    async def look_up(key: str) -> str:
        """Look something up."""
        return case.found(key)

    async with client(case.url, KEY, tuned=case.tuned) as openai:
        model = OpenAIChatCompletionsModel("mock", openai)
        sub_agent = Agent(name="finder", instructions=finder(case), tools=[look_up], model=model)
        delegate = sub_agent.as_tool("find", "Finds something.", max_turns=case.most_turns)
        call = {"name": "find", "arguments": {"input": "topic {i}"}}
        main = Agent(name="main", instructions=orchestrator(case, call), tools=[delegate], model=model)
        result = await Runner.run(main, "Look it all up.")
    return result.final_output


if __name__ == "__main__":
    set_tracing_disabled(True)
    measure(swarm, ["openai-agents", "openai", "httpx2"])
