"""A completion for an agent of tokens, to its end: whatever comes in between, nothing is sampled twice.

    suspended        waits at the gate; what was handed back is continued with the weights of then
    queue is full    waits as long as it was told, and asks again
    failed           asks again a few times, with growing pauses

All of it within the one deadline of the completion.

Report: App. D (partial rollouts: per-token versions).
"""

import asyncio

from manyeyes.agent.rollouts.agent_waits import AgentWaits
from manyeyes.core.sampler import (
    Completion,
    Overloaded,
    RequestError,
    SampleRequest,
    SamplerError,
    continuation,
    joined,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0
"""Seconds before the second try and before any other; doubled in between."""
SHORTEST_PAUSE = 0.05
"""Seconds that a full queue means at least."""


async def sampled_to_the_end(agent: AgentWaits, request: SampleRequest) -> Completion:
    """A completion.

    Raises:
        RequestError: the request is at fault.
        SamplerError: it failed again and again.
        Overdue: it took too long.
    """
    line, host = agent.here(), agent.host
    outer = line.enter("model", host.model_ticks)
    try:
        whole, failures = None, 0
        if agent.past is not None:
            whole = agent.past.take_part()
        elif host.gate.is_open:
            whole, failures = await _tried(agent, request, 0)
            if whole is not None and not whole.unfinished:
                return whole
        return await _continued(agent, request, whole, failures)
    except asyncio.CancelledError:
        if line.overdue(outer):
            raise agent.late(line) from None
        raise
    finally:
        agent.part = None
        line.leave(outer)
        agent.over(line)


async def _continued(agent: AgentWaits, request: SampleRequest, whole: Completion | None, failures: int) -> Completion:
    """What is left of a completion of which a part is there, or which could not be asked for at once."""
    most, asked = request.params.max_new_tokens, request
    while True:
        if whole is not None and whole.ids:
            if len(whole.ids) >= most:
                whole.stop = "length"
                return whole
            if request.params.constraint is None:
                asked = continuation(request, whole)
            else:
                whole = None  # the language of a constraint begins at the first token
        agent.part = whole
        await _at_the_gate(agent)
        part, failures = await _tried(agent, asked, failures)
        if part is not None:
            failures = failures + 1 if part.stop == "aborted" and not part.ids else 0
            if failures > agent.host.config.model_tries:
                raise SamplerError(f"the request was aborted {failures} times without a token")
            whole = joined(whole, part) if whole is not None and whole.ids else part
            if not whole.unfinished:
                return whole


async def _tried(agent: AgentWaits, request: SampleRequest, failures: int) -> tuple[Completion | None, int]:
    """One request, and how many have failed by then; None when it is to be asked again, after the pause for that."""
    host = agent.host
    host.sampling += 1
    try:
        return await host.sampler(agent.policy).sample(request), failures
    except Overloaded as full:
        pause = max(full.retry_after, SHORTEST_PAUSE)
        host.refused += 1
    except SamplerError as error:
        if isinstance(error, RequestError) or failures >= host.config.model_tries:
            raise
        failures += 1
        pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
    finally:
        host.sampling -= 1
    await _pause(agent, pause)
    return None, failures


async def _at_the_gate(agent: AgentWaits) -> None:
    """Wait while the run is suspended."""
    gate = agent.host.gate
    if gate.is_open:
        return
    agent.event("suspended", tokens=len(agent.part.ids) if agent.part is not None else 0)
    line = agent.here()
    outer = line.enter_free("gate", line.limit)
    try:
        await gate.passed()
    finally:
        line.leave(outer, free=False)
    agent.event("resumed")


async def _pause(agent: AgentWaits, seconds: float) -> None:
    line = agent.here()
    outer = line.enter_free("gate", line.limit)
    try:
        await asyncio.sleep(seconds)
    finally:
        line.leave(outer)
