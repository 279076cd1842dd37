"""Downloaded archives as data: a Debian or npm package lying in a folder, opened without installing it.

`apt-get download` and `npm pack` write one file each into the current folder; that file is read where it lies. A
Debian package is an `ar` archive around a compressed tar, an npm package a gzipped tar. Nothing in it is ever run.
"""

import fnmatch
import gzip
import hashlib
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from manyeyes.core.errors import DataError
from manyeyes.core.metrics_log import readable_errors


@dataclass(frozen=True, slots=True)
class Archive:
    """A package of Debian, npm or PyPI as one file.

    Attributes:
        package: its name in the registry.
        version: pinned.
        registry: "debian" (any mirror of Debian 12), "npm" or "pypi" (a wheel).
        sha256: of the file, where known.

    Example:
        >>> Archive("openmoji", "17.0.0", "npm").fetch
        'npm pack openmoji@17.0.0'
    """

    package: str
    version: str
    registry: Literal["debian", "npm", "pypi"]
    sha256: str | None = None

    @property
    def fetch(self) -> str:
        """The command to run inside the folder for data."""
        if self.registry == "debian":
            return f"apt-get download {self.package}={self.version}"
        if self.registry == "npm":
            return f"npm pack {self.package}@{self.version}"
        return f"pip download --no-deps --only-binary :all: {self.package}=={self.version}"

    def find(self, folder: Path) -> Path:
        """The file in `folder`.

        Raises:
            DataError: it is not there.
        """
        stem = self.package.lstrip("@").replace("/", "-")
        version = self.version.replace(":", "%3a")
        patterns = {
            "debian": f"{stem}_{version}_*.deb",
            "npm": f"{stem}-{version}.tgz",
            "pypi": f"{stem.replace('-', '_')}-{version}-*.whl",
        }
        found = sorted(folder.glob(patterns[self.registry]))
        if not found:
            raise DataError(f"{folder} holds no {patterns[self.registry]}; run there: {self.fetch}")
        return found[0]

    def check(self, folder: Path) -> None:
        """Raises DataError when the file is missing or not the pinned one."""
        path = self.find(folder)
        if self.sha256 is None:
            return
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(path, error) from error
        if found != self.sha256:
            raise DataError(f"{path.name}: sha256 is {found}, expected {self.sha256}; delete it and run: {self.fetch}")

    def unpacked(self, folder: Path, *, wanted: str = "*") -> Path:
        """The folder beside the archive into which its files of pattern `wanted` are unpacked, once.

        A second call finds them there. An unpacking that was cut short leaves nothing under the final name.

        Raises:
            DataError: the archive is missing, damaged or cannot be read, or holds no such file.
            RunFolderError: the folder cannot be written, or the disk is full.
        """
        archive = self.find(folder)
        key = hashlib.blake2b(wanted.encode(), digest_size=4).hexdigest()
        target = folder / f"{archive.name}.{key}.unpacked"
        if not target.is_dir():
            _unpack(archive, target, wanted=wanted)
        return target


class Member(NamedTuple):
    """One regular file of an archive: its path without a leading "./", and its bytes."""

    path: str
    data: bytes


def members(path: Path, *, wanted: str = "*") -> Iterator[Member]:
    """Files of a .deb, .tgz or .whl whose paths match the pattern `wanted`, in the order of the archive.

    Raises:
        DataError: the archive is damaged, of another kind, or cannot be read.
    """
    try:
        if path.suffix == ".whl":
            yield from _zip_members(path, wanted)
        elif path.suffix == ".deb":
            with tarfile.open(fileobj=io.BytesIO(_debian_tar(path)), mode="r:") as tar:
                yield from _tar_members(tar, wanted)
        else:
            with tarfile.open(path, "r:*") as tar:
                yield from _tar_members(tar, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: damaged archive ({error}); delete it and fetch it again") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror or error}); check the storage it lies on and try again")


def _tar_members(tar: tarfile.TarFile, wanted: str) -> Iterator[Member]:
    for item in tar:
        name = item.name.removeprefix("./")
        if (item.isfile() or item.islnk()) and fnmatch.fnmatchcase(name, wanted):  # handbooks share files by hard links
            file = tar.extractfile(item)
            yield Member(name, file.read() if file else b"")


def _zip_members(path: Path, wanted: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and fnmatch.fnmatchcase(name, wanted):
                yield Member(name, archive.read(name))


def _unpack(archive: Path, target: Path, *, wanted: str) -> None:
    with readable_errors(target.parent):
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        _write_all(members(archive, wanted=wanted), partial, archive)
        with readable_errors(target.parent):
            partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_all(found: Iterator[Member], target: Path, archive: Path) -> None:
    count = 0
    for path, data in found:
        place = target / path
        if not place.resolve().is_relative_to(target.resolve()):
            raise DataError(f"{archive}: holds a file outside its own folder ({path}); do not trust it")
        with readable_errors(target.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        count += 1
    if not count:
        raise DataError(f"{archive}: none of the expected files is inside; was it fetched in another version?")


_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60


def _debian_tar(path: Path) -> bytes:
    """The member `data.tar.*` of a Debian package (deb(5))."""
    data = path.read_bytes()
    place = len(_AR_MAGIC)
    if not data.startswith(_AR_MAGIC):
        raise DataError(f"{path}: expected a Debian package, it does not begin like one; fetch it again")
    while place + _AR_HEADER <= len(data):
        name = data[place : place + 16].decode("ascii", "replace").strip().rstrip("/")
        size = int(data[place + 48 : place + 58])
        start = place + _AR_HEADER
        if name.startswith("data.tar"):
            return _unpacked(data[start : start + size], name, path)
        place = start + size + size % 2
    raise DataError(f"{path}: no data.tar in this Debian package; fetch it again")


def _unpacked(data: bytes, name: str, path: Path) -> bytes:
    """Unpacked as a whole: hard links in the tar point back, and going back in a compressed stream is very slow."""
    openers = {"data.tar.xz": lzma.decompress, "data.tar.gz": gzip.decompress, "data.tar": bytes}
    if name not in openers:
        raise DataError(f"{path}: holds {name}; expected a package of Debian, with data.tar.xz")
    return openers[name](data)
