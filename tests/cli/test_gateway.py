"""`manyeyes gateway`: what is refused before anything is loaded, and a model that answers until it is stopped."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import AsyncExitStack, ExitStack

import pytest

from manyeyes.agent.gateway.sampler_upstream import SamplerUpstream
from manyeyes.agent.remote_manyeyes import ManyeyesSampler
from manyeyes.cli.flags import parsed
from manyeyes.cli.gateway import Options, _keeper, _remote, main
from manyeyes.core.errors import ManyeyesError
from manyeyes.core.trajectory import Trajectory
from manyeyes.core.trajectory_store import TrajectoryStore

COMMAND = "\n".join([
    "import sys",
    "from manyeyes.cli import gateway",
    "from manyeyes.cli.flags import parsed",
    "sys.exit(gateway.main(parsed(gateway.Options, sys.argv[1:], command='manyeyes gateway', about='')))",
])  # fmt: skip


def test_the_whole_command_keeps_what_a_black_box_samples(random_model, tmp_path) -> None:
    arguments = ["--model", str(random_model), "--port", "0", "--device", "cpu", "--store", str(tmp_path / "kept")]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first, token = process.stdout.readline(), process.stdout.readline().removeprefix("token: ").strip()
        found = re.search(r"answers at (\S+)/s/SESSION/v1", first)
        assert found, process.stderr and process.stderr.read()
        body = {"model": "any", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
        headers = {"X-Api-Key": token, "Content-Type": "application/json"}
        asked = urllib.request.Request(f"{found[1]}/s/box-1/v1/messages", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["usage"]["output_tokens"] == 5
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "stopping; 0 calls are under way" in out and err == ""
    finally:
        process.kill()
    with TrajectoryStore(tmp_path / "kept", mode="read") as store:
        whole = store.get("box-1")
    assert len(whole.nodes[0].sampled) == 5 and whole.stop == "stopped" and "stopped before" in whole.masked


def test_a_session_that_is_begun_anew_is_kept_beside_what_it_left_before(tmp_path) -> None:
    arguments = ["--upstream", "http://x", "--store", str(tmp_path)]
    for _ in range(2):  # a gateway, and the one after its restart
        with ExitStack() as stack:
            keep = _keeper(parsed(Options, arguments, command="manyeyes gateway", about=""), stack)
            assert keep is not None
            for _ in range(2):
                keep(Trajectory("box", "t"))
    with TrajectoryStore(tmp_path, mode="read") as store:
        assert sorted(store.names()) == ["box", "box.2", "box.3", "box.4"]


def test_a_server_of_ours_is_asked_for_tokens(random_model, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_UPSTREAM_KEY", "a-key-with-the-end-of-its-line\n")
    arguments = ["--upstream", "http://127.0.0.1:9/v1", "--tokens", "--vocabulary", str(random_model)]

    async def work() -> None:
        async with AsyncExitStack() as stack:
            upstream = await _remote(parsed(Options, arguments, command="manyeyes gateway", about=""), stack)
            assert isinstance(upstream, SamplerUpstream) and isinstance(upstream.sampler, ManyeyesSampler)
            server = upstream.sampler.wire.server
            assert (server.url, server.key) == ("http://127.0.0.1:9", "a-key-with-the-end-of-its-line")

    asyncio.run(work())


@pytest.mark.parametrize(
    "arguments, why",
    [
        ([], "name what answers"),
        (["--upstream", "http://x/v1", "--model", "y"], "name what answers"),
        (["--upstream", "http://x/v1", "--host", "0.0.0.0"], "--token-file"),
        (["--upstream", "http://x/v1", "--port", "70000"], "a port lies between"),
        (["--upstream", "http://x/v1", "--token-file", "/nowhere/token"], "cannot be read"),
        (["--upstream", "http://x/v1", "--vocabulary", "/nowhere"], "nowhere"),
        (["--upstream", "127.0.0.1:8000/v1"], "http://..."),
        (["--upstream", "http://x", "--tokens"], "--vocabulary"),
        (["--model", "/nowhere/run"], "no run"),
        (["--model", "/nowhere/run", "--threads", "-1"], "--threads must be 1 or more"),
    ],
)
def test_what_is_refused(arguments, why) -> None:
    with pytest.raises(ManyeyesError, match=re.escape(why)):
        main(parsed(Options, arguments, command="manyeyes gateway", about=""))
