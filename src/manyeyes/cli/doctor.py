"""Say what works on this machine and how to mend what does not.

Every line is tried, not looked up: a sandbox runs a command, a kernel computes, a browser starts. Exit status 0 when
all that the base needs works, else 1; what belongs to an extra may be missing.
"""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import tyro
from rich import box
from rich.console import Console
from rich.table import Table

from manyeyes.agent.sandbox_probe import Probe, open_sandbox, probe
from manyeyes.agent.workspace import Workspace
from manyeyes.cli.locations import runs_folder, short
from manyeyes.cli.swarm_attend import KEY, endpoint_key
from manyeyes.core.errors import ManyeyesError

OLDEST_PYTHON = (3, 11)
LEAST_DISK = 2**30
LEAST_FILES = 1024
"""256 model calls under way, and as much again for pages, journals and sandboxes."""
ENDPOINT_SECONDS = 15.0
TRIAL_SECONDS = 60.0
NO_FOLDER = "export MANYEYES_RUNS=<a folder of yours>"

State = Literal["ok", "missing", "broken"]
STYLES: dict[State, str] = {"ok": "green", "missing": "yellow", "broken": "red"}


@dataclass(frozen=True)
class Options:
    """What to look at, and how to say it."""

    endpoint: Annotated[str, tyro.conf.arg(metavar="URL", help_behavior_hint="")] = ""
    """Ask this OpenAI-compatible endpoint for its models, too; its key from MANYEYES_API_KEY."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON instead of a table."""


class Finding(NamedTuple):
    """One line.

    Attributes:
        part: what was tried.
        state: "missing" is not installed, "broken" is there and does not work.
        found: what came of it.
        fix: the line that mends it; "" where there is nothing to mend.
        needed: by the base.
    """

    part: str
    state: State
    found: str
    fix: str = ""
    needed: bool = False


class Package(NamedTuple):
    """Something that comes with a package: what it is called, the module, the distribution, the extra that has it."""

    part: str
    module: str
    distribution: str
    extra: str
    needed: bool = False


PACKAGES = (
    Package("uvloop", "uvloop", "uvloop", "", True),
    Package("video", "av", "av", "", True),
    Package("PDF pages", "pypdfium2", "pypdfium2", "web"),
    Package("MCP servers", "mcp", "mcp", "mcp"),
    Package("faster local search", "tantivy", "tantivy", "search"),
    Package("XLSX tables", "xlsxwriter", "xlsxwriter", "export"),
    Package("OpenTelemetry", "opentelemetry.sdk.trace", "opentelemetry-sdk", "export"),
)


def main(options: Options) -> int:
    """Print what was found; returns the exit status."""
    findings = asyncio.run(examine(options.endpoint, endpoint_key()))
    if options.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        _show(findings, Console())
    return int(any(finding.needed and finding.state != "ok" for finding in findings))


async def examine(endpoint: str, key: str) -> list[Finding]:
    """Try everything.

    Args:
        endpoint: base URL; "" for none.
        key: for it.
    """
    probed = await probe()
    trials: list[Awaitable[Finding]] = [_kernel(probed), _browser()]
    if endpoint:
        trials.append(_endpoint(endpoint, key))
    tried = await asyncio.gather(*trials)
    packages = [_package(package) for package in PACKAGES]
    return [
        _python(),
        packages[0],
        _disk(runs_folder()),
        _open_files(),
        _sandbox(probed),
        *tried,
        *packages[1:],
        _torch(),
    ]


def _show(findings: list[Finding], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "state", "found"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        state = f"[{STYLES[finding.state]}]{finding.state}[/]"
        table.add_row(finding.part + (" (needed)" if finding.needed else ""), state, _escaped(finding.found))
    console.print(table)
    for finding in findings:
        if finding.fix:
            console.print(f"{finding.part}: {finding.fix}", soft_wrap=True, markup=False, highlight=False)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")


def _python() -> Finding:
    version, place = platform.python_version(), sys.executable
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("Python", "ok", f"{version}, {place}", needed=True)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("Python", "broken", f"{version}; {oldest} or newer is needed", "sudo apt-get install python3", True)


def _package(package: Package) -> Finding:
    part, module, distribution, extra, needed = package
    fix = f"pip install 'manyeyes[{extra}]'" if extra else f"pip install --force-reinstall {distribution}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        return Finding(part, "missing", f"{error.name} is not installed", fix, needed)
    except Exception as error:  # a package that cannot be loaded may raise anything
        return Finding(part, "broken", f"{module}: {type(error).__name__}: {error}", fix, needed)
    return Finding(part, "ok", f"{distribution} {importlib.metadata.version(distribution)}", needed=needed)


def _torch() -> Finding:
    """Not imported: that takes seconds."""
    fix = "pip install 'manyeyes[train]'"
    try:
        found = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "safetensors", "tokenizers")]
    except importlib.metadata.PackageNotFoundError as error:
        return Finding("training", "missing", f"{error.name} is not installed", fix)
    return Finding("training", "ok", ", ".join(found))


def _disk(folder: Path) -> Finding:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        return Finding("runs folder", "broken", f"{existing} is no folder", NO_FOLDER, True)
    free = shutil.disk_usage(existing).free
    found = f"{free / 2**30:,.1f} GiB free below {short(folder)}"
    if not os.access(existing, os.W_OK):
        return Finding("runs folder", "broken", f"{existing} cannot be written", NO_FOLDER, True)
    if free < LEAST_DISK:
        return Finding("runs folder", "broken", found, "export MANYEYES_RUNS=<a folder on a larger disk>", True)
    return Finding("runs folder", "ok", found, needed=True)


