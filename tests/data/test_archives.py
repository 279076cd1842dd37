import errno
import io
import lzma
import os
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from manyeyes.core.errors import DataError
from manyeyes.core.metrics_log import RunFolderError
from manyeyes.data.archives import Archive, members


def a_tar(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(data)
            tar.addfile(item, io.BytesIO(data))
        for name, target in (links or {}).items():
            item = tarfile.TarInfo(name)
            item.type, item.linkname = tarfile.LNKTYPE, target
            tar.addfile(item)
    return out.getvalue()


def a_deb(path: Path, tar: bytes, *, member: str = "data.tar.xz") -> None:
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (member, lzma.compress(tar))]
    out = b"!<arch>\n"
    for name, data in parts:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    path.write_bytes(out)


DEB = Archive("pictures", "1:2.0+x-1", "debian")


@pytest.fixture
def folder(tmp_path) -> Path:
    tar = a_tar({"./a/one.txt": b"1", "./a/two.png": b"22"}, links={"./b/again.txt": "./a/one.txt"})
    a_deb(tmp_path / "pictures_1%3a2.0+x-1_all.deb", tar)
    (tmp_path / "toys-1.0.0.tgz").write_bytes(lzma.compress(a_tar({"package/x.json": b"{}"})))
    with zipfile.ZipFile(tmp_path / "some_films-3.1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_films/f.webp", b"film")
    return tmp_path


@pytest.mark.parametrize(
    ("archive", "expected"),
    [
        (DEB, {"a/one.txt": b"1", "a/two.png": b"22", "b/again.txt": b"1"}),
        (Archive("toys", "1.0.0", "npm"), {"package/x.json": b"{}"}),
        (Archive("some-films", "3.1", "pypi"), {"some_films/f.webp": b"film"}),
    ],
)
def test_every_kind_of_archive_is_found_and_read(folder, archive, expected):
    assert dict(members(archive.find(folder))) == expected


def test_only_wanted_files_are_unpacked_and_only_once(folder):
    root = DEB.unpacked(folder, wanted="*.txt")
    found = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert found == ["a/one.txt", "b/again.txt"]
    DEB.find(folder).with_suffix(".deb").touch()
    (root / "a/one.txt").write_bytes(b"kept")
    assert (DEB.unpacked(folder, wanted="*.txt") / "a/one.txt").read_bytes() == b"kept"
    assert DEB.unpacked(folder) != root


def test_messages_name_the_command(tmp_path):
    with pytest.raises(DataError, match=r"apt-get download pictures=1:2.0\+x-1"):
        DEB.find(tmp_path)


def test_a_pinned_hash_is_checked(folder):
    pinned = Archive("toys", "1.0.0", "npm", sha256="0" * 64)
    with pytest.raises(DataError, match="expected 0000.* npm pack toys@1.0.0"):
        pinned.check(folder)


@pytest.mark.parametrize("damage", [b"", b"no archive at all", b"!<arch>\n"])
def test_damaged_archives_leave_nothing_behind(folder, damage):
    DEB.find(folder).write_bytes(damage)
    with pytest.raises(DataError, match="fetch it again"):
        DEB.unpacked(folder)
    assert not list(folder.glob("*.unpacked*"))


def test_a_cut_archive_is_refused(folder):
    path = DEB.find(folder)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged archive"):
        list(members(path))


def test_files_outside_the_folder_are_refused(folder):
    a_deb(DEB.find(folder), a_tar({"../../evil.txt": b"!"}))
    with pytest.raises(DataError, match="outside"):
        DEB.unpacked(folder)
    assert not (folder.parent / "evil.txt").exists()


def test_nothing_wanted_inside_is_an_error(folder):
    with pytest.raises(DataError, match="none of the expected files"):
        DEB.unpacked(folder, wanted="*.svg")


def failing(number: int, name: str):
    """A method of Path that fails for files of that name."""

    def fail(path: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    return lambda method: lambda path, *rest, **more: fail(path) if name in path.name else method(path, *rest, **more)


def test_an_archive_that_cannot_be_read_is_named(folder, monkeypatch):
    archive = DEB.find(folder)
    monkeypatch.setattr(Path, "read_bytes", failing(errno.EIO, archive.name)(Path.read_bytes))
    with pytest.raises(DataError, match=f"{re.escape(archive.name)}: cannot be read .Input/output error"):
        DEB.unpacked(folder)
    assert not list(folder.glob("*unpacked*")), "nothing is left behind"
    monkeypatch.setattr(Path, "open", failing(errno.EIO, archive.name)(Path.open))
    with pytest.raises(DataError, match=f"{re.escape(archive.name)}: cannot be read"):
        Archive(DEB.package, DEB.version, "debian", sha256="0" * 64).check(folder)


def test_a_full_disk_while_unpacking_is_no_fault_of_the_archive(folder, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", failing(errno.ENOSPC, "two.png")(Path.write_bytes))
    with pytest.raises(RunFolderError, match="the disk is full"):
        DEB.unpacked(folder)
    assert not list(folder.glob("*unpacked*"))
