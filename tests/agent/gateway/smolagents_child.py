"""smolagents: an agent that calls tools, each step of which it tells the model as text."""

import json
import sys

from smolagents import LogLevel, OpenAIModel, Tool, ToolCallingAgent

base, key, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])


class LookUp(Tool):
    """A tool."""

    name = "look_up"
    description = "Look something up."
    inputs = {"key": {"type": "string", "description": "What to look up."}}
    output_type = "string"

    def forward(self, key: str) -> str:
        """Its work."""
        return f"found {key}"


model = OpenAIModel("m", api_base=f"{base}/v1", api_key=key, max_tokens=tokens)
agent = ToolCallingAgent([LookUp()], model, max_steps=3, verbosity_level=LogLevel.OFF)
print(json.dumps({"text": str(agent.run("What is k1?"))}))
