"""The LLM gateway: agents that only speak a standard LLM API leave the same trajectories as those of `agent.loop`."""
