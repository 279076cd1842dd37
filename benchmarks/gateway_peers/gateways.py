"""The gateways that are compared: how each is started, called, and asked what it has kept.

Each runs in an environment of its own, made from requirements-*.txt, with one worker, bound to one core.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from manyeyes_gateway import TOKEN

from manyeyes.agent.gateway.wire import from_bytes

HERE = Path(__file__).parent
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
KEY = "sk-a-master-key-of-this-benchmark"
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
START_SECONDS = 120.0


class Kept(NamedTuple):
    """What a gateway tells of a call.

    Attributes:
        prompt, ids: token ids; None where it does not know them.
        logprobs: of `ids`.
        agent: which agent's call it was, where that is told.
        usable: whether nothing says that it must not be trained on.
        picture: whether the pixels that were shown can be had from it.
    """

    prompt: list[int] | None
    ids: list[int] | None
    logprobs: list[float] | None
    agent: str = ""
    usable: bool = True
    picture: bool = False


@dataclass
class Gateway:
    """One of them; a subclass says how it is spoken to.

    Attributes:
        name: for people.
        environment: its virtual environment; "" is ours.
        calls: of a round, so that rounds take about the same time.
    """

    name: str
    environment: str = ""
    calls: int = 3000
    port: int = field(default=0, init=False)
    dialects: tuple[str, ...] = ("chat",)

    def command(self, python: Path, upstream: str, folder: Path) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def url(self, session: str, agent: str = "") -> str:
        """Base address of a session's model."""
        raise NotImplementedError

    @property
    def headers(self) -> dict[str, str]:
        """That its clients send."""
        return {"Authorization": f"Bearer {KEY}"}

    async def begin(self, http: aiohttp.ClientSession, sessions: Sequence[str], upstream: str) -> None:
        """Make sessions, where they have to be made."""

    async def kept(self, http: aiohttp.ClientSession, session: str) -> list[Kept]:
        """What it kept of a session."""
        return []

    async def pause(self, http: aiohttp.ClientSession) -> bool:
        """Hold calls back while weights change; False where it cannot."""
        return False

    async def resume(self, http: aiohttp.ClientSession) -> None:
        """Go on."""

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


class Ours(Gateway):
    """manyeyes."""

    api = "chat"
    dialects = ("chat", "responses", "messages")

    def command(self, python: Path, upstream: str, folder: Path) -> list[str]:
        script = str(HERE / "manyeyes_gateway.py")
        return [str(python), script, "--port", str(self.port), "--upstream", upstream, "--api", self.api]

    def url(self, session: str, agent: str = "") -> str:
        return f"{self.base}/s/{session}{f'/a/{agent}' if agent else ''}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    async def kept(self, http: aiohttp.ClientSession, session: str) -> list[Kept]:
        async with http.get(f"{self.base}/sessions/{session}/trajectory", headers=self.headers) as answer:
            if answer.status != 200:
                return []
            whole = from_bytes(await answer.read())
        kept = []
        for number, node in enumerate(whole.nodes):
            path = whole.path(number)
            usable, role = whole.trainable(number), whole.agents[node.agent].role
            prompt, logprobs = path.ids[: len(path.ids) - len(node.sampled)].tolist(), node.logprobs.tolist()
            kept.append(Kept(prompt, node.sampled.tolist(), logprobs, role or "main", usable, bool(path.media)))
        return kept

    async def pause(self, http: aiohttp.ClientSession) -> bool:
        async with http.post(f"{self.base}/pause", json={"mode": "refuse"}, headers=self.headers) as answer:
            return answer.status == 200

    async def resume(self, http: aiohttp.ClientSession) -> None:
        await http.post(f"{self.base}/resume", json={}, headers=self.headers)


class OursOverTokens(Ours):
    """manyeyes, in front of the token API."""

    api = "tokens"


class Rllm(Gateway):
    """rLLM's gateway, which keeps traces by session."""

    def command(self, python: Path, upstream: str, folder: Path) -> list[str]:
        program = str(python.with_name("rllm-model-gateway"))
        return [
            program,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--worker",
            f"{upstream}/v1",
            "--store",
            "memory",
        ]

    def url(self, session: str, agent: str = "") -> str:
        return f"{self.base}/sessions/{session}/v1"

    async def kept(self, http: aiohttp.ClientSession, session: str) -> list[Kept]:
        async with http.get(f"{self.base}/sessions/{session}/traces") as answer:
            traces = await answer.json()
        return [
            Kept(t["prompt_token_ids"] or None, t["completion_token_ids"] or None, t["logprobs"],
                 picture="data:image" in str(t["messages"]))
            for t in traces
        ]  # fmt: skip


