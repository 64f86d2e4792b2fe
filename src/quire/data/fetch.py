"""Files of a catalogue entry: found, fetched from the package index, unpacked and verified.

Nothing that is fetched is run or installed, archives give up named members only, and a file counts as present when it
has its final name: it is written under another one first.
"""

import gzip
import hashlib
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal, cast

from quire.core.config import Settings
from quire.core.errors import BadInput, QuireError

LARGEST = 256 * 2**20
"""Bytes that one unpacked file may have: more is no data set of this catalogue."""

# A source distribution must be asked for its metadata before pip hands it over. This stands in for setuptools then and
# answers from PKG-INFO, so that the package's own setup.py is never run.
_STAND_IN = """
from email.parser import HeaderParser
from pathlib import Path

class __legacy__:
    @staticmethod
    def prepare_metadata_for_build_wheel(directory, config_settings=None):
        text = Path("PKG-INFO").read_text(encoding="utf-8")
        info = HeaderParser().parsestr(text)
        folder = Path(directory, f"{info['Name']}-{info['Version']}.dist-info")
        folder.mkdir()
        (folder / "METADATA").write_text(text, encoding="utf-8")
        return folder.name
"""


class Package(Settings):
    """A package of the Python package index that carries data: which archive, and the folder inside it."""

    name: str
    version: str
    kind: Literal["wheel", "sdist"]
    sha256: str
    folder: str


def data_root() -> Path | None:
    """The folder of data sets that are there already: $QUIRE_DATA, where it is set."""
    root = os.environ.get("QUIRE_DATA")
    return Path(root) if root else None


def cache_root() -> Path:
    """The folder for what is fetched: $QUIRE_CACHE, else `quire` in the user's cache folder."""
    own = os.environ.get("QUIRE_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "quire")


def locate(folder: Path, file: str) -> Path | None:
    """Where `file` lies in `folder`, plain or compressed."""
    return next((path for end in ("", ".xz", ".gz") if (path := folder / (file + end)).is_file()), None)


def read_verified(folder: Path, file: str, *, sha256: str) -> bytes:
    """The content of `file`, decompressed; BadInput when it is not the one that the catalogue describes."""
    path = locate(folder, file)
    if path is None:
        raise BadInput(f"{folder / file}: no such file")
    try:
        with _opened(path) as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise BadInput(f"{path}: cannot be read: {error}; remove it and get the data set again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        wrong = f"sha256 of the content is {found[:12]}..., the catalogue says {sha256[:12]}..."
        raise BadInput(f"{path}: {wrong}; remove it and get the data set again")
    return content


def _opened(path: Path) -> IO[bytes]:
    match path.suffix:
        case ".xz":
            return lzma.open(path, "rb")
        case ".gz":
            return cast(IO[bytes], gzip.open(path, "rb"))
        case _:
            return path.open("rb")


def fetch(package: Package, files: Iterable[str], *, into: Path) -> None:
    """Download the archive with pip, check its hash, and write the named files to `into`."""
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".unfinished-") as work:
        archive = _download(package, Path(work))
        unfinished = [(into / file, Path(work, f"member-{i}")) for i, file in enumerate(files)]
        for final, path in unfinished:
            content = member(archive, f"{package.folder}/{final.name}")
            with path.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for final, path in unfinished:
            path.replace(final)


def _download(package: Package, work: Path) -> Path:
    """The archive in `work`; pip brings the person's index, proxy and certificates, and checks the hash itself."""
    wanted, got = work / "wanted.txt", work / "got"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--require-hashes", "--requirement", str(wanted), "--dest", str(got)]
    environment = dict(os.environ)
    if package.kind == "wheel":
        command += ["--only-binary", ":all:"]
    else:
        command += ["--no-binary", ":all:", "--use-pep517", "--no-build-isolation"]
        stand_in = work / "stand-in" / "setuptools"
        stand_in.mkdir(parents=True)
        (stand_in / "__init__.py").touch()
        (stand_in / "build_meta.py").write_text(_STAND_IN, encoding="utf-8")
        environment["PYTHONPATH"] = str(stand_in.parent)
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    archives = list(got.glob("*")) if got.is_dir() else []
    if done.returncode or len(archives) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        first = next((line for line in said if line.startswith("ERROR:")), said[-1])
        raise QuireError(f"{package.name}=={package.version}: pip could not download it: {first.strip()}")
    return archives[0]


def member(archive: Path, name: str) -> bytes:
    """The content of exactly this regular file of a zip or tar archive; nothing else is unpacked."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return _limited(opened.open(name), archive, name)
        with tarfile.open(archive) as opened_tar:
            stream = opened_tar.extractfile(name) if opened_tar.getmember(name).isreg() else None
            if stream is None:
                raise KeyError(name)
            return _limited(stream, archive, name)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise BadInput(f"{archive.name}: cannot unpack {name}: {error}") from error


def _limited(stream: IO[bytes], archive: Path, name: str) -> bytes:
    with stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise BadInput(f"{archive.name}: {name} is larger than {LARGEST} bytes")
    return content
