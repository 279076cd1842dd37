"""The first program inside a sandbox: takes away what is left to take away, then becomes the command.

    python -I -S sandbox_entry.py '{"rlimits": {...}, "landlock": {"read": [], "write": []}, "calls": true}' COMMAND

    alive        its input is a pipe from who started it: closed, he died before he could take us along
    limits       of a process, hard: nobody below can raise them. Set here, where processes of this sandbox count alone
    Landlock     a second line behind the mounts: only these paths, no signals or abstract sockets to the outside
    calls        seccomp: system calls that no honest command makes here and that attacks on kernels begin with

A file of its own without imports of this package, for nothing of it is inside. What was asked for and cannot be had
ends with status 125: a sandbox is never quietly weaker than was said.
"""

import ctypes
import json
import os
import platform
import select
import struct
import sys

if sys.platform != "win32":
    import resource

REFUSED = 125
_ACCESS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Landlock: how many rights on files each version of its interface knows; those after the fifth know no more."""
_READ = (1 << 0) | (1 << 2) | (1 << 3)
"""Execute, read a file, list a folder."""
_FILE_ONLY = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)
"""Rights that a file can have, too."""
_LIST = 1 << 3
_DEVICE = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 15)
_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Numbers of Landlock's calls, the same on all processors."""
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_ALLOW, _EPERM, _ENOSYS, _EAFNOSUPPORT, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x00050061, 0x80000000
REFUSED_CALLS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97),
    "setns": (308, 268), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "acct": (163, 89), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "syslog": (103, 116), "io_setup": (206, 0), "io_submit": (209, 2), "io_getevents": (208, 4),
    "statmount": (457, 457), "listmount": (458, 458), "modify_ldt": (154, -1), "personality": (135, 92),
}  # fmt: skip
"""Calls that are refused, with their numbers on x86_64 and on aarch64: other processes' memory, mounts in old and new
form and their list, namespaces, keys, BPF, counters, io_uring and its elder, whose events are counted for the whole
machine, modules, kexec, swap, quotas, files by handle, the kernel's log, segments, how the kernel shows itself."""
NEWEST = 466
"""removexattrat: the last call, on all processors, whose meaning was known when these lists were made. What came later
is not there: nobody has asked whether it leads out, and C libraries do without."""
PROCESSORS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of those numbers, and mark of the processor."""
_CLONE, _NEW_NAMESPACES = (56, 220), 0x7E020000
"""Its first argument has a flag for each namespace that it is to make."""
_MODE_AT = {
    "chmod": ((90, -1), 1), "fchmod": ((91, 52), 1), "fchmodat": ((268, 53), 2), "fchmodat2": ((452, 452), 2),
    "creat": ((85, -1), 1), "mknod": ((133, -1), 1), "mknodat": ((259, 33), 2),
}  # fmt: skip
"""Calls that give a file its mode, and which argument that is: no file may run as its owner, who is the host's user."""
_OPEN_AT = {"open": ((2, -1), 1), "openat": ((257, 56), 2)}
"""Likewise, but the mode follows flags, and means something only when these ask for a new file."""
_NEW_FILE, _RUNS_AS_OWNER = 0o100 | 0o20000000, 0o6000
_SOCKET = {"socket": (41, 198), "socketpair": (53, 199)}
_FAMILIES = (1, 2, 10, 16)
"""Of sockets that may be made: Unix, IPv4, IPv6, netlink, all of which a network namespace holds. VSOCK, for one, leads
past it, from a virtual machine to what runs it."""
_FCNTL, _SET_PIPE_SIZE = (72, 25), 1031
"""The kernel counts the memory of pipes for all processes of a user together: none is made larger than it is."""
_NOT_THERE = {"clone3": 435, "openat2": 437}
"""Calls whose flags lie in memory, where a filter cannot look; C libraries use the older ones where there are none."""


def main(arguments: list[str]) -> None:
    """Become the command."""
    wanted, command = json.loads(arguments[0]), arguments[1:]
    try:
        stay_alone()
        limit(wanted["rlimits"])
        if wanted["landlock"] is not None:
            only_these(wanted["landlock"]["read"], wanted["landlock"]["write"])
        if wanted["calls"]:
            refuse_calls()
    except OSError as error:
        sys.exit(_ended(REFUSED, f"sandbox: {error}"))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(_ended(127, f"{command[0]}: {error.strerror}"))


def _ended(status: int, why: str) -> int:
    print(why, file=sys.stderr)
    return status


def stay_alone() -> None:
    """End where nobody waits for us any more; else let go of the pipe, for the command has no input.

    Bubblewrap asks the kernel to die with its parent, and would not notice one that was dead by then.
    """
    asked = select.poll()
    asked.register(0, select.POLLIN | select.POLLHUP)
    if asked.poll(0):
        raise OSError("who started it is gone")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def limit(limits: dict[str, int]) -> None:
    """Set limits of a process; one that is lower already stays."""
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        held = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (held, held))
        except ValueError as error:
            raise OSError(f"{name} = {held}: {error}") from None


def landlock_version() -> int:
    """Of the kernel's interface; 0 where it has none."""
    found = _libc().syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, found)


