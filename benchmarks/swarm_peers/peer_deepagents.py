"""deepagents: sub-agents through its `task` tool, calls of one answer at once."""

from case import KEY, Case, finder, measure, orchestrator
from deepagents import create_deep_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from lifted_pool import TIMEOUT, lifted


async def swarm(case: Case) -> str:
    """One run; returns the orchestrator's answer."""

    @tool
    async def look_up(key: str) -> str:
        """Look something up."""
        return case.found(key)

    pool = {"http_async_client": lifted(), "timeout": TIMEOUT} if case.tuned else {}
    model = ChatOpenAI(model="mock", base_url=case.url, api_key=KEY, **pool)
    sub_agent = {
        "name": "finder", "description": "Finds something.", "system_prompt": finder(case), "tools": [look_up],
        "model": model,
    }  # fmt: skip
    call = {"name": "task", "arguments": {"description": "topic {i}", "subagent_type": "finder"}}
    main = create_deep_agent(model, system_prompt=orchestrator(case, call), subagents=[sub_agent])
    said = {"messages": [{"role": "user", "content": "Look it all up."}]}
    result = await main.ainvoke(said, config={"recursion_limit": 100 + 10 * case.most_turns})
    return result["messages"][-1].text


if __name__ == "__main__":
    measure(swarm, ["deepagents", "langgraph", "langchain", "langchain-openai", "openai", "httpx2"])
