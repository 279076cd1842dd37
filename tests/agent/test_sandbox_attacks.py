"""Attacks on the sandbox. Each is a real one that would succeed without it, and must fail."""

import os
import shutil
import socket
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from manyeyes.agent import sandbox_entry
from manyeyes.agent.workspace import PathRefused

SECRET = "the host's secret 5a1f"
SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, *arguments):
    found = getattr(libc, name)(*arguments)
    print(name, "worked" if found >= 0 else os.strerror(ctypes.get_errno()))
"""


def test_passwd_cannot_be_read(inside) -> None:
    ran = inside("cat /etc/passwd /etc/shadow /proc/1/root/etc/passwd /proc/self/root/etc/passwd; ls /etc")
    assert b"root:" not in ran.output and b"passwd\n" not in ran.output.split(b"directory")[-1]


def test_host_files_cannot_be_read(inside) -> None:
    secret = inside.run.parent / "secret.txt"
    secret.write_text(SECRET)
    ran = inside(
        f"cat {secret}; cat /workspace/../../secret.txt /artefacts/../../secret.txt ../../../secret.txt;"
        f"ls {secret.parent};"
        f"find / -maxdepth 4 -name secret.txt 2>/dev/null | xargs -r cat; cat /proc/*/root{secret};"
        f"cat /proc/*/cwd/../../secret.txt"
    )
    assert SECRET.encode() not in ran.output


def test_homes_and_system_folders_of_the_host_are_not_there(inside) -> None:
    ran = inside(
        "ls -d /home /var /opt /srv /boot /sys /mnt /root/.ssh /etc/ssl/private /run/user /run/dbus 2>/dev/null"
    )
    assert ran.output == b"" and ran.status != 0


def test_other_agents_work_cannot_be_read(inside) -> None:
    other = inside.run / "work/main-2/secret.txt"
    other.parent.mkdir(parents=True)
    other.write_text(SECRET)
    ran = inside(
        f"cat {other} /workspace/../main-2/secret.txt; find / -maxdepth 4 -name secret.txt 2>/dev/null | xargs -r cat"
    )
    assert SECRET.encode() not in ran.output


def test_nothing_outside_can_be_written(inside) -> None:
    places = "/ /usr /usr/bin /etc /bin /inputs /dev /run /proc /venv/lib /proc/sys/kernel".split()
    (inside.workspace.inputs / "given.txt").write_text("given")
    ran = inside(
        f"for place in {' '.join(places)}; do touch $place/written && echo IN $place; done;"
        "echo more >> /inputs/given.txt && echo CHANGED; rm /inputs/given.txt && echo REMOVED; "
        "mv /inputs/given.txt /workspace/ && echo MOVED; chmod 777 /inputs && echo OPENED"
    )
    assert not any(word in ran.output for word in (b"IN /", b"CHANGED", b"REMOVED", b"MOVED", b"OPENED"))
    assert (inside.workspace.inputs / "given.txt").read_text() == "given"


def test_work_artefacts_and_tmp_can_be_written(inside) -> None:
    ran = inside("for place in /workspace /artefacts /tmp /dev/shm; do echo x > $place/f && cat $place/f; done")
    assert ran.output == b"x\n" * 4
    assert (inside.workspace.work / "f").exists() and (inside.workspace.artefacts / "f").exists()


def test_kernel_settings_cannot_be_changed(inside) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()
    try:
        ran = inside(
            "echo '|/workspace/evil' > /proc/sys/kernel/core_pattern && echo CHANGED;"
            "find /proc -writable -type f -not -path '/proc/[0-9]*' -not -path '/proc/self/*' "
            "-not -path '/proc/thread-self/*' 2>/dev/null"
        )
        assert ran.output.decode().splitlines()[1:] == [] and b"CHANGED" not in ran.output
        assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before
    finally:
        if Path("/proc/sys/kernel/core_pattern").read_bytes() != before:
            Path("/proc/sys/kernel/core_pattern").write_bytes(before)


CONNECT = "import socket; s = socket.create_connection(({host!r}, {port}), timeout=5); print('REACHED', s.recv(99))"


def test_loopback_of_the_host_cannot_be_reached(inside) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # it listens
            server.accept()[0].close()
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "::1"):
            ran = inside.python(CONNECT.format(host=host, port=port))
            assert ran.status == 1 and b"REACHED" not in ran.output
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_hosts_network_cannot_be_reached(inside) -> None:
    ran = inside.python("import socket; print([name for _, name in socket.if_nameindex()])")
    assert ran.output == b"['lo']\n"
    for address in {own_address(), "1.1.1.1", "10.0.0.1"}:
        ran = inside.python(CONNECT.format(host=address, port=53))
        assert ran.status == 1 and b"REACHED" not in ran.output
    assert b"REACHED" not in inside.python(CONNECT.format(host="example.org", port=80)).output


def own_address() -> str:
    """Of this machine in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.1.1"
        return asked.getsockname()[0]


