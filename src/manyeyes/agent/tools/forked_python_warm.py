"""The warm process: has Python and its packages loaded, and forks one child for each agent; runs inside the sandbox.

    host → warm    {"open": 7} with the ends of two pipes, {"interrupt": 7}, {"end": 7}
    warm → host    {"ready": true}, {"ended": 7, "status": 9}
    host ↔ child   over these, in frames: {"call": 1, "files": {}, "preamble": "", "most": 9} once, then
                   {"call": 2, "code": "", "most": 9}; each is answered with its number and what the code showed

It runs no code of agents and reads nothing of theirs: what belongs to one agent goes straight to its child. It holds
the one capability with which a child makes its own mounts and its own process namespace; a child gives that up first.

No imports of this package but files that are inside as well.

Report: App. D (tools: stateful IPython), sized for reinforcement learning (App. D: rollouts at scale).
"""

import base64
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from manyeyes.agent.tools import forked_python_confined as confined
from manyeyes.agent.tools.forked_python_cell import Cells

REFUSED = 125
ASKED, SAID = 3, 4
"""A child's descriptors: what it reads requests from, and what it writes answers to."""
LARGEST_REQUEST = 64 * 2**20
READ_AT_ONCE = 2**20
"""`os.read` sets aside room for all that it is asked for."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Serve until the host hangs up.

    The arguments are a JSON object: "control": path of the host's socket, "modules": name → module, "warm_up": code to
    run once, "child": what `forked_python_confined.give_up` is told, "size": bytes of each folder of a child.
    """
    told = json.loads(sys.argv[1])
    confined.unshare(confined.NEW_MOUNTS | confined.NEW_PROCESSES)
    if first := os.fork():  # the next process is the first of the namespace, and this one waits for its end
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) & 0xFF)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(told["control"])
    names = {name: importlib.import_module(module) for name, module in told["modules"].items()}
    exec(compile(told["warm_up"], "<warm up>", "exec"), dict(names))
    here = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    told["child"]["vsize"] = _pages("/proc/self/statm") * PAGE
    confined.cover()
    gc.collect()
    gc.freeze()  # else the first collection of every child would copy all of it
    Warm(control, here, told, names).serve()


class Warm:
    """See the module.

    Args:
        control: to the host.
        namespace: descriptor of this process's own namespace.
        told: see `main`.
        names: that code finds.
    """

    def __init__(
        self, control: socket.socket, namespace: int, told: Mapping[str, Any], names: Mapping[str, Any]
    ) -> None:
        self._control, self._namespace, self._told, self._names = control, namespace, told, names
        self._children: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._awake, self._alarm = socket.socketpair()
        for end in (self._awake, self._alarm):
            end.setblocking(False)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Until the host hangs up."""
        self._tell(ready=True)
        ready = select.poll()
        ready.register(self._control, select.POLLIN)
        ready.register(self._awake, select.POLLIN)
        while True:
            for descriptor, _ in ready.poll():
                if descriptor == self._awake.fileno():
                    self._reap()
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        """One request; False at the end."""
        said, descriptors, _, _ = socket.recv_fds(self._control, 4096, 4)
        if not said:
            return False
        [(what, number)] = json.loads(said).items()
        if what == "open":
            self._open(number, descriptors)
        elif number in self._children:
            os.kill(self._children[number], signal.SIGINT if what == "interrupt" else signal.SIGKILL)
        return True

    def _open(self, number: int, ends: Sequence[int]) -> None:
        child = -1
        try:
            confined.rejoin(self._namespace)
            confined.unshare(confined.NEW_PROCESSES)
            _reseed()
            child = os.fork()
        except OSError as error:
            self._tell(ended=number, status=REFUSED, why=str(error))
            return
        finally:
            if child != 0:
                for end in ends:
                    os.close(end)
        if child == 0:
            live(ends, self._told, self._names)
        self._children[number], self._numbers[child] = child, number

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while self._awake.recv(4096):
                pass
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                number = self._numbers.pop(found[0])
                del self._children[number]
                self._tell(ended=number, status=os.waitstatus_to_exitcode(found[1]))

    def _tell(self, **said: Any) -> None:
        self._control.send(json.dumps(said).encode())


def live(ends: Sequence[int], told: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """The life of a child; does not return.

    Args:
        ends: descriptors of its pipes: to read and to write.
        told, names: see `Warm`.
    """
    status = REFUSED
    try:
        _leave_all(ends)
        first = _request()
        try:
            files = {name: base64.b64decode(content) for name, content in first["files"].items()}
            confined.furnish(files, size=told["size"])
            confined.give_up(told["child"])
        except OSError as error:
            _answer(first, {"shown": [("text", str(error))], "status": "error"})
            return
        status = 1
        cells = Cells(names)
        _answer(first, cells.run(first["preamble"], most=first["most"]) if first["preamble"] else {"status": "ok"})
        cells.count = 0
        while request := _request():
            _answer(request, cells.run(request["code"], most=request["most"]))
        status = 0
    finally:
        os._exit(status)


def _leave_all(ends: Sequence[int]) -> None:
    """Nothing of the warm process stays but the agent's pipes; its group would hear signals to "all of my group"."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    apart = [fcntl.fcntl(end, fcntl.F_DUPFD, SAID + 1) for end in ends]  # neither may stand where the other goes
    for end, place in zip(apart, (ASKED, SAID), strict=True):
        os.dup2(end, place)
    os.closerange(SAID + 1, 65_536)


def _reseed() -> None:
    """Or all children would draw the same numbers; Python's own generator sees to that itself."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _request() -> dict[str, Any]:
    """The next frame of the host; {} at the end."""
    size = int.from_bytes(_exactly(4))
    return json.loads(_exactly(size)) if 0 < size <= LARGEST_REQUEST else {}


def _exactly(size: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < size and (piece := os.read(ASKED, min(size - len(pieces), READ_AT_ONCE))):
        pieces += piece
    return bytes(pieces) if len(pieces) == size else b""


def _answer(request: Mapping[str, Any], said: dict[str, Any]) -> None:
    told = {"call": request["call"], **said}
    content = json.dumps(told, default=lambda content: base64.b64encode(content).decode()).encode()
    left = memoryview(len(content).to_bytes(4) + content)
    while left:
        left = left[os.write(SAID, left) :]


def _pages(statm: str) -> int:
    with open(statm, encoding="ascii") as file:
        return int(file.read().split()[0])
