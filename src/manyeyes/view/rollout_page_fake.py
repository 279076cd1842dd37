"""Folders of rollout runs that never ran, of any size, for tests and pictures of the page.

A run has a warm-up, weight updates, sub-agents, failures, pictures, verdicts and values for each token. Equal arguments
give equal content.

Report: none.
"""

import math
import random
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image, ImageDraw

from manyeyes.agent.rollouts.snapshot import (
    GROUPS,
    LENGTHS,
    ROLLOUTS,
    TRAJECTORIES,
    GroupLine,
    LoopLag,
    RolloutSnapshot,
)
from manyeyes.core.media import Media, MediaRules, Picture, image_visual
from manyeyes.core.token_values import write_token_values
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import AgentSpan, Event, Node, Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore

BEGAN = 1_790_000_000.0
WORDS = (
    "The maze has two exits, and the left one is blocked.\n", "Let me count the cells once more: ", "so it is 14. ",
    "I will ask a searcher for the rest. ", "def walk(grid):\n    return min(paths(grid), key=len)\n", "它在左边。",
    "That is wrong; start again from the top row. ", "Observation: the picture shows a pie of five parts.\n", "ok ",
)  # fmt: skip
CAUSES: tuple[str, ...] = ("model", "tool", "sandbox", "judge", "timeout", "pool")


