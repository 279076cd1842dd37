"""Agents: models to talk to, tools to act with, environments to act in, one loop. Report: App. D. Imports no torch."""