def test_the_metadata_address_cannot_be_reached(inside) -> None:
    ran = inside.python(CONNECT.format(host="169.254.169.254", port=80))
    assert b"Network is unreachable" in ran.output


def test_abstract_sockets_of_the_host_cannot_be_reached(inside) -> None:
    name = f"\0manyeyes-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r}); print('REACHED')"
        ran = inside.python(connect)
        assert ran.status == 1 and b"Connection refused" in ran.output


def test_sockets_of_the_host_with_names_cannot_be_reached(inside) -> None:
    place = inside.run.parent / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        (inside.workspace.artefacts / "s").symlink_to(place)
        ran = inside.python("import socket; socket.socket(socket.AF_UNIX).connect('/artefacts/s'); print('REACHED')")
        assert ran.status == 1 and b"REACHED" not in ran.output


def test_no_socket_leads_past_the_network_namespace(inside) -> None:
    if not inside.probed.layers.calls:
        pytest.skip("only a filter of system calls can hold these")
    ran = inside.python(
        "import socket\n"
        "for family in range(64):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        try: socket.socket(family, kind).close(); print(family)\n"
        "        except OSError: pass\n"
        "socket.socketpair()\n"
        "print('ok')"
    )
    made = set(ran.output.split())
    assert b"ok" in made and b"40" not in made and made <= {b"1", b"2", b"10", b"16", b"ok"}


def test_variables_with_keys_are_not_visible(inside, monkeypatch) -> None:
    monkeypatch.setenv("MANYEYES_API_KEY", SECRET)
    ran = inside("env; cat /proc/self/environ /proc/1/environ /proc/*/environ /proc/*/task/*/environ")
    assert SECRET.encode() not in ran.output and b"MANYEYES" not in ran.output and b"HOME=/workspace" in ran.output


def test_processes_of_the_host_are_not_visible(inside) -> None:
    ran = inside("ls -d /proc/[0-9]*")
    shown = {int(Path(line).name) for line in ran.output.decode().split()}
    assert len(shown) < 6 and os.getpid() not in shown
    ran = inside(f"kill -0 {os.getpid()} && echo THERE; kill -9 {os.getpid()} && echo SHOT")
    assert b"No such process" in ran.output and b"THERE" not in ran.output


def test_a_process_of_the_host_cannot_be_traced(inside) -> None:
    room = "room = ctypes.create_string_buffer(8)\nplace = (ctypes.c_size_t * 2)(ctypes.addressof(room), 8)\n"
    read = f"tried('process_vm_readv', {os.getpid()}, place, 1, place, 1, 0)\n"
    ran = inside.python(f"{SYSCALL}{room}{read}tried('ptrace', 16, {os.getpid()}, 0, 0)")
    assert ran.status == 0 and ran.output and b"worked" not in ran.output


