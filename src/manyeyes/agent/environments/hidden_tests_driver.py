"""Inside the sandbox: makes the calls of hidden tests and writes down what they return; judges nothing.

    python hidden_tests_driver.py FOLDER ROOT MODULE SECONDS      FOLDER holds `calls.json`, and then `results.jsonl`

The code under test shares this process and may do to it whatever it likes; see `hidden_tests`. Runs by itself on the
standard library, without manyeyes.

Report: App. E.5.
"""

import importlib
import json
import signal
import sys
from typing import Any


def main(folder: str, root: str, module: str, seconds: float) -> None:
    """Make all calls, a line of results for each test."""
    with open(f"{folder}/calls.json") as file:
        tests = json.load(file)
    signal.signal(signal.SIGPROF, _too_long)
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True
    with open(f"{folder}/results.jsonl", "w") as results:
        for number, calls in enumerate(tests):
            signal.setitimer(signal.ITIMER_PROF, seconds)
            try:
                found = {"case": number, "results": _returned(importlib.import_module(module), calls)}
            except BaseException as error:  # whatever the code does is a result
                found = {"case": number, "error": f"{type(error).__name__}: {str(error)[:200]}"}
            signal.setitimer(signal.ITIMER_PROF, 0)
            results.write(json.dumps(found) + "\n")
            results.flush()


def _returned(loaded: Any, calls: list[Any]) -> list[Any]:
    """What the calls return; a class makes the object that the methods after it belong to."""
    made, returned = None, []
    for name, arguments in calls:
        function = getattr(made if name.startswith(".") else loaded, name.lstrip("."))
        if isinstance(function, type):
            made = function(*arguments)
            returned.append(None)
        else:
            returned.append(json.loads(json.dumps(function(*arguments), default=_plain)))
    return returned


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else repr(value)


def _too_long(*_: Any) -> None:
    raise TimeoutError("it took too long")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
