"""math-verify in its own process; needs the extra `maths`."""

import asyncio
import importlib.util
import os

import pytest

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.reward import maths_verifier
from manyeyes.reward.judge import JudgeError
from manyeyes.reward.maths_verifier import MathsVerifier

if importlib.util.find_spec("math_verify") is None and not os.environ.get("CI"):
    pytest.skip("math-verify is not installed (extra maths)", allow_module_level=True)

PAIRS = [
    (r"x+x", r"2x", True), (r"\frac{1}{2}", "0.5", True), (r"\sqrt{8}", r"2\sqrt{2}", True),
    (r"\{2,1\}", r"\{1,2\}", True),
    (r"x+1", r"x+2", False), (r"(1,2)", r"(2,1)", False), ("no idea", "x", False), (r"\frac{", "x", False),
    (r"__import__('os').system('true')", "x", False),
]  # fmt: skip


def test_expressions_are_compared_by_what_they_mean():
    async def scene():
        async with MathsVerifier(cpu_seconds=60) as verifier:
            assert [await verifier.same(answer, truth) for answer, truth, _ in PAIRS] == [same for *_, same in PAIRS]

    asyncio.run(scene())


@pytest.mark.slow
def test_expressions_that_hang_end_and_others_go_on():
    async def scene():
        async with MathsVerifier(cpu_seconds=3) as verifier:
            assert await verifier.same(r"10^{10^{10^{10}}}", r"10^{10^{10^{10}}}-1") is not True
            assert await verifier.same("(" * 900 + "x" + ")" * 900, "y") is not True
            assert await verifier.same(r"2x", r"x+x") is True  # a new process where the old one was ended
            assert await verifier.same("x" * 10_000, "x") is False
            with pytest.raises(DataError, match="mend the task"):
                await verifier.same("x", "")
            return verifier

    verifier = asyncio.run(scene())
    assert verifier.counts["failed"] == 0 and verifier.counts["asked"] == 4


def worker(tmp_path, monkeypatch, body):
    """A program in the place of the real one."""
    path = tmp_path / "worker.py"
    path.write_text(body)
    monkeypatch.setattr(maths_verifier, "WORKER", path)
    return MathsVerifier(wall_seconds=30)


def test_a_question_that_kills_its_process_has_no_verdict(tmp_path, monkeypatch):
    verifier = worker(tmp_path, monkeypatch, """
import os, signal
print('{"ready": true}', flush=True)
for line in iter(input, None):
    os.kill(os.getpid(), signal.SIGPROF)
""")  # fmt: skip
    assert asyncio.run(verifier.same("a", "b")) is None
    assert verifier.counts == {"asked": 1, "spent": 1}


def test_a_process_that_dies_by_itself_says_nothing_about_the_answer(tmp_path, monkeypatch):
    dies = "print('{\"ready\": true}', flush=True)\ninput()\nraise SystemExit(3)"
    with pytest.raises(JudgeError, match="status 3"):
        asyncio.run(worker(tmp_path, monkeypatch, dies).same("a", "b"))


def test_silence_is_no_verdict(tmp_path, monkeypatch):
    verifier = worker(tmp_path, monkeypatch, "print('{\"ready\": true}', flush=True)\nimport time\ntime.sleep(600)")
    verifier.wall_seconds = 3.0
    with pytest.raises(JudgeError, match="silent"):
        asyncio.run(verifier.same("a", "b"))


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    verifier = worker(tmp_path, monkeypatch, 'print(\'{"missing": "No module named math_verify"}\')')
    with pytest.raises(ConfigError, match=r"manyeyes\[maths\]"):
        asyncio.run(verifier.same("a", "b"))
