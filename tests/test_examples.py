"""Every file of examples/ runs, stays short, and says what its docstring promises."""

import ast
import asyncio
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from manyeyes.agent.sandbox_probe import Probe
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.constraint import Grammars
from manyeyes.inference.serve_control import WeightSource
from manyeyes.inference.serve_prompt import Served
from manyeyes.inference.server import ChatServer
from manyeyes.model.checkpoint import load_model, save
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build
from manyeyes.swarm.video_game import record_game

from .agent.conftest import probed as probed
from .agent.tools.browser_site import browser

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LONGEST = 62


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert f"python examples/{path.name}" in text.split('"""')[1]


def test_every_example_has_a_test_here() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested


def test_plan_a_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    load("plan_a_mixture").main()
    out = capsys.readouterr().out
    drawn = [line.split() for line in out.splitlines() if "so far" in line]
    rows = {name: [float(ratio) for ratio in ratios[:10]] for name, *ratios in drawn}
    assert all(abs(ratio - 10.0) < 0.3 for ratio in rows["early"])
    assert rows["mid"][:4] == [0.0] * 4 and rows["late"][:7] == [0.0] * 7
    assert all(abs(row[-1] - 10.0) < 0.3 for row in rows.values())
    assert "resumed alike: True" in out


def test_count_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    load("count_parameters").main()
    out = capsys.readouterr().out
    assert "1,026,879,376,368" in out and "208,550 tensors" in out


def test_list_sources(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    load("list_sources").main(tmp_path)
    out = capsys.readouterr().out
    assert "vision, perception" in out and "text, code" in out
    assert "fetch with: npm pack openmoji@17.0.0" in out


def test_see_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    load("see_a_picture").main(None)
    out = capsys.readouterr().out
    assert "<|media_pad|> x 16" in out and "patches (64, 3, 8, 8) become features (16, 128)" in out
    assert "answer: " in out


def test_train_miniature(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    load("train_miniature").main(tmp_path / "run", steps=1)
    assert "joint 1/1: loss" in capsys.readouterr().out
    assert (tmp_path / "run/report.html").is_file() and (tmp_path / "run/model/config.json").is_file()


def test_watch_videos(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    record_game(tmp_path / "game", seconds=(8, 4), threshold="30 kB")
    result = asyncio.run(load("watch_videos").watch(tmp_path / "run", tmp_path / "game", None))
    assert result.page is not None and len(result.clips) == 4
    assert "main/0 Video Analyst: Analyse this video: /inputs/01_prologue.mp4" in capsys.readouterr().out


def test_run_a_swarm(capsys: pytest.CaptureFixture[str]) -> None:
    load("run_a_swarm").main([])
    said = capsys.readouterr().out
    assert "| Fluorine | F | 9 |" in said and "sub-agents" in said


def test_serve_llama_cpp(capsys: pytest.CaptureFixture[str]) -> None:
    """That a swarm runs on it: see tests/journeys/test_llama_cpp.py."""
    with pytest.raises(SystemExit):
        load("serve_llama_cpp").main(["--help"])
    assert "a .gguf file" in capsys.readouterr().out


def test_maths_environment(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(load("maths_environment").main())
    lines = [line.partition("? ") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 4 and all(sorted(json.loads(rewards)) == [0.1, 1.1, 1.1, 1.1] for _, _, rewards in lines)


def test_tool_environment(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(load("tool_environment").main())
    lines = [line.partition(" ") for line in capsys.readouterr().out.splitlines()]
    assert [reward for reward, _, _ in lines] == ["1.0"] * 4 and len({variant for _, _, variant in lines}) == 4


def test_swarm_environment(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(load("swarm_environment").main())
    said = capsys.readouterr().out
    assert said.count("'table': 1.0") == said.count("main live") == said.count("main/0 frozen") == 2


def written(name: str) -> int:
    """Lines in which an author writes an environment: the call of `Environment` and the functions that it names."""
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text())
    wanted = [node for node in tree.body if isinstance(node, ast.Assign) and "Environment(" in ast.unparse(node)]
    names = {node.id for one in wanted for node in ast.walk(one) if isinstance(node, ast.Name)}
    wanted += [
        node for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name in names
    ]
    return sum(node.end_lineno - node.lineno + 1 for node in wanted if node.end_lineno is not None)


@pytest.mark.parametrize("name", ["maths_environment", "tool_environment"])
def test_an_environment_is_written_in_25_lines(name: str) -> None:
    assert 5 <= written(name) <= 25


def test_solve_a_puzzle(capsys: pytest.CaptureFixture[str], probed: Probe) -> None:
    asyncio.run(load("solve_a_puzzle").main())
    assert capsys.readouterr().out.count(": 1.0 {") == 2


def test_rl_with_external_engine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The server stands in this process; a process of its own, and vLLM's wire: tests/rl/test_external_engine.py."""
    save(build(tiny(), seed=0), tmp_path / "0", tiny(), dtype=torch.float32)

    async def serve() -> int:
        tokenizer = Tokenizer.tiny()
        async with AsyncEngine(load_model(tmp_path / "0"), tokenizer) as engine:
            served = Served("tiny", tokenizer, tiny().rules, engine.context, Grammars(tokenizer))
            weights = WeightSource(tmp_path, lambda folder: load_model(folder).state_dict())
            async with ChatServer(engine, served, control=engine, weights=weights) as server:
                await load("rl_with_external_engine").main(tmp_path / "0", tmp_path, server.url, server.token)
                return engine.version

    assert asyncio.run(serve()) == 3
    assert capsys.readouterr().out.count("reward 0.") == 3


def test_rl_smollm2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With a toy in place of the weights, which are fetched, and of the tasks; the real ones: tests/recipes."""
    pytest.importorskip("transformers")
    from .model.toy_hugging_face import toy, vocabulary
    from .recipes.test_smollm2 import RUN
    from .recipes.toy_gym import toy_gym

    toy().whole.save_pretrained(tmp_path / "toy")
    vocabulary().save_pretrained(tmp_path / "toy")
    asyncio.run(load("rl_smollm2").learn(RUN, tmp_path / "toy", tmp_path / "run", toy_gym(tmp_path)))
    out = capsys.readouterr().out
    assert "step 3/3" in out and "measured after step 3: sums" in out
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_use_a_computer(capsys: pytest.CaptureFixture[str]) -> None:
    browser()
    asyncio.run(load("use_a_computer").main())
    assert capsys.readouterr().out.count(": 1.0 {") == 2


def test_artefact_grm(capsys: pytest.CaptureFixture[str]) -> None:
    browser()
    asyncio.run(load("artefact_grm").main())
    tidy, broken = capsys.readouterr().out.splitlines()
    assert "chart/0/0: 1.0 {" in tidy and "chart/0/1: 0.0 {" in broken
