"""The benchmark of gateways: every probe of ours passes, and every call of the load is kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "gateway.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads processes from /proc")
def test_the_benchmark_without_peers(tmp_path: Path) -> None:
    result = tmp_path / "gateway.json"
    command = [sys.executable, str(BENCHMARK), "--peers", "--rounds", "1", "--calls", "200", "--result", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told = json.loads(result.read_text())
    for name in ("manyeyes", "manyeyes, over the token API"):
        assert told["systems"][name]["calls"] == 200 and told["systems"][name]["cpu_ms_per_call"] > 0
        assert {probe for probe, passed in told["capabilities"][name].items() if passed is not True} == set()