def test_what_the_whole_machine_or_a_user_shares_cannot_be_taken(bounded) -> None:
    if not bounded.probed.layers.calls:
        pytest.skip("a filter of system calls is what refuses these")
    ran = bounded.python(
        SYSCALL + "import fcntl\nx86 = os.uname().machine == 'x86_64'\n"
        "tried('syscall', 206 if x86 else 0, 8, ctypes.byref(ctypes.c_ulong()))\n"
        "tried('personality', 0xffffffff)\n"
        "if x86: tried('syscall', 154, 0, ctypes.create_string_buffer(64), 64)\n"
        "read, write = os.pipe()\n"
        "print(fcntl.fcntl(write, 1032), end=' ')\n"
        "try: print(fcntl.fcntl(write, 1031, 1 << 20), 'worked')\n"
        "except OSError as error: print(error.strerror)\n"
    )
    refused = ran.output.decode().splitlines()
    assert ran.status == 0 and refused[-1] == "65536 Operation not permitted", refused
    assert all(line.endswith("Operation not permitted") for line in refused), refused


def test_calls_that_nobody_has_judged_are_not_there(bounded) -> None:
    if not bounded.probed.layers.calls:
        pytest.skip("a filter of system calls is what refuses these")
    ran = bounded.python(SYSCALL + "for number in (467, 468, 470, 600): tried('syscall', number, -100, b'/', 0, 0, 0)")
    assert ran.output == b"syscall Function not implemented\n" * 4


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_filter_gives_the_answers_that_its_lists_say(processor) -> None:
    program = sandbox_entry.call_filter(processor)
    lines = [struct.unpack("=HBBI", program[at : at + 8]) for at in range(0, len(program), 8)]
    column, mark = sandbox_entry.PROCESSORS[processor]
    refused = {numbers[column] for numbers in sandbox_entry.REFUSED_CALLS.values()} - {-1}
    told = {number: answer(lines, mark, number) for number in range(700)}
    assert {number for number, said in told.items() if said == REFUSED} == refused
    missing = {number for number, said in told.items() if said == NOT_THERE}
    assert missing == {435, 437, *range(467, 700)}
    assert answer(lines, mark, (72, 25)[column], 4, 1031) == REFUSED, "F_SETPIPE_SZ"
    assert answer(lines, mark, (72, 25)[column], 4, 1032) == ALLOWED, "F_GETPIPE_SZ"
    assert answer(lines, mark ^ 1, 0) == KILLED


ALLOWED, REFUSED, NOT_THERE, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def answer(lines: list[tuple[int, ...]], mark: int, number: int, *arguments: int) -> int:
    """What the kernel would do: a machine of one register, which jumps forward."""
    known = {0: number, 4: mark} | {16 + 8 * place: value for place, value in enumerate(arguments)}
    at, held = 0, 0
    while True:
        operation, so, otherwise, value = lines[at]
        if operation == 0x06:
            return value
        if operation == 0x20:
            held = known.get(value, 1)  # an argument that nothing is said of: a Unix socket, no flag that counts
        holds = {0x15: held == value, 0x35: held >= value, 0x45: held & value != 0}.get(operation)
        at += 1 + (0 if holds is None else so if holds else otherwise)


def test_a_fork_bomb_is_held(bounded) -> None:
    count = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError:
    pass
