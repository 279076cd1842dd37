"""The case of appendix F: a folder of videos becomes a web page with timelines and clips, by a swarm.

    wave 1    a sub-agent a large video watches it and leaves /artefacts/analysis_XX.json
    wave 2    a sub-agent a clip cuts it; the orchestrator writes /artefacts/index.html

What counts as large the inputs' AGENTS.md says. With `video_rules.video_model` it runs offline, with `OpenAIChat` on
any vision endpoint; what a run left is looked at afterwards, not believed.

Report: App. F, Fig. 11 (32 videos, 24 hours, 40 GB).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from manyeyes.agent.chat_model import ChatModel
from manyeyes.agent.environment import Ctx
from manyeyes.agent.task import Outcome
from manyeyes.agent.tools.files import file_tools
from manyeyes.agent.tools.media import media_tools
from manyeyes.agent.tools.media_limits import DEFAULT_LIMITS
from manyeyes.agent.tools.media_video import opened_video
from manyeyes.agent.tools.worker import Watch
from manyeyes.agent.toolset import Together
from manyeyes.agent.workspace import Workspace
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.journal import Event
from manyeyes.swarm.session import ARTEFACTS, CONFIG, Figures, Session, SessionConfig
from manyeyes.swarm.video_analysis import SHAPE, VideoAnalysis, analysis_of

PAGE = "index.html"
DECODERS = 4
"""Threads that decode for all agents."""
TASK = f"""As the administrator of a video site, please analyse all videos in /inputs and create a cool HTML page:

1. Identify the timeline of the events of the videos.
2. Identify the timeline of the player's level-ups.
3. Play short clips of the best moments.

Work as the AGENTS.md in /inputs says, if there is one. What a sub-agent finds in a video goes to \
/artefacts/analysis_XX.json, where XX is the number that the video's name begins with, in this shape:

{SHAPE}

Times are seconds from the video's beginning. Then choose the best moments, have each of them cut by a sub-agent of \
its own, all at the same time, to /artefacts/clips/XX_name.mp4, and write the page to /artefacts/{PAGE}: one file \
without scripts from elsewhere, which plays the clips by relative paths such as clips/01_boss.mp4."""


class CaseResult(NamedTuple):
    """What a run left.

    Attributes:
        outcome: of the orchestrator.
        figures: of the run.
        analyses: by the two digits of their file.
        clips: seconds of each, by file name.
        page: None where there is none.
        faults: files that do not hold what they should, and why.
    """

    outcome: Outcome
    figures: Figures
    analyses: dict[str, VideoAnalysis]
    clips: dict[str, float]
    page: Path | None
    faults: list[str]

    def __str__(self) -> str:
        figures, events = self.figures, sum(len(one.events) for one in self.analyses.values())
        ups = sum(len(one.level_ups) for one in self.analyses.values())
        return "\n".join([
            f"{len(self.analyses)} analyses: {events} events, {ups} level-ups; {len(self.clips)} clips",
            f"{figures.agents} sub-agents, {figures.critical_steps} critical of {figures.total_steps} steps, "
            f"{figures.seconds:.1f} s, {figures.speed_up:.1f}x faster than one thing after the other",
            *self.faults,
            f"page: {self.page or 'none'}",
        ])  # fmt: skip


async def run_case(
    folder: Path,
    inputs: Path,
    model: ChatModel,
    *,
    endpoint: str = "",
    secrets: tuple[str, ...] = (),
    listen: Callable[[Event], None] | None = None,
) -> CaseResult:
    """Run the case, or go on with it.

    Args:
        folder: of the run.
        inputs: folder of videos.
        endpoint: of the model, for the record.
        secrets: never written.
        listen: called with every event.

    Raises:
        ConfigError: there is no such folder, or another run stands where this one is to go.
    """
    if (folder / CONFIG).exists():
        session = Session.open(folder)
    else:
        config = SessionConfig(TASK, model=model.name, endpoint=endpoint, tools=("files", "media"))
        session = Session.create(folder, config, inputs=[inputs])
    with ThreadPoolExecutor(DECODERS, "decoder") as threads:

        def tools(ctx: Ctx) -> Together:
            workspace = Workspace.of(folder, ctx.agent)
            return Together(file_tools(workspace), media_tools(workspace, threads=threads))

        outcome = await session.run(model, tools, secrets=secrets, listen=listen)
    return looked_at(session, outcome)


def looked_at(session: Session, outcome: Outcome) -> CaseResult:
    """What a run left, read from its files."""
    artefacts = session.folder / ARTEFACTS
    analyses, clips, faults = dict[str, VideoAnalysis](), dict[str, float](), list[str]()
    for path in sorted(artefacts.glob("analysis_*.json")):
        try:
            analyses[path.stem.removeprefix("analysis_")] = analysis_of(path.read_bytes())
        except ManyeyesError as error:
            faults.append(f"{path.name}: {error}")
    for path in sorted(artefacts.glob("clips/*.mp4")):
        try:
            clips[path.name] = _seconds(path)
        except ManyeyesError as error:
            faults.append(str(error))
    page = artefacts / PAGE
    return CaseResult(outcome, session.figures(), analyses, clips, page if page.is_file() else None, faults)


def _seconds(path: Path) -> float:
    with path.open("rb") as file, opened_video(file, path.name, limits=DEFAULT_LIMITS, watch=Watch()) as video:
        return video.facts.seconds