def only_these(read: list[str], write: list[str]) -> None:
    """Landlock: let paths be read, and others written, too. What is not there is left out."""
    version = landlock_version()
    rights = (1 << _ACCESS_BY_ABI.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", rights, 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8  # later versions of the record have more fields
    ruleset = _called("Landlock", _CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for path in read:
        _allow(ruleset, path, rights & _READ)
    for path in write:
        _allow(ruleset, path, rights)
    _allow(ruleset, "/dev", rights & _DEVICE)
    _allow(ruleset, "/", _LIST)
    _no_new_privileges()
    _called("Landlock", _RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = struct.pack("=Qi", rights if os.path.isdir(path) else rights & _FILE_ONLY, place)
        _called(f"Landlock on {path}", _ADD, ctypes.c_int(ruleset), ctypes.c_uint(1), rule, ctypes.c_uint(0))
    finally:
        os.close(place)


def knows_calls() -> bool:
    """Whether there is a filter for this processor."""
    return platform.machine() in PROCESSORS and sys.maxsize > 2**32


def refuse_calls(*, sockets_alone: bool = False) -> None:
    """Install the seccomp filter.

    Args:
        sockets_alone: only the part that keeps to the network namespace, for programs that make a sandbox themselves.
    """
    if not knows_calls():
        raise OSError(f"no numbers of system calls for {platform.machine()}")
    program = (socket_filter if sockets_alone else call_filter)(platform.machine())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _no_new_privileges()
    if _libc().prctl(_SECCOMP, _FILTER, header, 0, 0) != 0:
        raise OSError(f"seccomp: {os.strerror(ctypes.get_errno())}")


def call_filter(processor: str) -> bytes:
    """A classic BPF program: kill what speaks another processor's calls, refuse those listed, allow the rest."""
    column, lines = PROCESSORS[processor][0], _first_lines(processor)
    lines += [(_AT_LEAST, 0, 1, NEWEST + 1), (_GIVE, 0, 0, _ENOSYS)]
    for number in _NOT_THERE.values():
        lines += _when(number, [(_GIVE, 0, 0, _ENOSYS)])
    for numbers in REFUSED_CALLS.values():
        lines += _when(numbers[column], [(_GIVE, 0, 0, _EPERM)])
    for numbers, argument in _MODE_AT.values():
        lines += _when(numbers[column], _unless(argument, _RUNS_AS_OWNER))
    for numbers, argument in _OPEN_AT.values():
        old = [(_LOAD, 0, 0, 16 + 8 * argument), (_ANY_OF, 1, 0, _NEW_FILE), (_GIVE, 0, 0, _ALLOW)]
        lines += _when(numbers[column], [*old, *_unless(argument + 1, _RUNS_AS_OWNER)])
    lines += _when(_FCNTL[column], _not(1, _SET_PIPE_SIZE))
    lines += [*_socket_lines(column), *_when(_CLONE[column], _unless(0, _NEW_NAMESPACES))]
    return _packed(lines)


def socket_filter(processor: str) -> bytes:
    """Likewise, of the families of sockets alone."""
    return _packed([*_first_lines(processor), *_socket_lines(PROCESSORS[processor][0])])


_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _GIVE = 0x20, 0x15, 0x35, 0x45, 0x06
_Line = tuple[int, int, int, int]
"""Operation, lines to skip if so and if not, value."""


def _packed(lines: list[_Line]) -> bytes:
    return b"".join(struct.pack("=HBBI", *line) for line in [*lines, (_GIVE, 0, 0, _ALLOW)])


def _first_lines(processor: str) -> list[_Line]:
    """Load the call's number, which means something for one processor only."""
    mark = PROCESSORS[processor][1]
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, mark), (_GIVE, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    return [*lines, (_AT_LEAST, 0, 1, 0x40000000), (_GIVE, 0, 0, _EPERM)]  # x32's numbers


def _socket_lines(column: int) -> list[_Line]:
    return [line for numbers in _SOCKET.values() for line in _when(numbers[column], _one_of(_FAMILIES))]


def _when(number: int, then: list[_Line]) -> list[_Line]:
    """For one call, which not every processor has; `then` ends with an answer."""
    return [(_EQUAL, 0, len(then), number), *then] if number >= 0 else []


def _unless(argument: int, bits: int) -> list[_Line]:
    """Refuse a call that has any of the bits in an argument (its lower half, on little-endian processors)."""
    return [(_LOAD, 0, 0, 16 + 8 * argument), (_ANY_OF, 0, 1, bits), (_GIVE, 0, 0, _EPERM), (_GIVE, 0, 0, _ALLOW)]


def _one_of(families: tuple[int, ...]) -> list[_Line]:
    """Refuse a call whose first argument (its lower half) is none of these."""
    known = [(_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    return [(_LOAD, 0, 0, 16), *known, (_GIVE, 0, 0, _EAFNOSUPPORT), (_GIVE, 0, 0, _ALLOW)]


def _not(argument: int, value: int) -> list[_Line]:
    """Refuse a call whose argument (its lower half) is this one."""
    return [(_LOAD, 0, 0, 16 + 8 * argument), (_EQUAL, 0, 1, value), (_GIVE, 0, 0, _EPERM), (_GIVE, 0, 0, _ALLOW)]


def _no_new_privileges() -> None:
    if _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def _called(what: str, number: int, *arguments: object) -> int:
    found = _libc().syscall(number, *arguments)
    if found < 0:
        raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main(sys.argv[1:])
