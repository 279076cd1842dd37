"""`media_tools`: pictures and videos for agents: look at them, write frames as pictures, cut clips.

    read_media       a picture, upright and scaled down; of a video its facts and frames, each behind its time
    extract_frames   frames as JPEG files
    cut_clip         a piece of a video that browsers play

Frames travel as pictures with the time as text before each, which every vision endpoint understands. What is shown is
decoded and written anew: a file that is damaged shows it here and not at the endpoint, and nothing but pixels goes
there, no place where a photograph was taken. Decoding runs in threads that end with their agent, within `MediaLimits`.

Report: App. E.4 (sampling of frames), App. F (frame extraction, clips).
"""

import mimetypes
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import PurePosixPath

from PIL import Image

from manyeyes.agent.tools.files import refusing, with_files
from manyeyes.agent.tools.media_clip import cut
from manyeyes.agent.tools.media_limits import DEFAULT_LIMITS, MediaLimits
from manyeyes.agent.tools.media_picture import encoded, jpeg, scaled, upright
from manyeyes.agent.tools.media_times import clock, named, spaced, span, spread
from manyeyes.agent.tools.media_video import Frame, Video, opened_video
from manyeyes.agent.tools.unfinished import Unfinished
from manyeyes.agent.tools.worker import Watch, in_thread
from manyeyes.agent.toolset import Functions, ToolResult, tool
from manyeyes.agent.workspace import WORK, Workspace
from manyeyes.core.media import MediaError, Picture
from manyeyes.core.picture import FORMATS

SECONDS = 3600.0
"""Of a call, the wait for a thread included; the decoding itself is limited by `MediaLimits.seconds`."""
STILL_SIDE = CLIP_SIDE = 1280
LOSSLESS = (b"\x89PNG", b"GIF8")
ANIMATIONS = ("GIF", "PNG")
NO_PICTURE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, struct.error)
"""What Pillow raises on files of another kind and on damaged ones."""


def media_tools(
    workspace: Workspace, *, limits: MediaLimits = DEFAULT_LIMITS, threads: Executor | None = None
) -> Functions:
    """The media tools of one agent.

    Args:
        limits: of every call.
        threads: where decoding runs, best shared by all agents of a run; the event loop's own when None.
    """
    tools = MediaTools(workspace, limits, threads)
    return Functions([tools.read_media, tools.extract_frames, tools.cut_clip], seconds=SECONDS)


