"""Runs the demo on one small task, or goes on with it, and dies: demo_child.py FOLDER [EVENTS MICROSECONDS].

After so many events of this process, in both sessions, a thread waits for the microseconds and sends SIGKILL. Every
request that the model answers is a line in FOLDER/served, which survives that.
"""

import asyncio
import hashlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import manyeyes.swarm.demo as demo
from manyeyes.agent.fakes import Scripted
from manyeyes.core.journal import Event
from manyeyes.core.messages import Message
from manyeyes.swarm.demo import DemoConfig, run_demo
from manyeyes.swarm.rule_model import RulePolicy
from manyeyes.swarm.world import wide_tasks


def die(microseconds: int) -> None:
    """Send SIGKILL to this process, from beside its event loop."""
    time.sleep(microseconds / 1e6)
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, events: int, microseconds: int) -> None:
    """Run."""
    folder.mkdir(parents=True, exist_ok=True)
    served = os.open(folder / "served", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rules = RulePolicy()

    def answer(messages) -> Message:
        said = hashlib.sha256(repr([(m.role, m.text, m.tool_calls) for m in messages]).encode()).hexdigest()
        os.write(served, said.encode() + b"\n")
        return rules(messages)

    def count(event: Event) -> None:
        nonlocal events
        events -= 1
        if events == 0:
            threading.Thread(target=die, args=(microseconds,), daemon=True).start()

    demo.chosen = lambda count: wide_tasks()[:1]
    demo.rule_model = lambda *, seconds: Scripted(answer, seconds=seconds)
    config = DemoConfig(tasks=1, model_seconds=0.002, page_seconds=0.001)
    for ran in asyncio.run(run_demo(folder, config, listen=count)):
        print(ran.mode, ran.stop, round(ran.score.item.f1, 6), ran.figures.critical_steps, ran.figures.total_steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(map(int, sys.argv[2:4]) if len(sys.argv) > 2 else (-1, 0)))
