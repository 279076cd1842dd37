"""Agent Swarm: an orchestrator that creates sub-agents and runs them in parallel. Report: §3, App. E.8."""
