"""Output tokens a second beside llama.cpp: the same fp32 weights (`engine_gguf`), the same requests, greedy.

    python benchmarks/engine_llama.py --python PYTHON [--rounds 3] [--threads 1 2]

PYTHON is an interpreter with the package `xllamacpp` (llama.cpp's server, prebuilt); this one needs `gguf`. Its server
runs in a process of its own, with as many slots as requests, continuous batching, no prompt cache; requests come from
as many threads. Rounds alternate. Prints a table and writes benchmarks/results/engine_llama.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "engine_llama.json"
CONCURRENT = (1, 16, 64, 256)
SLOT = 288
"""Tokens that the longest request and its answer take, with room."""


class Peer:
    """llama.cpp's server in a process of its own; one line of JSON a question."""

    def __init__(self, python: str, model: Path, *, threads: int, slots: int) -> None:
        command = [python, str(Path(__file__)), "--serve", str(model), "--threads", str(threads), "--slots", str(slots)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, prompts: list[list[int]], lengths: list[int]) -> tuple[float, list[list[int]]]:
        """Seconds, and the ids of each answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([prompts, lengths]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                found = json.loads(line)
                return found["seconds"], found["ids"]
        raise RuntimeError("llama.cpp's server ended; run the command by hand to see why")

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def serve(model: Path, *, threads: int, slots: int) -> None:
    """The child: answers lines until there are no more."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.kv_unified = SLOT * slots, slots, 0, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.port, params.n_batch, params.n_ubatch = 0, 1024, 512
    params.n_threads_http = slots + 2
    server = xllamacpp.Server(params)

    def answer(asked: tuple[list[int], int]) -> list[int]:
        prompt, length = asked
        found = server.handle_completions(
            {"prompt": prompt, "n_predict": length, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        )
        return [int(word) for word in found["choices"][0]["text"].split("w")[1:]]

    with ThreadPoolExecutor(slots) as pool:
        for line in sys.stdin:
            asked = list(zip(*json.loads(line), strict=True))
            start = time.perf_counter()
            ids = list(pool.map(answer, asked))
            print(json.dumps({"seconds": time.perf_counter() - start, "ids": ids}), flush=True)


def run(python: str, *, rounds: int, threads: Sequence[int], counts: Sequence[int]) -> dict[str, Any]:
    """Both, alternating."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.engine import engine_run, work_of
    from benchmarks.engine_gguf import bench_model, write

    results: dict[str, Any] = {}
    model = bench_model()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.gguf"
        write(model, path)
        for number in threads:
            torch.set_num_threads(number)
            for count in counts:
                peer, work, ours = Peer(python, path, threads=number, slots=count), work_of(count, seed=count), []
                theirs = []
                for _ in range(rounds + 1):
                    ours.append(engine_run(model)(work))
                    theirs.append(peer.run([ids.tolist() for ids in work.prompts], work.lengths))
                peer.close()
                mine = work.tokens / statistics.median(one.seconds for one in ours[1:])
                other = work.tokens / statistics.median(seconds for seconds, _ in theirs[1:])
                pairs = zip(ours[0].ids, theirs[0][1], strict=True)
                same = sum(a == b for one, two in pairs for a, b in zip(one, two, strict=False)) / work.tokens
                results.setdefault(str(number), {})[str(count)] = row = {
                    "manyeyes_tokens_per_s": round(mine, 1),
                    "llama_cpp_tokens_per_s": round(other, 1),
                    "ratio": round(mine / other, 2),
                    "equal_tokens": round(same, 3),
                }
                print(f"{number} thread(s), {count} concurrent: {row}", flush=True)
    return results


def main() -> None:
    """Runs the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="an interpreter with xllamacpp")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--concurrent", type=int, nargs="+", default=list(CONCURRENT))
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slots", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, threads=asked.threads[0], slots=asked.slots)
        return
    if not asked.python:
        parser.error("--python PYTHON: an interpreter with the package xllamacpp")
    results = run(asked.python, rounds=asked.rounds, threads=asked.threads, counts=asked.concurrent)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps({"rounds": asked.rounds, "threads": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
