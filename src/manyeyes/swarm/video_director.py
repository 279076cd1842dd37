"""The orchestrator of the case of appendix F, as rules: what is left to do follows from the calls that were made.

    list_files → read_file AGENTS.md → create_subagent → assign_task for each large video, all at once, while it watches
    the small ones itself → read_file of all analyses → assign_task for each clip, all at once → write_file index.html

How large is large the AGENTS.md says. A video that could not be watched is told, and the others go on.

Report: App. F (the main agent's steps).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from manyeyes.core.errors import ManyeyesError
from manyeyes.swarm.orchestrator import ASSIGN, CREATE
from manyeyes.swarm.video_analysis import VideoAnalysis, analysis_of
from manyeyes.swarm.video_page import Clip, page_of
from manyeyes.swarm.video_tasks import (
    ANALYST,
    CUTTER,
    ROLES,
    Recording,
    chosen_clips,
    cut_task,
    numbers_of,
    watch_task,
)
from manyeyes.swarm.video_watch import Action, Done, Watched

PAGE = "/artefacts/index.html"
VIDEOS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".ts")
_SIZES = (
    re.compile(r"(\d[\d.,]*)\s*(bytes|[kmg]i?b)\b[^.\n]{0,20}?\b(?:and|or) (?:more|larger|above|over)\b", re.I),
    re.compile(r"(?:≥|>=|at least|larger than)\s*(\d[\d.,]*)\s*(bytes|[kmg]i?b)\b", re.I),
)
"""How a guide says from which size on."""
_UNITS = {"bytes": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_FILE = re.compile(r"^(/\S.*?)  ([\d,]+) bytes$", re.MULTILINE)
_WROTE = re.compile(r"wrote (/artefacts/\S+\.mp4): ([\d.]+) s")


class Director:
    """The orchestrator's side, from the calls that it has made."""

    def __init__(self, done: Sequence[Done]) -> None:
        self.done = done

    def actions(self) -> list[Action]:
        """The next calls; none at the end."""
        return next(filter(None, self._stages()), [])

    def _stages(self) -> Iterable[list[Action]]:
        """Each holds what is left to do of it; the first that is not empty is next."""
        yield [] if self._calls("list_files") else [("list_files", {"folder": "/inputs"})]
        yield self._read(self._guides)
        yield self._create()
        yield [*self._delegate(), *(action for watched in self._own for action in watched.actions())]
        yield self._read(self._analysis_files)
        yield self._cut()
        page = page_of(self._analyses, self._clips)
        yield [] if self._calls("write_file", PAGE) else [("write_file", {"path": PAGE, "text": page})]

    @property
    def thought(self) -> str:
        """Why, in a sentence."""
        if not self._recordings:
            return "Let me see which files there are."
        if self._guides and not self._texts:
            return "There is an AGENTS.md: I read it first."
        large, all_of_them = len(self._large), len(self._recordings)
        if not self._least:
            return f"Nobody says which videos I should watch myself: sub-agents get all {all_of_them}."
        given_away = f"videos of {self._least:,} bytes and more to sub-agents: {large} of {all_of_them}"
        return f"AGENTS.md gives {given_away}. The others I watch myself."

    @property
    def words(self) -> str:
        """The last ones."""
        found = self._analyses
        missing = len(self._recordings) - len(found)
        events = sum(len(one.events) for one in found)
        ups = sum(len(one.level_ups) for one in found)
        lines = [
            "## Analysis complete",
            f"{len(found)} videos, {events} events, {ups} level-ups, {len(self._clips)} clips.",
            *([f"{missing} videos could not be watched."] if missing else []),
            f"Open {PAGE} in a browser.",
        ]
        return "\n".join(lines)

    def _create(self) -> list[Action]:
        known = {one.arguments["name"] for one in self._calls(CREATE)}
        wanted = [*([ANALYST] if self._large else []), *([CUTTER] if self._recordings else [])]
        return [(CREATE, {"name": name, "system_prompt": ROLES[name]}) for name in wanted if name not in known]

    def _delegate(self) -> list[Action]:
        given = {one.arguments["prompt"] for one in self._calls(ASSIGN)}
        prompts = (watch_task(recording) for recording in self._large)
        return [(ASSIGN, {"agent": ANALYST, "prompt": prompt}) for prompt in prompts if prompt not in given]

    def _cut(self) -> list[Action]:
        given = {one.arguments["prompt"] for one in self._calls(ASSIGN)}
        prompts = (cut_task(clip) for clip in chosen_clips(self._analyses))
        return [(ASSIGN, {"agent": CUTTER, "prompt": prompt}) for prompt in prompts if prompt not in given]

    @cached_property
    def _recordings(self) -> list[Recording]:
        files = [(path, int(size.replace(",", ""))) for path, size in _FILE.findall(self._listing)]
        videos = [(path, size) for path, size in files if path.lower().endswith(VIDEOS)]
        numbers = numbers_of([path for path, _ in videos])
        return [Recording(path, size, number) for (path, size), number in zip(videos, numbers, strict=True)]

    @property
    def _large(self) -> list[Recording]:
        return [one for one in self._recordings if one.size >= self._least]

    @property
    def _own(self) -> list[Watched]:
        return [Watched(one.path, one.number, self.done) for one in self._recordings if one.size < self._least]

    @property
    def _least(self) -> int:
        """Bytes from which on AGENTS.md gives a video away; 0, all of them, where it does not say."""
        return next(filter(None, (threshold(self._texts[path]) for path in self._guides if path in self._texts)), 0)

    @property
    def _listing(self) -> str:
        return "\n".join(one.result.text for one in self._calls("list_files"))

    @property
    def _guides(self) -> list[str]:
        return [path for path, _ in _FILE.findall(self._listing) if PurePosixPath(path).name == "AGENTS.md"]

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        """Files that were read, a page or more each, without the numbers of their lines."""
        texts = dict[str, str]()
        for one in self._calls("read_file"):
            lines = re.findall(r"^L\d+: (.*)$", one.result.text, re.MULTILINE)
            texts[one.arguments["path"]] = texts.get(one.arguments["path"], "") + "\n".join(lines) + "\n"
        return texts

    @property
    def _analysis_files(self) -> list[str]:
        return [f"/artefacts/analysis_{one.number}.json" for one in self._recordings]

    @cached_property
    def _analyses(self) -> list[VideoAnalysis]:
        found = list[VideoAnalysis]()
        for path in self._analysis_files:
            try:
                found.append(analysis_of(self._texts.get(path, "")))
            except ManyeyesError:
                continue  # it could not be watched; the last words say how many
        return found

    @property
    def _clips(self) -> list[Clip]:
        """Clips that were cut, as their cutters say."""
        told = "\n".join(one.result.text for one in self._calls(ASSIGN))
        there = {path for path, _ in _WROTE.findall(told)}
        return [clip for clip in chosen_clips(self._analyses) if clip.path in there]

    def _calls(self, name: str, path: str = "") -> list[Done]:
        return [one for one in self.done if one.name == name and path in ("", one.arguments.get("path"))]

    def _read(self, paths: Sequence[str]) -> list[Action]:
        """What is left to read of files."""
        actions = list[Action]()
        for path in paths:
            read = self._calls("read_file", path)
            more = re.search(r"go on with line=(\d+)", read[-1].result.text.rpartition("\n")[2]) if read else None
            if not read or more:
                actions.append(("read_file", {"path": path, "line": int(more[1]) if more else 1}))
        return actions


def threshold(guide: str) -> int | None:
    """Bytes from which on a guide gives a video to a sub-agent; None where it does not say.

    Example:
        >>> threshold("Videos of 25 MB and more go to sub-agents."), threshold("(≥25MB)"), threshold("No words on that.")
        (25000000, 25000000, None)
    """  # noqa: E501
    found = next(filter(None, (size.search(guide) for size in _SIZES)), None)
    return None if found is None else int(float(found[1].replace(",", "")) * _UNITS[found[2].lower()])
