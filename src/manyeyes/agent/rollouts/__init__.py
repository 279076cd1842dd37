"""Rollouts: 100,000 agent tasks at once, each a coroutine with deadlines, recorded token for token. See App. D."""
