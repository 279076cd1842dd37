"""A model made of rules for the case of appendix F: an orchestrator, video analysts and clip cutters.

    orchestrator    `video_director`
    analyst         `video_watch`
    cutter          cut_clip

It knows nothing but what its conversation holds, and of the videos nothing but the frames that it is shown.

Report: App. F; the rules are a stand-in for a trained policy.
"""

import re
from collections.abc import Callable, Sequence

from manyeyes.agent.fakes import Scripted
from manyeyes.core.messages import Message, ToolCall, assistant
from manyeyes.swarm.orchestrator import CREATE
from manyeyes.swarm.video_director import Director
from manyeyes.swarm.video_tasks import CUT, WATCH
from manyeyes.swarm.video_watch import Action, Done, Watched, done_calls

NO_MORE_TOOLS = "can call no more tools"
"""In what the loop says to an agent that is at its limit."""


def video_model(*, seconds: float = 0.0) -> Scripted:
    """The rules as a `ChatModel`.

    Args:
        seconds: that each answer takes.
    """
    return Scripted(video_policy, seconds=seconds)


def video_policy(messages: Sequence[Message]) -> Message:
    """The next answer in a conversation."""
    thought, actions, words = _turn(messages, done_calls(messages))
    if not actions or (messages[-1].role == "user" and NO_MORE_TOOLS in messages[-1].text):
        return assistant(words(), reasoning=thought)
    begin = sum(len(message.tool_calls) for message in messages)
    calls = tuple(ToolCall.of(name, said, index=begin + at) for at, (name, said) in enumerate(actions))
    return assistant("", reasoning=thought, calls=calls)


def _turn(messages: Sequence[Message], done: Sequence[Done]) -> tuple[str, Sequence[Action], Callable[[], str]]:
    """Why, what to do next, and what to say where nothing is left to do."""
    task = next(message.text for message in messages if message.role == "user")
    if any(CREATE in message.text for message in messages if message.role == "system"):
        director = Director(done)
        return director.thought, director.actions(), lambda: director.words
    if found := WATCH.search(task):
        watched = Watched(found[1], found[2], done)
        return f"I watch {watched.path}.", watched.actions(), lambda: told(watched)
    if found := CUT.search(task):
        return "I cut the clip.", [] if done else [_cut(found)], lambda: done[-1].result.text if done else ""
    return "", [], lambda: "I am a set of rules and only know how a folder of game recordings is watched."


def told(watched: Watched) -> str:
    """An analyst's last words."""
    if watched.why_not:
        return f"{watched.path} could not be watched. {watched.why_not}"
    found = watched.analysis
    return (
        f"Wrote {watched.to}: {found.seconds:.1f} s, {len(found.events)} events, {len(found.level_ups)} level-ups. "
        f"Frames of them: {watched.folder}"
    )


def _cut(found: re.Match[str]) -> Action:
    return "cut_clip", {"path": found[1], "start": float(found[2]), "end": float(found[3]), "to": found[4]}
