"""Environments of other people as ours: reasoning-gym, Gymnasium, MCP servers, verifiers."""
