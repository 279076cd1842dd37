"""The page's table is what the committed file says."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_holds_what_was_measured() -> None:
    spec = importlib.util.spec_from_file_location("mismatch", ROOT / "benchmarks/mismatch.py")
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = json.loads((ROOT / "benchmarks/results/mismatch.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/train-inference-mismatch.md").read_text(encoding="utf-8")
    assert "\n".join(benchmark.table(found["results"])) in page, "run benchmarks/mismatch.py and put its table in"
