"""manyeyes: `create_subagent` and `assign_task`, streaming, with the journal that a run always writes."""

import tempfile

from case import Case, finder, measure, orchestrator

from manyeyes.agent.limiter import Limiter
from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.agent.run import AgentRun
from manyeyes.agent.task import Task
from manyeyes.agent.toolset import Functions
from manyeyes.cli.swarm_view import spare_the_collector
from manyeyes.core.journal import Journal
from manyeyes.swarm.orchestrator import ASSIGN, CREATE, Preset, SwarmConfig


async def swarm(case: Case) -> str:
    """One run; returns the orchestrator's answer."""

    async def look_up(key: str) -> str:
        """Look something up."""
        return case.found(key)

    create = {"name": CREATE, "arguments": {"name": "finder", "system_prompt": finder(case)}}
    assign = {"name": ASSIGN, "arguments": {"agent": "finder", "prompt": "topic {i}"}}
    config = SwarmConfig(
        lambda ctx: Functions([look_up]),
        system=orchestrator(case, assign, first=[create]),
        preset=Preset(10**6, case.most_turns),
        most_agents=case.agents,
    )
    with tempfile.TemporaryDirectory() as folder, Journal(folder) as journal:
        async with OpenAIChat(Endpoint(case.url, "mock"), limiter=Limiter(case.agents + 1)) as model:
            outcome = await AgentRun(journal, model).start(Task("t", "Look it all up."), config.orchestrator())
    return outcome.text or f"{outcome.stop}: {outcome.reason}"


if __name__ == "__main__":
    spare_the_collector()  # as the command does
    measure(swarm, ["aiohttp", "uvloop"])