class MediaTools:
    """The tools; each agent has its own. See `media_tools`."""

    def __init__(self, workspace: Workspace, limits: MediaLimits, threads: Executor | None) -> None:
        self._workspace, self._limits, self._threads = workspace, limits, threads

    @tool(repeatable=True)
    @refusing
    async def read_media(
        self,
        path: str,
        times: tuple[float, ...] = (),
        start: float = 0.0,
        end: float = 0.0,
        frames: int = 8,
        side: int = 0,
    ) -> ToolResult:
        """Look at a picture, or at frames of a video, each of which comes behind its time (hours:minutes:seconds).

        Args:
            path: of the picture or video.
            times: of a video: the seconds to look at; when left out, frames spread evenly from start to end.
            start: of a video: seconds from which on to look.
            end: of a video: seconds up to which to look; its end when left out.
            frames: of a video: how many to look at, at most 64.
            side: pixels of a frame's longer side at most (a picture: as many as a square of this side); more shows more
                and costs more.
        """
        self._check_side(side)

        def look(watch: Watch) -> ToolResult:
            if not self._is_video(path):
                return self._picture(path, side or self._limits.picture_side)
            with self._opened(path, watch) as video:
                facts, most = video.facts, self._limits.frames
                wanted = named(facts, times, most=most) if times else spread(facts, start, end, frames, most=most)
                return self._frames(video, wanted, side or self._limits.frame_side)

        return await self._run(look)

    @tool(repeatable=True)
    @refusing
    async def extract_frames(
        self,
        path: str,
        times: tuple[float, ...] = (),
        every: float = 0.0,
        folder: str = f"{WORK}/frames",
        side: int = STILL_SIDE,
    ) -> ToolResult:
        """Write frames of a video as JPEG files, named after their times. Give times, or every.

        Args:
            path: of the video.
            times: the seconds whose frames are written.
            every: write a frame every so many seconds.
            folder: where they go, below /artefacts or /workspace.
            side: pixels of the longer side at most.
        """
        self._check_side(side)

        def extract(watch: Watch) -> ToolResult:
            with self._opened(path, watch) as video:
                most = self._limits.stills
                wanted = named(video.facts, times, most=most) if times else spaced(video.facts, every, most=most)
                paths = [self._still(folder, path, frame, side) for frame in video.frames(wanted)]
            return with_files("\n".join([f"wrote {len(paths)} frames", *paths]), *paths)

        return await self._run(extract)

    @tool(repeatable=True)
    @refusing
    async def cut_clip(self, path: str, start: float, end: float, to: str, side: int = CLIP_SIDE) -> ToolResult:
        """Cut a piece out of a video, as an MP4 file that browsers play, without sound. Exact to the frame.

        Args:
            path: of the video.
            start: second at which the clip begins.
            end: second at which it ends.
            to: file to write, such as /artefacts/clips/01.mp4.
            side: pixels of the longer side at most.
        """
        self._check_side(side)
        if not to.lower().endswith(".mp4"):
            raise MediaError(f"{to}: clips are MP4 files; name one that ends with .mp4")

        def write(watch: Watch) -> ToolResult:
            with self._opened(path, watch) as video, Unfinished(self._workspace, to) as new:
                begins, ends = span(video.facts, start, end, most=self._limits.clip_seconds)
                made = cut(video, new.file, start=begins, end=ends, side=side)
                shown = new.finish()
            size = f"{made.width}x{made.height} pixels, {made.codec}"
            return with_files(f"wrote {shown}: {made.seconds:.3f} s, {made.frames} frames, {size}", shown)

        return await self._run(write)

    async def _run(self, work: Callable[[Watch], ToolResult]) -> ToolResult:
        return await in_thread(work, seconds=self._limits.seconds, threads=self._threads)

    def _check_side(self, side: int) -> None:
        if not 0 <= side <= self._limits.most_side or 0 < side < 16:
            raise MediaError(f"side is 16 to {self._limits.most_side} pixels, got {side}")

    @contextmanager
    def _opened(self, path: str, watch: Watch) -> Iterator[Video]:
        shown = self._workspace.place(path).shown
        with self._workspace.open(path) as file:
            with opened_video(file, shown, limits=self._limits, watch=watch) as video:
                yield video

    def _is_video(self, path: str) -> bool:
        """Whether a file is to be read as a video: an animation is one; a damaged picture is not, going by its name."""
        with self._workspace.open(path) as file:
            try:
                with Image.open(file, formats=FORMATS) as image:
                    return image.format in ANIMATIONS and bool(getattr(image, "is_animated", False))
            except Image.DecompressionBombError:
                return False
            except NO_PICTURE:
                return not (mimetypes.guess_type(path)[0] or "").startswith("image/")

    def _picture(self, path: str, side: int) -> ToolResult:
        shown, content = self._workspace.place(path).shown, self._workspace.read(path, most=self._limits.picture_bytes)
        picture = Picture.from_bytes(content, name=shown, max_pixels=self._limits.picture_pixels)
        small = scaled(picture.pixels(), side=side)
        height, width = small.shape[:2]
        head = f"{shown}: picture, {picture.width}x{picture.height} pixels, shown at {width}x{height}\n"
        return ToolResult.of(head, Picture.from_bytes(encoded(small, lossless=content[:4] in LOSSLESS)))

    def _frames(self, video: Video, wanted: Sequence[Fraction], side: int) -> ToolResult:
        parts: list[str | Picture] = [f"{video.name}: {video.facts}\n"]
        for frame in video.frames(wanted):
            parts.append(f"{clock(frame.time)}\n")
            parts.append(Picture.from_bytes(jpeg(upright(frame.decoded, side=side))))
        return ToolResult.of(*parts)

    def _still(self, folder: str, path: str, frame: Frame, side: int) -> str:
        name = f"{PurePosixPath(path).stem}_{clock(frame.time).replace(':', '-')}.jpg"
        with Unfinished(self._workspace, f"{folder}/{name}") as new:
            new.file.write(jpeg(upright(frame.decoded, side=side)))
            return new.finish()
