"""Does a step cost more the longer the conversation is? CPU of one step at 10, 50, 100 and 200 messages.

One sub-agent takes 105 steps against the mock endpoint without latency; every step adds two messages. The CPU time
between two calls of the tool is that of one step: the result goes into the history, the whole conversation is sent, an
answer comes back. The median over the steps next to a length, of several runs.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from swarm_peers.contestants import Load

LENGTHS = (10, 50, 100, 200)
"""Messages that are sent, those of system and user included."""
AROUND = 2
"""Steps to each side of a length that count as it."""
LOAD = Load(agents=1, steps=105)


def of_step(runs: Sequence[dict[str, Any]], length: int) -> float:
    """Milliseconds of CPU of a step that sends so many messages."""
    step = (length - 2) // 2
    seen = [
        1e3 * (took["loop_cpu"][i] - took["loop_cpu"][i - 1])
        for took in runs
        for i in range(max(1, step - AROUND), step + AROUND + 1)
    ]
    return round(statistics.median(seen), 3)


def row(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Milliseconds by length, and how much the longest costs over the shortest."""
    by_length = {str(length): of_step(runs, length) for length in LENGTHS}
    return {"cpu_ms_by_messages": by_length, "growth": round(by_length["200"] / by_length["10"], 2), "runs": len(runs)}
