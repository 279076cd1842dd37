"""`manyeyes`: one command. Each subcommand is a module of this room, imported only when it is asked for.

A subcommand module has a frozen dataclass `Options` (its fields and docstrings are the help) and `main(options)`, which
returns the exit status. Expected failures (`ManyeyesError`) become one line on standard error and status 2; a bug keeps
its traceback.
"""

import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "recipes": "list the recipes: what each trains, on what hardware, for how long",
    "run": "train a recipe through all its stages; goes on where a stopped run left off",
    "synthesise": "make dialogues for fine-tuning with teachers, verified in stages",
    "see": "ask a trained model about a picture or a clip",
    "serve": "serve a trained model: the OpenAI API for any client, the token API for trainers",
    "chat": "talk to a trained model in the terminal",
    "info": "parameter counts of a configuration or checkpoint, total and active",
    "convert": "convert a checkpoint between fp32, bf16 and INT4 in the official layout",
    "reproduce": "run an experiment of the report at a small scale",
    "swarm": "give a task to a swarm of agents on any OpenAI-compatible endpoint; `swarm demo` needs none",
    "gateway": "let agents that only speak a standard LLM API take part: dialects of OpenAI and Anthropic",
    "rollout": "run an environment with a model: many attempts at once, judged and kept",
    "rollouts": "look at a rollout run: a page, its trajectories token by token, checks, exports",
    "doctor": "say what works on this machine, and how to mend what does not",
    "watch": "follow a run live in the terminal, or export it to TensorBoard",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    _speak_any_alphabet()
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] in ("-V", "--version"):
        from manyeyes import __version__

        print(f"manyeyes {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `manyeyes {near[0]}`?" if near else "`manyeyes --help` lists them all"
        return _fail(f"no command {name!r}; {hint}")
    return _run(name, rest)


def _run(name: str, rest: list[str]) -> int:
    # Before torch is loaded: waiting threads that spin make two threads slower than one on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from manyeyes.cli.flags import parsed
    from manyeyes.core.errors import ManyeyesError
    from manyeyes.core.out_of_space import out_of_space_line

    try:
        module = importlib.import_module(f"manyeyes.cli.{name}")
        return module.main(parsed(module.Options, rest, command=f"manyeyes {name}", about=module.__doc__))
    except ManyeyesError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("torch", "safetensors", "tokenizers"):
            return _fail(f"`manyeyes {name}` needs {error.name}; install it with: pip install 'manyeyes[train]'")
        raise
    except KeyboardInterrupt:
        return _fail("stopped", status=130)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        if line := out_of_space_line(error):
            return _fail(line)
        raise


def _speak_any_alphabet() -> None:
    """What a terminal's encoding lacks is spelt out, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _overview() -> str:
    lines = ["usage: manyeyes COMMAND [OPTIONS]", "", "commands:"]
    lines += [f"  {name:<10} {what}" for name, what in COMMANDS.items()]
    lines += ["", "`manyeyes COMMAND --help` explains one command."]
    return "\n".join(lines)


def _fail(message: str, *, status: int = 2) -> int:
    print(f"manyeyes: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