class AgentLightning(Gateway):
    """agent-lightning's server, which keeps events by rollout and attempt."""

    def command(self, python: Path, upstream: str, folder: Path) -> list[str]:
        program = str(python.with_name("agl-server"))
        return [program, "host=127.0.0.1", f"port={self.port}", "default_proxy.model_name=m"]

    def url(self, session: str, agent: str = "") -> str:
        return f"{self.base}/proxy/rollout/{session}/attempt/{agent or 0}/mode/train/openai/v1"

    async def begin(self, http: aiohttp.ClientSession, sessions: Sequence[str], upstream: str) -> None:
        await self._post(http, "/api/models", [{"model": "m", "endpoint": f"{upstream}/v1"}])
        await self._post(http, "/api/rollouts", [{"input": {}, "rollout_id": session} for session in sessions])

    async def kept(self, http: aiohttp.ClientSession, session: str) -> list[Kept]:
        async with http.get(
            f"{self.base}/api/rollouts/{session}/events", params={"event_type": "model_request"}
        ) as said:
            events = await said.json()
        kept = []
        for event in events if isinstance(events, list) else []:
            response = event["data"].get("response") or {}
            choice = (response.get("choices") or [{}])[0]
            told = ((choice.get("logprobs") or {}).get("content")) or []
            kept.append(Kept(
                response.get("prompt_token_ids"), choice.get("token_ids"), [one["logprob"] for one in told] or None,
                event.get("attempt_id", ""), event["data"].get("status") == "ok",
                "data:image" in str(event["data"].get("request")),
            ))  # fmt: skip
        return kept

    async def pause(self, http: aiohttp.ClientSession) -> bool:
        return await self._post(http, "/proxy/pause", {"retry_after_seconds": 1})

    async def resume(self, http: aiohttp.ClientSession) -> None:
        await self._post(http, "/proxy/resume", None)

    async def _post(self, http: aiohttp.ClientSession, path: str, body: Any) -> bool:
        async with http.post(self.base + path, json=body) as answer:
            return answer.status < 300


class LiteLlm(Gateway):
    """LiteLLM's proxy, which keeps nothing of tokens."""

    dialects = ("chat", "responses", "messages")

    def command(self, python: Path, upstream: str, folder: Path) -> list[str]:
        config = folder / "litellm.yaml"
        config.write_text(
            "model_list:\n"
            f"  - {{model_name: m, litellm_params: {{model: openai/m, api_base: {upstream}/v1, api_key: x}}}}\n"
            "router_settings: {num_retries: 0, disable_cooldowns: true}\n"
            f"general_settings: {{master_key: {KEY}}}\n"
        )
        program = str(python.with_name("litellm"))
        return [program, "--config", str(config), "--port", str(self.port), "--host", "127.0.0.1", "--num_workers", "1"]

    def url(self, session: str, agent: str = "") -> str:
        return f"{self.base}/v1"


OURS = Ours("manyeyes")
OVER_TOKENS = OursOverTokens("manyeyes, over the token API")
PEERS: tuple[Gateway, ...] = (
    Rllm("rLLM gateway", "rllm_gateway", calls=800),
    AgentLightning("agent-lightning", "agentlightning", calls=800),
    LiteLlm("LiteLLM proxy", "litellm", calls=250),
)


def make_environments(folder: Path, gateways: Sequence[Gateway], python: str) -> None:
    """Make the environments that are not there yet; agent-lightning needs Python 3.12."""
    for name in dict.fromkeys(one.environment for one in gateways if one.environment):
        wanted = (HERE / f"requirements-{name}.txt").read_text()
        made = folder / name / "requirements.txt"
        if made.is_file() and made.read_text() == wanted:
            continue
        print(f"making {folder / name}", flush=True)
        if name == "agentlightning" and sys.version_info < (3, 12):
            subprocess.run([python, "-m", "venv", str(folder / name)], check=True)
        else:
            venv.create(folder / name, with_pip=True)
        pip = [str(folder / name / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(HERE / f"requirements-{name}.txt")], check=True)
        made.write_text(wanted)


@asynccontextmanager
async def running(one: Gateway, upstream: str, environments: Path) -> AsyncIterator["Process"]:
    """A gateway that listens, in a process group of its own, bound to the first core."""
    one.port = free_port()
    python = environments / one.environment / "bin" / "python" if one.environment else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+b") as log:
        process = subprocess.Popen(
            one.command(python, upstream, Path(folder)), stdout=log, stderr=log, cwd=folder, env=os.environ | QUIET,
            start_new_session=True, preexec_fn=lambda: pin(0),
        )  # fmt: skip
        try:
            await _listening(one, process, log)
            yield Process(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _listening(one: Gateway, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", one.port)) == 0:
                return
        if process.poll() is not None:
            break
        await asyncio.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"{one.name} did not start: {log.read()[-800:].decode(errors='replace')}")


@dataclass(frozen=True)
class Process:
    """A process and those that it has started."""

    pid: int

    @property
    def cpu(self) -> float:
        """Seconds, user and system."""
        return sum(self._fields(pid, 13, 15) for pid in self._tree) / TICKS

    @property
    def mib(self) -> float:
        """Resident."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._tree) * page / 2**20

    @property
    def _tree(self) -> list[int]:
        found, left = [], [self.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            children = Path(f"/proc/{pid}/task/{pid}/children")
            left += [int(child) for child in children.read_text().split()] if children.exists() else []
        return found

    def _fields(self, pid: int, first: int, last: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[first - 2 : last - 2])


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pin(place: int) -> None:
    """Bind this process to one core, where there are two."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[place]})