print("made", made, flush=True)
time.sleep(10 if made >= 32 else 0)
"""
    ran = bounded.python(count, processes=32, seconds=20)
    mark = f"sleep 43210.{os.getpid()}"
    made = int(ran.output.split()[1]) if ran.output else 500
    assert made < 32 or "more than 32 processes" in ran.stopped
    bomb = bounded(f":(){{ :|:& }};: ; {mark}", processes=32, seconds=1)
    assert bomb.stopped and processes_with(mark) == []


def test_four_gib_cannot_be_allocated(bounded) -> None:
    ran = bounded.python(
        "b = bytearray(4 << 30)\nfor i in range(0, len(b), 4096): b[i] = 1\nprint('ALLOCATED')", memory=2**28
    )
    assert b"ALLOCATED" not in ran.output and (ran.status != 0)


def test_memory_of_many_processes_together_is_held(bounded) -> None:
    code = (
        "import os, time\nfor _ in range(8):\n"
        "    if os.fork() == 0:\n"
        "        b = b'x' * (64 << 20)\n        print('HELD', flush=True)\n"
        "        time.sleep(30)\n        os._exit(0)\n"
        "os.wait()"
    )
    ran = bounded.python(code, memory=2**28)
    assert ran.output.count(b"HELD") < 8 or "memory" in ran.stopped


def test_memory_cannot_be_used_up_by_files_in_memory(bounded) -> None:
    ran = bounded(
        "head -c 64M /dev/zero > /tmp/a; head -c 64M /dev/zero > /dev/shm/b; head -c 1M /dev/zero > /dev/c; "
        "stat -c %s /tmp/a /dev/shm/b",
        tmp_bytes=2**20,
    )
    sizes = [int(line) for line in ran.output.decode().splitlines() if line.isdigit()]
    assert len(sizes) == 2 and max(sizes) <= 2**20


def test_endless_output_is_stopped(bounded) -> None:
    ran = bounded("yes", output_bytes=100_000)
    assert len(ran.output) == 100_000 and "printed more than 100,000 bytes" in ran.stopped and not ran.timed_out


def test_no_user_namespace_can_be_made_inside(inside) -> None:
    ran = inside("unshare --user --map-root-user id -u")
    assert ran.status != 0 and b"\n0" not in b"\n" + ran.output
    ran = inside.python(SYSCALL + "tried('unshare', 0x10000000)\ntried('syscall', 435, 0, 0)\ntried('setns', 0, 0)")
    assert ran.status == 0 and b"worked" not in ran.output
    clone = inside.python(
        SYSCALL + "tried('syscall', 56 if os.uname().machine == 'x86_64' else 220, 0x10000011, 0,0,0,0)"
    )
    assert b"worked" not in clone.output


def test_nothing_can_be_mounted(inside) -> None:
    ran = inside.python(
        SYSCALL + "tried('mount', b'none', b'/workspace', b'tmpfs', 0, 0)\ntried('umount2', b'/proc', 2)\n"
        "tried('mount', 0, b'/usr', 0, 0x1020, 0)\ntried('chroot', b'/workspace')\n"
        "tried('pivot_root', b'/workspace', b'/workspace')"
    )
    assert ran.status == 0 and ran.output and b"worked" not in ran.output
    assert inside("mount -t tmpfs none /workspace").status != 0


def test_nobody_else_can_be_become(inside) -> None:
    program = inside.workspace.artefacts / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)  # runs as its owner, who here is the host's
    ran = inside("/artefacts/id -u; cat /proc/self/status")
    assert ran.output.startswith(b"65534\n") and b"NoNewPrivs:\t1" in ran.output
    assert b"CapEff:\t0000000000000000" in ran.output and b"CapBnd:\t0000000000000000" in ran.output
    ran = inside.python(SYSCALL + "tried('setuid', 0)\ntried('setgid', 0)\ntried('setresuid', 0, 0, 0)")
    assert ran.status == 0 and b"worked" not in ran.output


def test_no_file_is_left_that_runs_as_the_hosts_user(bounded) -> None:
    if not bounded.probed.layers.calls:
        pytest.skip("a filter of system calls is what refuses these")
    ran = bounded.python(
        "import os\n"
        "def tried(name, *arguments):\n"
        "    try:\n        getattr(os, name)(*arguments)\n        print('worked')\n"
        "    except PermissionError:\n        print('refused')\n"
        "os.chdir('/artefacts')\nopen('f', 'w').close()\nos.chmod('f', 0o777)\n"
        "tried('chmod', 'f', 0o4755)\ntried('chmod', 'f', 0o2755)\ntried('fchmod', os.open('f', 0), 0o4755)\n"
        "tried('open', 'g', os.O_CREAT | os.O_WRONLY, 0o4755)\ntried('mknod', 'h', 0o104755)\n"
        "tried('open', 'i', os.O_CREAT | os.O_WRONLY, 0o755)\n"
    )
    assert ran.output.decode().split() == ["refused"] * 5 + ["worked"]
    assert all(entry.stat().st_mode & 0o6000 == 0 for entry in bounded.workspace.artefacts.iterdir())


def test_links_do_not_lead_out_of_artefacts(inside) -> None:
    outside = inside.run.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    ran = inside(
        f"cd /artefacts; ln -s {outside}/secret.txt file; ln -s {outside} folder; ln -s ../../outside near;"
        f"ln -s / top; mkdir sub; ln -s ../.. sub/up; ln {outside}/secret.txt hard; "
        "cat file folder/secret.txt near/secret.txt hard;"
        "echo evil > file; echo evil > folder/new.txt"
    )
    assert SECRET.encode() not in ran.output
    workspace = inside.workspace
    names = ["file", "folder/secret.txt", "near/secret.txt", f"top{outside}/secret.txt", "sub/up/outside/secret.txt"]
    for name in names:
        for mode in ("r", "w", "a", "x"):
            with pytest.raises(PathRefused):
                workspace.open(f"/artefacts/{name}", mode)
    for name in ("/artefacts/../../outside/secret.txt", "/artefacts/./../secret.txt", "../../outside/secret.txt"):
        with pytest.raises(PathRefused):
            workspace.open(name)
    assert (outside / "secret.txt").read_text() == SECRET and len(list(outside.iterdir())) == 1
    assert [entry.path for entry in workspace.files("/artefacts")] == []


def test_pipes_and_devices_left_behind_hold_nobody_up(inside) -> None:
    inside("mkfifo /artefacts/pipe; mknod /artefacts/disk b 8 0; mknod /artefacts/null c 1 3")
    left = {entry.name: entry.stat() for entry in inside.workspace.artefacts.iterdir()}
    assert set(left) == {"pipe"} and stat.S_ISFIFO(left["pipe"].st_mode)
    for mode in ("r", "w"):
        with pytest.raises(PathRefused):
            inside.workspace.open("/artefacts/pipe", mode)


def test_an_archive_bomb_is_stopped(bounded) -> None:
    bomb = bounded.workspace.inputs / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"{number}.bin", b"\0" * (32 << 20))
    assert bomb.stat().st_size < 2**20
    ran = bounded.python(
        "import zipfile, time; zipfile.ZipFile('/inputs/bomb.zip').extractall(); time.sleep(60); print('UNPACKED')",
        work_bytes=32 << 20,
    )
    assert "/workspace holds" in ran.stopped and b"UNPACKED" not in ran.output and not ran.timed_out


def test_many_small_files_and_deep_folders_are_stopped(bounded) -> None:
    many = bounded("cd /artefacts; seq 3000 | xargs touch; sleep 60", files=1_000)
    assert "more than 1,000 files" in many.stopped
    deep = bounded.python("import os, time\nfor _ in range(200):\n    os.mkdir('d'); os.chdir('d')\ntime.sleep(60)")
    assert "folders more than" in deep.stopped
    assert not many.timed_out and not deep.timed_out


def test_a_single_file_has_a_largest_size(bounded) -> None:
    ran = bounded("head -c 9M /dev/zero > f; stat -c %s f", file_bytes=2**20)
    assert ran.output.split()[-1] == b"1048576"


def test_a_full_disk_stops_who_writes(bounded) -> None:
    ran = bounded("while true; do head -c 1M /dev/zero >> f; done", free_bytes=2**60, seconds=60)
    assert "left on the disk" in ran.stopped and not ran.timed_out


def test_what_is_left_running_ends_with_its_command(inside) -> None:
    mark = f"sleep 54321.{os.getpid()}"
    ran = inside(f"setsid nohup {mark} >/dev/null 2>&1 & ({mark} & disown) ; echo started")
    assert ran.output == b"started\n" and processes_with(mark) == []


def processes_with(line: str) -> list[str]:
    """Processes of the host with a command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = process.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        found += [text] if text == line else []
    return found