def write_rollouts(folder: Path, *, groups: int = 12, size: int = 4, seconds: int = 600, seed: int = 0) -> Path:
    """A run folder; returns it."""
    draw, tokenizer = random.Random(seed), Tokenizer.tiny()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(folder / "tokenizer.tiktoken")
    with TrajectoryStore(folder / TRAJECTORIES, now=lambda: BEGAN + seconds) as store:
        lines = [_group(folder, store, number, size, draw, tokenizer) for number in range(groups)]
    (folder / GROUPS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    with (folder / ROLLOUTS).open("wb") as log:
        for snapshot in fake_snapshots(seconds, seed=seed):
            log.write(msgspec.json.encode(snapshot) + b"\n")
    return folder


def fake_trajectory(
    name: str, draw: random.Random, tokenizer: Tokenizer, *, turns: int = 4, agents: int = 3, tokens: int = 60
) -> Trajectory:
    """A rollout of an agent that looks at a picture and starts others."""
    whole = Trajectory(name, name.rpartition("/")[0], "visual maze", [AgentSpan(role="solver", task=name, ended=90.0)])
    style = draw.choice(["terse", "polite"])
    whole.variant = {"system style": style, "language": "en", "tools": {"shell": "run_shell"}}
    last, at = -1, 0.0
    for turn in range(turns):
        told = _text(draw, tokenizer, tokens if turn else 3 * tokens)
        media = (_picture(draw),) if turn == 0 else ()
        if media:
            pads = [tokenizer.media_pad] * media[0].grid.tokens
            told = [tokenizer.im_user, *told, tokenizer.media_begin, *pads, tokenizer.media_end, tokenizer.im_end]
        last = _turn(whole, draw, [*told, tokenizer.im_assistant], _text(draw, tokenizer, tokens), last, 0, at, media)
        at += 12.0
        if turn == 1:
            _children(whole, draw, tokenizer, agents, tokens, last, at)
        _tool(whole, draw, last, at)
    if draw.random() < 0.3:
        _turn(whole, draw, _text(draw, tokenizer, 20), _text(draw, tokenizer, 30), 0, 0, at, (), fork="drift: turn 1")
    _end(whole, draw, at)
    return whole


def fake_snapshots(seconds: int, *, seed: int = 0) -> list[RolloutSnapshot]:
    """A snapshot a second of a run of some hundred attempts at a time."""
    draw, found = random.Random(seed), []
    submitted = finished = failed = sampled = 0
    spent = {"sample": 0.0, "tool": 0.0, "judge": 0.0, "wait": 0.0, "pool": 0.0}
    lengths, failures, staleness = (
        dict.fromkeys(LENGTHS[2:12], 0),
        dict[str, int].fromkeys(CAUSES, 0),
        {0: 0, 1: 0, 2: 0},
    )
    rewards = {"reward": (0.0, 0), "correct": (0.0, 0), "format": (0.0, 0)}
    for second in range(seconds):
        running = int(400 * min(1.0, second / 60) * (0.8 + 0.2 * math.sin(second / 40)))
        shares = {"model": 0.55, "tool": 0.25 + 0.1 * math.sin(second / 25), "pool": 0.05, "judge": 0.08, "spawn": 0.04}
        done = draw.randrange(6) * (running > 50)
        finished, failed = finished + done, failed + (draw.random() < 0.08)
        submitted = max(submitted, finished + failed + running + 120)
        sampled += running * 11
        for kind, share in zip(spent, (0.55, 0.25, 0.08, 0.07, 0.05), strict=True):
            spent[kind] += running * share * (0.9 + 0.2 * draw.random())
        for _ in range(done):
            lengths[draw.choice(LENGTHS[2:12])] += 1
            staleness[draw.choice((0, 0, 0, 1, 1, 2))] += 900
            good = 0.25 + 0.5 * second / seconds
            for part, (chance, most) in {"reward": (good, 1.0), "correct": (good, 1.0), "format": (0.9, 0.5)}.items():
                total, count = rewards[part]
                rewards[part] = (total + most * (draw.random() < chance), count + 1)
        if draw.random() < 0.1:
            failures[draw.choice(CAUSES)] += 1
        queued = submitted - finished - failed - running
        found.append(RolloutSnapshot(
            BEGAN + second, float(second), version=second // 60, submitted=submitted, queued=queued, running=running,
            waiting_for={k: int(v * running) for k, v in shares.items()}, finished=finished,
            failed=failed, groups=submitted // 4, groups_done=finished // 4, turns=finished * 4 + running,
            tokens_given=sampled * 2, tokens_sampled=sampled, seconds_in=dict(spent), failures=dict(failures),
            retries=failed // 2, rewards=dict(rewards), lengths=dict(lengths), staleness=dict(staleness),
            pool={"shell": {"warm": 12, "leased": running // 4, "waiting": draw.randrange(5), "created": second,
                            "closed": second // 2, "expired": 1, "unhealthy": second // 200}},
            loop_lag=LoopLag(0.001, 0.004 + 0.01 * draw.random(), 0.03), concurrency_cap=400,
        ))  # fmt: skip
    return found


def _group(
    folder: Path, store: TrajectoryStore, number: int, size: int, draw: random.Random, tokenizer: Tokenizer
) -> GroupLine:
    made = [fake_trajectory(f"maze/{number}/{place}", draw, tokenizer) for place in range(size)]
    for whole in made:
        store.append(whole)
        noise = np.random.default_rng(number).normal(0, 0.15, whole.sampled_tokens)
        write_token_values(folder, whole, ratio=np.exp(noise).astype(np.float32))
    complete = sum(whole.reward is not None for whole in made) > size // 2
    names, rewards = [whole.name for whole in made], [whole.reward for whole in made]
    return GroupLine(BEGAN + number, f"g{number}", made[0].task, names, rewards, complete)


def _turn(
    whole: Trajectory, draw: random.Random, told: list[int], said: list[int], parent: int, agent: int, at: float,
    media: tuple[Media, ...] = (), fork: str = "",
) -> int:  # fmt: skip
    lp = np.array([-draw.expovariate(1.5) for _ in said], np.float32)
    versions = np.full(len(said), 3, np.int32)
    versions[len(said) // 2 :] += draw.random() < 0.2
    ids = np.array([*told, *said], np.int32)
    return whole.add(Node(
        ids, len(told), lp, versions, parent, agent, media, stop="stop", fork=fork, at=at, seconds=8.0,
        masked="the capture has a hole" if draw.random() < 0.03 else "",
    ))  # fmt: skip


def _children(
    whole: Trajectory, draw: random.Random, tokenizer: Tokenizer, agents: int, tokens: int, node: int, at: float
) -> None:
    for number in range(agents):
        whole.agents.append(AgentSpan(
            f"main/{number}", draw.choice(["searcher", "checker"]), 0, node, f"1.{number}",
            "live" if number % 3 == 0 else "frozen", f"part {number}", at, at + 9.0, "done", "", "found it",
        ))  # fmt: skip
        agent = len(whole.agents) - 1
        told, said = _text(draw, tokenizer, tokens), _text(draw, tokenizer, tokens // 2)
        first = _turn(whole, draw, told, said, -1, agent, at)
        _turn(whole, draw, _text(draw, tokenizer, 20), said[::-1], first, agent, at + 4)


def _tool(whole: Trajectory, draw: random.Random, node: int, at: float) -> None:
    result = {"parts": [draw.choice(WORDS) * 3], "failure": "timeout" if draw.random() < 0.1 else "", "data": {}}
    data = {"name": "shell", "arguments": '{"command": "python walk.py"}', "result": result, "place": "0.0", "id": "c"}
    whole.events.append(Event("tool", at, 2.5, 0, node, data))


def _end(whole: Trajectory, draw: random.Random, at: float) -> None:
    whole.agents[0].stop = whole.stop = "done"
    if draw.random() < 0.12:
        cause = draw.choice(CAUSES)
        whole.events.append(Event("failed", at, 0.0, 0, data={"cause": cause, "why": f"the {cause} did not answer"}))
        whole.stop, whole.masked = "failed", f"infrastructure: {cause}"
        return
    right = float(draw.random() < 0.5)
    whole.reward, whole.rewards = right + 0.1, {"correct": right, "brevity": 0.1}
    data = {"reward": whole.reward, "parts": whole.rewards, "notes": {"words": "the path is shortest", "truth": 14}}
    whole.events.append(Event("judge", at, 1.5, 0, data=data))


def _text(draw: random.Random, tokenizer: Tokenizer, tokens: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < tokens:
        ids += tokenizer.encode(draw.choice(WORDS))
    return ids[:tokens]


def _picture(draw: random.Random) -> Media:
    image = Image.new("RGB", (168, 112), (250, 248, 240))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = draw.randrange(6) * 28, draw.randrange(4) * 28
        pen.rectangle((x, y, x + 28, y + 6), fill=(40, 60, 120))
    pen.ellipse((10, 10, 24, 24), fill=(220, 60, 50))
    return image_visual(Picture.of(np.asarray(image)), MediaRules()).media()
