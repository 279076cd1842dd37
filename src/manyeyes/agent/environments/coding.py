"""`Coding`: an agent before a repository, with the six tools of E.5; hidden tests decide what it hands in.

    environment = Coding()                                the agent works in a sandbox, its tests run in a fresh one
    task.truth = {"files": {path: text}, "module": name, "tests": [[calls, expected], …]}

`submit` ends an attempt. What is handed in goes over the repository as it was, so that what was deleted stays deleted,
and what the agent put anywhere else counts for nothing. Who never submits gets nothing.

Report: App. E.5 (non-thinking mode, Avg@5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from manyeyes.agent.budget import Limits
from manyeyes.agent.environment import Ctx, Session, Step
from manyeyes.agent.environments.attempt_environment import AttemptEnvironment, redrawn, undrawn
from manyeyes.agent.environments.coding_tools import ROOM, SUBMITTED, CodingTools
from manyeyes.agent.environments.hidden_tests import HiddenTest, run_tests
from manyeyes.agent.environments.repository import Submission, handed_in
from manyeyes.agent.environments.shared_sandbox import SharedSandbox
from manyeyes.agent.judge import Case, JudgeFailed, Verdict
from manyeyes.agent.sandbox import SandboxUnavailable
from manyeyes.agent.task import Task
from manyeyes.core.messages import Message

SYSTEM = (
    "You are a software engineer. A repository is in /workspace. Use the tools to look at it, to run it and to change "
    "it. When what was asked for is done and you have checked it, call submit; hidden tests decide."
)


@dataclass
class CodingAttempt:
    """What one attempt has handed in; None while it has not."""

    submission: Submission | None = None

    def hand_in(self, submission: Submission) -> None:
        """Take it."""
        self.submission = submission


@dataclass
class Coding(AttemptEnvironment):
    """See the module.

    Attributes:
        shared: where code runs.
        attempt: only `bound` sets this.
    """

    system: str = SYSTEM
    limits: Limits = Limits(steps=100)
    name: str = "coding"
    shared: SharedSandbox = field(default_factory=SharedSandbox)
    attempt: CodingAttempt | None = field(default=None, repr=False)

    def bound(self, task: Task) -> Self:
        """See `AttemptEnvironment.bound`. Raises ConfigError where it belongs to an attempt."""
        if self.attempt is not None:
            redrawn()
        attempt = CodingAttempt()
        judge = self.judge or HiddenTestsJudge(self.shared, attempt)

        def tools(ctx: Ctx) -> CodingTools:
            _take_up(attempt, ctx.noted)
            return CodingTools(self.shared, task.truth["files"], attempt.hand_in)

        return replace(self, make_toolset=tools, judge=judge, attempt=attempt)

    def open(self, ctx: Ctx) -> Session:
        """See `Environment.open`."""
        return undrawn() if self.attempt is None else CodingSession(super().open(ctx), self.attempt)

    async def ready(self) -> None:
        """See `AttemptEnvironment.ready`. Raises SandboxUnavailable."""
        await self.shared.sandbox()

    async def close(self) -> None:
        """See `AttemptEnvironment.close`."""
        await self.shared.close()


def _take_up(attempt: CodingAttempt, noted: Sequence[dict[str, Any]]) -> None:
    """Go on after an interruption, which a submission outlives and a room does not.

    Raises:
        SandboxUnavailable: there was a room, and it is gone.
    """
    for data in noted:
        if SUBMITTED in data:
            attempt.hand_in(Submission(**data[SUBMITTED]))
    if attempt.submission is None and any(ROOM in data for data in noted):
        raise SandboxUnavailable("the attempt was interrupted, and its repository is gone; begin it anew")


class CodingSession(Session):
    """One agent's work; over when it has submitted."""

    def __init__(self, session: Session, attempt: CodingAttempt) -> None:
        super().__init__(session.environment, session.toolset, session.ctx)
        self._attempt = attempt

    async def step(self, action: Message) -> Step:
        """See `Session.step`."""
        step = await super().step(action)
        return step._replace(done=step.done or self._attempt.submission is not None)


@dataclass(frozen=True, slots=True)
class HiddenTestsJudge:
    """Runs the hidden tests: "tests" is 1 when all pass, "passed" the share of them."""

    shared: SharedSandbox
    attempt: CodingAttempt

    async def __call__(self, case: Case) -> Verdict:
        """See `Judge`."""
        truth, submission = case.task.truth, self.attempt.submission
        if submission is None:
            return Verdict(0.0, {"tests": 0.0, "passed": 0.0, "submitted": 0.0}, {"why": "nothing was handed in"})
        tests = [HiddenTest(*test) for test in truth["tests"]]
        try:
            report = await run_tests(self.shared, handed_in(truth["files"], submission), truth["module"], tests)
        except SandboxUnavailable as error:
            raise JudgeFailed(f"{case.task.id}: the hidden tests could not be run: {error}") from None
        whole = float(report.total > 0 and report.passed == report.total)
        parts = {"tests": whole, "passed": report.passed / max(1, report.total), "submitted": 1.0}
        notes: dict[str, Any] = {"passed": report.passed, "total": report.total, "why": report.why}
        return Verdict(whole, parts, notes)
