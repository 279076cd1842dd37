"""`manyeyes doctor`."""

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiohttp import web

from manyeyes.agent.sandbox_bwrap import Layers
from manyeyes.agent.sandbox_probe import Probe
from manyeyes.cli import doctor
from manyeyes.cli.doctor import KEY, Finding, Options, Package

SECRET = "sk-never-shown"
BROKEN = Probe(Layers(None), "0.11.0", "bwrap does not work: no [permission]", "sudo sysctl user.x=1")


def quick(monkeypatch, findings: Sequence[Finding]) -> None:
    async def examine(endpoint: str, key: str) -> list[Finding]:
        return list(findings)

    monkeypatch.setattr(doctor, "examine", examine)


def test_everything_is_tried_and_the_base_works(capsys) -> None:
    assert doctor.main(Options(json=True)) == 0
    found = {line["part"]: line for line in json.loads(capsys.readouterr().out)}
    base, sandboxed = {"Python", "uvloop", "runs folder", "open files", "video"}, {"sandbox", "ipython", "browser"}
    extras = {"PDF pages", "MCP servers", "training", "OpenTelemetry", "XLSX tables", "faster local search"}
    assert set(found) == base | sandboxed | extras and all(found[part]["needed"] for part in base)
    assert all(line["state"] == "ok" for line in found.values() if line["needed"])
    assert all(line["fix"] for line in found.values() if line["state"] != "ok")


def test_the_status_tells_whether_the_base_works(monkeypatch, capsys) -> None:
    extra = Finding("sandbox", "broken", "no [permission]", "sudo sysctl user.x=1 && " + "x" * 200)
    quick(monkeypatch, [Finding("Python", "ok", "3.11", needed=True), extra])
    assert doctor.main(Options()) == 0
    out = capsys.readouterr().out
    assert "no [permission]" in out and f"sandbox: {extra.fix}\n" in out and "Python (needed)" in out
    quick(monkeypatch, [Finding("runs folder", "broken", "full", "tidy up", True)])
    assert doctor.main(Options()) == 1
    assert doctor.main(Options(json=True)) == 1


def test_a_package_is_ok_missing_or_broken_with_the_line_that_mends_it(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "tantivy", None)
    missing = doctor._package(Package("search", "tantivy", "tantivy", "search"))
    assert missing.state == "missing" and missing.fix == "pip install 'manyeyes[search]'"
    (tmp_path / "bad_package.py").write_text("raise RuntimeError('built for another machine')")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = doctor._package(Package("bad", "bad_package", "bad", ""))
    assert broken.state == "broken" and "another machine" in broken.found and "reinstall bad" in broken.fix
    assert doctor._package(Package("numbers", "numpy", "numpy", "", True)).state == "ok"


def test_a_sandbox_that_does_not_work_is_said_and_so_is_what_needs_it() -> None:
    found = doctor._sandbox(BROKEN)
    assert found.state == "broken" and "agents run no code" in found.found and found.fix == BROKEN.fix
    kernel = asyncio.run(doctor._kernel(BROKEN))
    assert kernel.state in ("broken", "missing") and kernel.fix
    weaker = Probe(Layers(Path("/usr/bin/bwrap")), "0.11.0", "no control groups can be made", "run as root")
    found = doctor._sandbox(weaker)
    assert found.state == "ok" and "no Landlock" in found.found and found.fix == "run as root"


def test_disk_and_open_files_have_a_least(monkeypatch, tmp_path) -> None:
    assert doctor._disk(tmp_path / "not/yet/there").state == "ok"
    (tmp_path / "file").touch()
    assert doctor._disk(tmp_path / "file" / "runs").state == "broken"
    monkeypatch.setattr(doctor, "LEAST_DISK", 2**80)
    assert doctor._disk(tmp_path).state == "broken" and doctor._disk(tmp_path).needed
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 4096))
    assert doctor._open_files() == Finding(
        "open files", "broken", "256 at once; 1,024 are needed", "ulimit -n 4096", True
    )


def test_an_endpoint_is_asked_and_its_key_never_shown(monkeypatch, capsys) -> None:
    seen: list[str | None] = []

    async def models(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        if request.headers.get("Authorization") != f"Bearer {SECRET}":
            return web.Response(status=401, text=f"wrong key, not {SECRET}")
        return web.json_response({"data": [{"id": f"model-{number}"} for number in range(5)]})

    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/v1/models"})

    async def asked() -> list[Finding]:
        application = web.Application()
        application.router.add_get("/v1/models", models)
        application.router.add_get("/moved/models", moved)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            return [
                await doctor._endpoint(f"http://user:{SECRET}@127.0.0.1:{port}/v1/", SECRET),
                await doctor._endpoint(f"http://127.0.0.1:{port}/v1", "another"),
                await doctor._endpoint(f"http://127.0.0.1:{port}/moved", SECRET),
                await doctor._endpoint(f"http://127.0.0.1:{port}/none?k={SECRET}", SECRET),
                await doctor._endpoint("http://127.0.0.1:1/v1", SECRET),
                await doctor._endpoint("no url", SECRET),
            ]
        finally:
            await runner.cleanup()

    good, refused, elsewhere, *others = asyncio.run(asked())
    assert good.state == "ok" and "5 models: model-0, model-1, model-2, ..." in good.found
    assert refused.state == "broken" and "401" in refused.found and refused.fix == f"export {KEY}=<your key>"
    assert "302" in elsewhere.found and all(one.state == "broken" and one.fix for one in others)
    assert len(seen) == 2
    quick(monkeypatch, [good, refused, elsewhere, *others])
    for as_json in (False, True):
        doctor.main(Options(json=as_json))
        assert SECRET not in capsys.readouterr().out


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 5}', b'{"data": [{}]}', b"\xff"])
def test_a_list_of_models_of_another_kind_is_empty(body: bytes) -> None:
    assert doctor._models(body) == []