def _open_files() -> Finding:
    try:
        import resource
    except ImportError:
        return Finding("open files", "ok", "no limit that can be read", needed=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = [limit if limit != resource.RLIM_INFINITY else sys.maxsize for limit in (soft, hard)]
    found = f"{soft:,} at once" if soft == many[0] else "no limit"
    if many[0] >= LEAST_FILES:
        return Finding("open files", "ok", found, needed=True)
    fix = f"ulimit -n {min(8 * LEAST_FILES, many[1])}"
    return Finding("open files", "broken", f"{found}; {LEAST_FILES:,} are needed", fix, True)


def _sandbox(probed: Probe) -> Finding:
    if not probed.works:
        state: State = "missing" if "not installed" in probed.problem else "broken"
        return Finding("sandbox", state, f"{probed.problem}; agents run no code", probed.fix)
    layers = probed.layers
    found = [f"bubblewrap {probed.version} ({layers.bwrap})", "user namespaces"]
    found.append(f"control groups {layers.control_groups}" if layers.control_groups else "no control groups")
    found.append(f"Landlock {layers.landlock}" if layers.landlock else "no Landlock")
    found.append("system calls filtered" if layers.calls else "system calls not filtered")
    weaker = f"; {probed.problem}" if probed.problem else ""
    return Finding("sandbox", "ok", ", ".join(found) + weaker, probed.fix)


async def _kernel(probed: Probe) -> Finding:
    """A kernel in a sandbox that computes."""
    from manyeyes.agent.tools.ipython_pool import KernelPool

    fix = "pip install 'manyeyes[code]'"
    if importlib.util.find_spec("ipykernel") is None or importlib.util.find_spec("jupyter_client") is None:
        return Finding("ipython", "missing", "ipykernel or jupyter_client is not installed", fix)
    if not probed.works:
        return Finding("ipython", "broken", "it needs a sandbox", probed.fix)
    folder = Path(tempfile.mkdtemp(prefix="eyes-"))
    sandbox = await open_sandbox(probed=probed)
    try:
        kernels = KernelPool(sandbox)
        try:
            workspace = Workspace.of(folder, "doctor")
            done, _ = await kernels.execute("doctor", workspace, "6 * 7", seconds=TRIAL_SECONDS, most=1000)
        finally:
            await kernels.close()
    except ManyeyesError as error:
        return Finding("ipython", "broken", str(error), fix)
    finally:
        await sandbox.close()
        await asyncio.to_thread(shutil.rmtree, folder, True)
    version = f"ipykernel {importlib.metadata.version('ipykernel')}"
    if [one.text for one in done.shown] != ["42\n"]:
        return Finding("ipython", "broken", f"{version}: 6 * 7 gave {done.why or done.status}", fix)
    return Finding("ipython", "ok", f"{version}, computes in the sandbox")


async def _browser() -> Finding:
    """Chromium, started."""
    from manyeyes.agent.tools.browser_command import installed_browser
    from manyeyes.agent.tools.browser_process import RunningBrowser
    from manyeyes.agent.tools.guarded_client import DEFAULT_GUARD
    from manyeyes.agent.tools.guarded_proxy import DEFAULT_LIMITS

    if importlib.util.find_spec("playwright") is None:
        return Finding("browser", "missing", "playwright is not installed", "pip install 'manyeyes[browser]'")
    try:
        config = await asyncio.to_thread(installed_browser)
    except ManyeyesError as error:
        package = "bubblewrap" if "bubblewrap" in str(error) else "chromium"
        return Finding("browser", "missing", str(error), f"sudo apt-get install {package}")
    try:
        running = await RunningBrowser.start(config, DEFAULT_GUARD, None, DEFAULT_LIMITS)
    except ManyeyesError as error:
        return Finding("browser", "broken", str(error), "sudo apt-get install --reinstall chromium")
    try:
        return Finding("browser", "ok", f"Chromium {running.browser.version}, starts")
    finally:
        await running.stop()


async def _endpoint(url: str, key: str) -> Finding:
    """The list of models of an endpoint. Redirects are not followed: the key is for this address."""
    import aiohttp

    place = _without_credentials(url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = aiohttp.ClientTimeout(total=ENDPOINT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"{place}/models", headers=headers, allow_redirects=False) as response:
                status = response.status
                models = _models(await response.read()) if status == 200 else []
    except (aiohttp.ClientError, ValueError, OSError, TimeoutError) as error:
        fix = f"curl -sS {place}/models"
        return Finding("endpoint", "broken", f"{place} gave no answer: {type(error).__name__}", fix)
    if status in (401, 403):
        return Finding("endpoint", "broken", f"{place} refuses the key ({status})", f"export {KEY}=<your key>")
    if status != 200:
        return Finding("endpoint", "broken", f"{place}/models answers {status}", f"curl -sS {place}/models")
    return Finding(
        "endpoint", "ok", f"{place}: {len(models)} models: {', '.join(models[:3])}{', ...' if models[3:] else ''}"
    )


def _models(content: bytes) -> list[str]:
    """Names of models; none where the answer is of another kind."""
    try:
        return [str(model["id"])[:60] for model in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError):
        return []


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl().rstrip("/")
