"""The case of appendix F: a swarm watches a folder of videos and makes a web page with timelines and clips.

    python examples/watch_videos.py                                          a made-up game, a model made of rules
    python examples/watch_videos.py FOLDER --endpoint URL --model NAME       your videos, any vision endpoint

The key of the endpoint is read from MANYEYES_API_KEY. An AGENTS.md in the folder is obeyed: it may say which videos go
to sub-agents ("Videos of 25 MB and more"). Ctrl-C stops; the same --run goes on.
"""

import argparse
import asyncio
import os
from pathlib import Path

from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.core.journal import Event
from manyeyes.swarm.video_case import CaseResult, run_case
from manyeyes.swarm.video_game import record_game
from manyeyes.swarm.video_rules import video_model


def told(event: Event) -> None:
    """Print what is worth a line."""
    if event.kind == "agent.created" and event.agent != "main":
        print(f"  {event.agent} {event.data['role']}: {event.data['prompt'].splitlines()[0]}")
    elif event.kind == "agent.finished" and event.data["outcome"]["stop"] != "done":
        print(f"  {event.agent} {event.data['outcome']['stop']}: {event.data['outcome']['reason']}")


async def watch(run: Path, videos: Path | None, endpoint: Endpoint | None) -> CaseResult:
    """Run the case; with no videos on the made-up game, with no endpoint by rules."""
    if videos is None:
        videos = run / "game"
        record_game(videos)
    if endpoint is None:
        return await run_case(run, videos, video_model(seconds=0.2), listen=told)
    async with OpenAIChat(endpoint) as model:
        secrets = (endpoint.key,) if endpoint.key else ()
        return await run_case(run, videos, model, endpoint=endpoint.url, secrets=secrets, listen=told)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="?", type=Path)
    parser.add_argument("--endpoint", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--run", type=Path, default=Path("runs/watch-videos"))
    said = parser.parse_args()
    if bool(said.endpoint) != bool(said.model) or (said.videos and not said.endpoint):
        parser.error("your own videos need --endpoint URL and --model NAME: the rules know only the made-up game")
    endpoint = Endpoint(said.endpoint, said.model, os.environ.get("MANYEYES_API_KEY", "")) if said.endpoint else None
    print(asyncio.run(watch(said.run, said.videos, endpoint)))


if __name__ == "__main__":
    main()
