"""A program that makes and scores tasks of the package reasoning-gym; a line of JSON in, a line of JSON out.

    {"do": "families"}                                              {"families": [...]}
    {"do": "make",  "family": "chain_sum", "seed": 1, "index": 3}   {"question": ..., "answer": ...}
    {"do": "score", "family": ..., ..., "answer": "42"}             {"score": 1.0}

It imports nothing of manyeyes and runs under any Python that has the package. Answers are written by models and may
mean harm, and scorers call `eval` on them: here `eval` takes literals and formulas and nothing else. Each request has
its time on the processor, after which the system ends this process; memory is limited, and files cannot be written.
An answer that a scorer cannot digest, while it digests the reference, scores 0.

Report: none (an adapter); reasoning-gym: Stojanovski et al., 2025.
"""

import ast
import builtins
import copy
import json
import os
import resource
import signal
import sys
from collections import OrderedDict

MEMORY = 4 * 2**30
MOST_DATASETS, MOST_ENTRIES = 256, 1024
FORMULA_CALLS = frozenset(
    "Symbol Integer Float Rational Function factorial factorial2 Abs abs sqrt exp log ln sin cos tan sec csc cot asin "
    "acos atan sinh cosh tanh asinh acosh atanh pi E".split()
)
"""Functions that a formula may call; the first ones are those that sympy's parser writes itself. `Integral` is none of
them: an integral left as it was asked would pass for its solution."""
HARMLESS = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp,
    ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Call, ast.keyword,
)  # fmt: skip
GUARDED = ("reasoning_gym", "sympy.parsing")
"""Modules whose `eval` is given answers; that of others (named tuples, say) is their own affair."""
_eval = builtins.eval


def harmless(source):
    """Whether an expression is made of literals, operators and calls of `FORMULA_CALLS`.

    Example:
        >>> [harmless(one) for one in ("[1, 2]", "Integer(2)*sin(Symbol('x'))", "open('x')", "().__class__", "1 +")]
        [True, True, False, False, False]
    """
    try:
        tree = ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(node, HARMLESS) and _may_call(node) for node in ast.walk(tree))


def _may_call(node):
    if isinstance(node, ast.Name):
        return "__" not in node.id
    if not isinstance(node, ast.Call):
        return True
    made = node.func.func if isinstance(node.func, ast.Call) else node.func  # Function('f')(x)
    return isinstance(made, ast.Name) and made.id in FORMULA_CALLS


def guarded_eval(source, *scopes, **named):
    """`eval`, for answers."""
    caller = sys._getframe(1)
    if not scopes and not named:  # those of the caller, as eval itself would take them
        scopes = (caller.f_globals, caller.f_locals)
    if str(caller.f_globals.get("__name__", "")).startswith(GUARDED):
        if not isinstance(source, str) or not harmless(source):
            raise ValueError("this is no literal and no formula")
    return _eval(source, *scopes, **named)


class Tasks:
    """Entries of datasets; equal requests give equal entries."""

    def __init__(self):
        self._datasets, self._entries = OrderedDict(), OrderedDict()

    def entry(self, request):
        """The dataset and the entry that a request names."""
        import reasoning_gym  # pyright: ignore[reportMissingImports]

        address = (request["family"], request["seed"], request["size"], json.dumps(request["options"], sort_keys=True))
        dataset = self._datasets.get(address)
        if dataset is None:
            dataset = reasoning_gym.create_dataset(
                request["family"], seed=request["seed"], size=request["size"], **request["options"]
            )
            self._datasets[address] = dataset
            while len(self._datasets) > MOST_DATASETS:
                self._datasets.popitem(last=False)
        return dataset, self._entry(dataset, (*address, request["index"]))

    def _entry(self, dataset, address):
        """Kept, for many attempts are made at one task; a copy, for a scorer may change what it is given."""
        entry = self._entries.get(address)
        if entry is None:
            entry = self._entries[address] = dataset[address[-1]]
            while len(self._entries) > MOST_ENTRIES:
                self._entries.popitem(last=False)
        return copy.deepcopy(entry)

    def reply(self, request):
        """What a request gives."""
        if request["do"] == "families":
            from reasoning_gym.factory import DATASETS  # pyright: ignore[reportMissingImports]

            return {"families": sorted(DATASETS)}
        dataset, entry = self.entry(request)
        if request["do"] == "make":
            answer = entry["answer"]
            return {"question": entry["question"], "answer": None if answer is None else str(answer)}
        return self.score(dataset, entry, request["answer"])

    def score(self, dataset, entry, answer):
        """The scorer's word on an answer."""
        try:
            return {"score": float(dataset.score_answer(answer=answer, entry=entry))}
        except Exception as error:  # whose fault it is, the reference tells
            reference = entry["answer"]
            dataset.score_answer(answer=None if reference is None else str(reference), entry=entry)
            return {"score": 0.0, "note": f"{type(error).__name__}: {error}"[:2000]}


def limit(seconds):
    """So much time on the processor from now on; then the system ends this process with SIGPROF."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def main():
    """Answer requests until nobody writes any."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no reply
    builtins.eval = guarded_eval
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    tasks = Tasks()
    for line in sys.stdin:
        request = json.loads(line)
        limit(request["seconds"])
        try:
            reply = tasks.reply(request)
        except Exception as error:  # the boundary of this program: whatever a family does, the next request is answered
            reply = {"error": f"{type(error).__name__}: {error}"[:2000]}
        limit(0)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
