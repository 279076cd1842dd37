"""Environments of verifiers 0.1: their rows as tasks, their rubric as judge. Single-turn ones; nothing is imported.

    theirs = verifiers.load_environment("gsm8k")
    environment, tasks = verifiers_environment(theirs), verifiers_tasks(theirs, seed=1)

A rubric is asked as verifiers asks it (`score_rollout` of a state). It answers 0 for a reward function that crashed and
says so only in its log; here such a case has no verdict. Environments that answer turns or have tools keep their state
in their own loop: run those as black boxes, through the gateway.

Report: none (an adapter); Brown, "verifiers", 2025 (0.1.14: `Environment.get_dataset`, `Rubric.score_rollout`).
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from manyeyes.agent.environment import Environment
from manyeyes.agent.judge import Case, JudgeFailed, Rewards, Verdict
from manyeyes.agent.task import Task
from manyeyes.agent.task_source import Tasks
from manyeyes.agent.toolset import Together
from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message, system

_COMPLAINTS: ContextVar[list[str]] = ContextVar("what a rubric complains of while it judges one case")


class VerifiersEnvironment(Environment):
    """Begins with the messages of a row, whatever their roles; a `system` stands behind the row's own."""

    def messages(self, task: Task) -> list[Message]:
        """See `Environment.messages`; the last one is the task's prompt, which prompt modules may have changed."""
        told = [Message(one["role"], one["content"]) for one in task.truth["prompt"][:-1]]
        own = told.pop(0).text if told and told[0].role == "system" else ""
        whole = "\n\n".join(part for part in (own, self.system) if part)
        return [*([system(whole)] if whole else []), *told, Message("user", task.prompt)]


def verifiers_environment(theirs: Any, **fields: Any) -> Environment:
    """Their environment as ours.

    Args:
        theirs: with `rubric`; of one turn and without tools.
        fields: of `Environment`; a `system` stands behind that of a row.

    Raises:
        ConfigError: it has more than one turn, or tools.
    """
    if getattr(theirs, "max_turns", 1) != 1 or getattr(theirs, "tool_defs", None) or getattr(theirs, "tools", None):
        raise ConfigError(
            f"{type(theirs).__name__} has turns or tools of its own; run it as a black box through the gateway"
        )
    given = {"name": getattr(theirs, "env_id", "") or "verifiers", "judge": Rewards(rubric=RubricReward(theirs.rubric))}
    return VerifiersEnvironment(lambda ctx: Together(), **given | fields)


def verifiers_tasks(theirs: Any, *, seed: int = 0, shuffled: bool = True, epochs: int | None = 1) -> Tasks:
    """Rows of their training set.

    Raises:
        ConfigError: a prompt does not end with the user's words as text.
    """
    rows = theirs.get_dataset()
    name = f"verifiers/{getattr(theirs, 'env_id', '') or type(theirs).__name__}"
    return Tasks(
        lambda number: _task(name, number, rows[number]),
        size=len(rows), seed=seed, shuffled=shuffled, epochs=epochs, name=name,
    )  # fmt: skip


class RubricReward:
    """A rubric as a reward: its sum, and its functions as parts.

    Args:
        rubric: with `score_rollout`, and `logger` where it complains.
    """

    def __init__(self, rubric: Any) -> None:
        self.rubric = rubric

    async def __call__(self, case: Case) -> Verdict:
        """What the rubric says.

        Raises:
            JudgeFailed: one of its functions crashed.
        """
        state = _state(case)
        with _listening(self.rubric) as complaints:
            await self.rubric.score_rollout(state)
        if complaints:
            raise JudgeFailed(f"the rubric failed: {'; '.join(complaints)}")
        parts = {name: float(value) for name, value in (state.get("metrics") or {}).items()}
        return Verdict(float(state["reward"]), parts)


class _Complaints(logging.Handler):
    """Hands errors to whoever judges in this context; others judge at the same time."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        if _COMPLAINTS.get(None) is self.heard:
            self.heard.append(record.getMessage())


@contextmanager
def _listening(rubric: Any) -> Iterator[list[str]]:
    heard: list[str] = []
    token, handler = _COMPLAINTS.set(heard), _Complaints(heard)
    loggers = [one.logger for one in (rubric, *getattr(rubric, "rubrics", ())) if hasattr(one, "logger")]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield heard
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        _COMPLAINTS.reset(token)


def _state(case: Case) -> dict[str, Any]:
    row: Mapping[str, Any] = case.task.truth
    prompt = [dict(one) for one in row["prompt"]]
    completion = [{"role": "assistant", "content": case.outcome.text}]
    return {
        "input": {**row, "prompt": prompt}, "prompt": prompt, "completion": completion, "answer": row.get("answer", ""),
        "info": row.get("info") or {}, "example_id": row.get("example_id", 0), "task": row.get("task", "default"),
        "trajectory": [], "is_completed": True, "is_truncated": case.outcome.stop == "cut_off", "reward": None,
        "metrics": None, "error": None,
    }  # fmt: skip


def _task(name: str, number: int, row: Mapping[str, Any]) -> Task:
    prompt = row["prompt"]
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [_plain(one) for one in prompt]
    last = messages[-1] if messages else {}
    if last.get("role") != "user" or not all(isinstance(one["content"], str) for one in messages):
        raise ConfigError(f"{name}/{number}: expected text that ends with the user's words, got {messages!r:.200}")
    info = row.get("info")
    told = {"prompt": messages} | ({"info": json.loads(info)} if isinstance(info, str) and info else {})
    return Task(f"{name}/{number}", last["content"], {**row, **told})


def _plain(message: Any) -> dict[str, Any]:
    return {"role": message["role"], "content": message["content"]}
