"""The web page that the rule-based model writes: timelines of events and level-ups over all videos, and the clips.

One file beside the clips and frames that it names; no script, nothing from elsewhere, everything that was read escaped.
A colour is a kind of event; a click on an event that was cut out leads to its clip.

Report: App. F (timelines, embedded clips).
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import accumulate
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

from manyeyes.swarm.video_analysis import FoundEvent, VideoAnalysis

WIDTH, CHART = 1000, 220
"""Units of a drawing from left to right, and of the chart of levels from top to bottom."""
LETTER = 7
"""Units that a letter takes at most."""
LABEL_APART = 26.0
"""Units between two levels that are written out; the others tell theirs when pointed at."""
PALETTE = {"boss": "#ff5d5d", "treasure": "#f4c542", "portal": "#7c7cff"}
OTHER = "#4fc3a1"
"""Of a kind that has no colour here."""
STYLE = """
:root { color-scheme: dark; --bg: #0f1216; --card: #181d24; --line: #2a313b; --text: #e8ecf1; --soft: #93a0b0; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 40px; line-height: 1.15; margin: 0 0 6px; letter-spacing: -0.02em; }
h2 { font-size: 21px; margin: 44px 0 14px; }
h3 { font-size: 16px; margin: 0; }
p, small, td { color: var(--soft); }
a { color: inherit; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 26px 0 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.tile b { display: block; font-size: 28px; line-height: 1.2; color: var(--text); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; }
.card { margin: 0 0 14px; }
.card header { display: flex; justify-content: space-between; gap: 12px; margin-bottom: 10px; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 14px; }
.clips figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.clips video { border-radius: 11px 11px 0 0; width: 100%; display: block; aspect-ratio: 16 / 9; background: #000; }
.clips figcaption { padding: 10px 14px; }
.clips figure:target { outline: 2px solid #fff; }
.key { display: flex; flex-wrap: wrap; gap: 16px; margin: 10px 0 0; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px; }
ol { list-style: none; margin: 10px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 6px 14px; }
li { color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
"""


class Clip(NamedTuple):
    """A piece of a video that the page plays.

    Attributes:
        video: it is cut from.
        path: of its file.
        title: what it shows.
        start, end: seconds in the video.
        frame: picture that stands for it; "" for none.
    """

    video: str
    path: str
    title: str
    start: float
    end: float
    frame: str = ""


def page_of(analyses: Sequence[VideoAnalysis], clips: Sequence[Clip]) -> str:
    """The whole page, as HTML.

    Args:
        analyses: in the order of the story.
        clips: that were cut.
    """
    body = [_head(analyses, clips), *_whole(analyses, clips), *_videos(analyses, clips), *_clips(clips)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>One playthrough, {len(analyses)} videos</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def _head(analyses: Sequence[VideoAnalysis], clips: Sequence[Clip]) -> str:
    levels = [up.level for one in analyses for up in one.level_ups]
    tiles = {
        "videos": len(analyses), "of play": minutes(sum(one.seconds for one in analyses)).partition(".")[0],
        "events": sum(len(one.events) for one in analyses), "level-ups": len(levels),
        "last level": max(levels, default=0), "clips": len(clips),
    }  # fmt: skip
    shown = "".join(f'<div class="tile"><b>{value}</b><small>{name}</small></div>' for name, value in tiles.items())
    said = "Every event and every level-up, found in the frames of the recordings."
    return f'<h1>One playthrough</h1><p>{said}</p><div class="tiles">{shown}</div>'


def _whole(analyses: Sequence[VideoAnalysis], clips: Sequence[Clip]) -> Iterator[str]:
    """All videos on one time axis: levels as steps, events as a strip below them."""
    seconds = [one.seconds for one in analyses]
    whole = sum(seconds) or 1.0
    begins = [0.0, *accumulate(seconds)][: len(analyses)]
    ups = [(begin + up.time, up.level) for begin, one in zip(begins, analyses, strict=True) for up in one.level_ups]
    yield "<h2>The whole story</h2>"
    yield f'<div class="card"><svg viewBox="0 0 {WIDTH} {CHART + 62}" role="img" aria-label="Levels and events">'
    for number, (begin, one) in enumerate(zip(begins, analyses, strict=True)):
        left, width = WIDTH * begin / whole, WIDTH * one.seconds / whole
        shade = 0.05 if number % 2 else 0.0
        yield f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="{CHART + 40}" fill="#fff" opacity="{shade}"/>'
        label = _title(one.video) if width > LETTER * len(_title(one.video)) + 8 else f"{number + 1:02}"
        yield f'<text x="{left + 6:.1f}" y="{CHART + 57}">{escape(label)}</text>'
        yield from _bars(one.events, clips, one.video, left, WIDTH / whole, CHART + 12, 22)
    yield from _steps(ups, whole)
    yield "</svg>" + _key(event.kind for one in analyses for event in one.events) + "</div>"


def _steps(ups: Sequence[tuple[float, int]], whole: float) -> Iterator[str]:
    """The level over time."""
    if not ups:
        return
    low, high = ups[0][1] - 1, max(level for _, level in ups)

    def height(level: int) -> float:
        return CHART - 8 - (CHART - 34) * (level - low) / max(1, high - low)

    path = f"M0 {height(low):.1f}"
    for time, level in ups:
        path += f" H{WIDTH * time / whole:.1f} V{height(level):.1f}"
    yield f'<path d="{path} H{WIDTH} V{CHART} H0 Z" fill="#4fc3a1" opacity="0.14"/>'
    yield f'<path d="{path} H{WIDTH}" fill="none" stroke="#4fc3a1" stroke-width="2.5"/>'
    labelled = -LABEL_APART
    for time, level in ups:
        x, y = WIDTH * time / whole, height(level)
        title = f"<title>level {level}, {minutes(time)}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#4fc3a1">{title}</circle>'
        if x - labelled >= LABEL_APART:
            labelled = x
            yield f'<text x="{max(x - 4, LABEL_APART / 2):.1f}" y="{y - 9:.1f}" text-anchor="end">{level}</text>'


def _videos(analyses: Sequence[VideoAnalysis], clips: Sequence[Clip]) -> Iterator[str]:
    """Each video: its events and level-ups, as a strip and in words."""
    yield "<h2>Video by video</h2>"
    for one in analyses:
        scale = WIDTH / (one.seconds or 1.0)
        ups = "".join(
            f'<path d="M{up.time * scale:.1f} 4 v34" stroke="#4fc3a1" stroke-width="2.5"/>'
            f'<text x="{up.time * scale + 4:.1f}" y="14">{up.level}</text>'
            for up in one.level_ups
        )
        bars = "".join(_bars(one.events, clips, one.video, 0, scale, 18, 20))
        told = "".join(
            f'<li><span class="dot" style="background:{_colour(event.kind)}"></span>{minutes(event.start)}–'
            f"{minutes(event.end)} {escape(event.title or event.kind)}</li>"
            for event in one.events
        )
        yield (
            f'<div class="card"><header><h3>{escape(_title(one.video))}</h3><small>{minutes(one.seconds)}, '
            f"{len(one.events)} events, {len(one.level_ups)} level-ups</small></header>"
            f'<svg viewBox="0 0 {WIDTH} 42"><rect y="18" width="{WIDTH}" height="20" rx="4" fill="#222932"/>{bars}{ups}'
            f"</svg><ol>{told}</ol></div>"
        )


def _bars(
    events: Sequence[FoundEvent], clips: Sequence[Clip], video: str, left: float, scale: float, y: int, height: int
) -> Iterator[str]:
    """Events as bars that lead to their clips."""
    for event in events:
        x, width = left + event.start * scale, max(2.0, (event.end - event.start) * scale)
        title = f"{escape(event.title or event.kind)}, {minutes(event.start)}"
        bar = (
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="3" fill="{_colour(event.kind)}">'
            f"<title>{title}</title></rect>"
        )
        clip = next((clip for clip in clips if clip.video == video and clip.start <= event.start < clip.end), None)
        yield f'<a href="#{escape(_anchor(clip))}">{bar}</a>' if clip is not None else bar


def _clips(clips: Sequence[Clip]) -> Iterator[str]:
    yield "<h2>Moments</h2>"
    yield '<div class="clips">'
    for clip in clips:
        poster = f' poster="{_relative(clip.frame)}"' if clip.frame else ""
        yield (
            f'<figure id="{escape(_anchor(clip))}"><video src="{_relative(clip.path)}"{poster} controls muted loop '
            f'playsinline preload="metadata"></video><figcaption><h3>{escape(clip.title)}</h3>'
            f"<small>{escape(_title(clip.video))}, {minutes(clip.start)}–{minutes(clip.end)}</small>"
            "</figcaption></figure>"
        )
    yield "</div>"


def _key(kinds: Iterable[str]) -> str:
    shown = "".join(
        f'<span><span class="dot" style="background:{_colour(kind)}"></span><small>{escape(kind)}</small></span>'
        for kind in dict.fromkeys(kinds)
    )
    return f'<div class="key">{shown}</div>'


def minutes(seconds: float) -> str:
    """As a player shows it.

    Example:
        >>> minutes(83.26), minutes(3723)
        ('1:23.3', '1:02:03.0')
    """
    tenths = round(10 * seconds)
    hours, rest = divmod(tenths, 36_000)
    least = f"{rest // 600:02}" if hours else f"{rest // 600}"
    return (f"{hours}:" if hours else "") + f"{least}:{rest % 600 / 10:04.1f}"


def _colour(kind: str) -> str:
    return PALETTE.get(kind, OTHER)


def _title(video: str) -> str:
    """Such as "01 prologue"."""
    return PurePosixPath(video).stem.replace("_", " ")


def _anchor(clip: Clip) -> str:
    return PurePosixPath(clip.path).stem


def _relative(path: str) -> str:
    """From the page, which lies in /artefacts."""
    return quote(path.removeprefix("/artefacts/"))
