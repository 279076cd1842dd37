"""smolagents: managed agents, calls of one answer in a pool of threads.

A managed agent keeps its memory in itself, so that those which run at once have to be different ones. Tuned: as many
threads as there are sub-agents; as it comes: as many as Python's thread pool starts.
"""

from case import KEY, Case, finder, measure, orchestrator
from lifted_pool import TIMEOUT, lifted_for_threads
from smolagents import LogLevel, OpenAIModel, Tool, ToolCallingAgent


def swarm(case: Case) -> str:
    """One run; returns the orchestrator's answer."""

    class LookUp(Tool):
        name = "look_up"
        description = "Look something up."
        inputs = {"key": {"type": "string", "description": "What to look up."}}
        output_type = "string"

        def forward(self, key: str) -> str:
            """The tool's work."""
            return case.found(key)

    pool = {"http_client": lifted_for_threads(), "timeout": TIMEOUT} if case.tuned else {}
    model = OpenAIModel("mock", api_base=case.url, api_key=KEY, client_kwargs=pool)
    found = {"name": "final_answer", "arguments": {"answer": "found it"}}
    sub_agents = [
        ToolCallingAgent(
            [LookUp()],
            model,
            name=f"finder_{i}",
            description="Finds something.",
            instructions=finder(case, end=found),
            max_steps=case.most_turns,
            verbosity_level=LogLevel.OFF,
        )
        for i in range(case.agents)
    ]
    call = {"name": "finder_{i}", "arguments": {"task": "topic {i}"}}
    merged = {"name": "final_answer", "arguments": {"answer": "merged"}}
    main = ToolCallingAgent(
        [],
        model,
        managed_agents=sub_agents,
        instructions=orchestrator(case, call, end=merged),
        verbosity_level=LogLevel.OFF,
        max_tool_threads=case.agents if case.tuned else None,
    )
    return str(main.run("Look it all up."))


if __name__ == "__main__":
    measure(swarm, ["smolagents", "openai", "httpx2"])
