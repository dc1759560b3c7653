"""Verify an archive and unpack it: the folder appears whole or not at all."""

import hashlib
import logging
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

from frameflow.data._rar import first_damaged
from frameflow.errors import FrameFlowError
from frameflow.progress import progress

log = logging.getLogger(__name__)

_MAGIC = {".zip": b"PK", ".rar": b"Rar!\x1a\x07"}

# Each tool's command for: unpack FILE into FOLDER, ask nothing, overwrite, keep the folders.
_RAR_TOOLS: dict[str, Callable[[Path, Path], list[str]]] = {
    "unrar": lambda file, folder: ["x", "-o+", "-idq", "-p-", str(file), f"{folder}/"],
    "7z": lambda file, folder: ["x", "-y", "-bd", f"-o{folder}", str(file)],
    "7zz": lambda file, folder: ["x", "-y", "-bd", f"-o{folder}", str(file)],
    "unar": lambda file, folder: ["-f", "-q", "-D", "-o", str(folder), str(file)],
    "bsdtar": lambda file, folder: ["-x", "-f", str(file), "-C", str(folder)],
}


class ArchiveError(FrameFlowError):
    """The archive is not what it should be."""


def archive_tools(name: str) -> list[str]:
    """The programs on this machine that may unpack an archive of this name, best first.

    Raises:
        FrameFlowError: it is a RAR archive and there is none.
    """
    if not name.lower().endswith(".rar"):
        return []
    found = [tool for tool in _RAR_TOOLS if shutil.which(tool)]
    if not found:
        raise FrameFlowError(
            f"Nothing here unpacks {name}: install unrar, 7-Zip or bsdtar (Debian and Ubuntu: "
            "`apt install libarchive-tools`; macOS: `brew install libarchive`) and run this again."
        )
    return found


def check_archive(path: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Check that an archive is what it should be. The checksums inside are for `unpack`.

    Raises:
        ArchiveError: wrong size, wrong checksum, or no archive of its kind.
    """
    length = path.stat().st_size
    if size is not None and length != size:
        raise ArchiveError(f"it is {length:,} bytes long, not {size:,}")
    magic = _MAGIC[path.suffix.lower()]
    with path.open("rb") as file:
        if file.read(len(magic)) != magic:
            raise ArchiveError(f"it is no {path.suffix[1:].upper()} archive")
        if sha256 is not None:
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise ArchiveError(f"its sha256 is {found[:12]}..., not {sha256[:12]}...")


def unpack(path: Path, into: Path, folder: str, *, files: int = 0) -> None:
    """Unpack the folder that an archive holds to ``into / folder``.

    Args:
        path: a ``.zip`` or ``.rar`` file.
        into: where the folder is to stand.
        folder: the name of the one folder in the archive.
        files: how many files it holds, for the progress bar.

    Raises:
        ArchiveError: the archive is damaged or holds no such folder.
        FrameFlowError: the disk is full, or no program unpacks it.
    """
    partial = into / f".{folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        if path.suffix.lower() == ".zip":
            _unzip(path, partial)
        else:
            _unrar(path, partial, files)
        if not (partial / folder).is_dir():
            raise ArchiveError(f"it holds no folder {folder}")
        (partial / folder).replace(into / folder)
    except OSError as error:
        raise FrameFlowError(
            f"{path.name} cannot be unpacked into {into} ({error.strerror or error}): "
            "make room and run this again; the archive is kept."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unzip(path: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            with progress("Unpacking", total=len(members), unit="files") as advance:
                for member in members:
                    archive.extract(member, into)
                    advance()
    except (zipfile.BadZipFile, EOFError) as error:
        raise ArchiveError(str(error)) from None


def _unrar(path: Path, into: Path, files: int) -> None:
    """Try one program after the other: some builds of 7z and unar cannot read RAR."""
    said = ""
    for tool in archive_tools(path.name):
        command = [tool, *_RAR_TOOLS[tool](path.absolute(), into.absolute())]
        with progress("Unpacking", total=files, unit="files") as advance:
            code, said = _run(command, into, advance)
        if code == 0:
            # bsdtar writes a damaged file that was stored without compression, and says nothing.
            damaged = first_damaged(path, into) if tool == "bsdtar" else None
            if damaged:
                raise ArchiveError(f"{damaged} in it has another checksum")
            return
        if "no space left" in said.lower():
            raise OSError(28, "No space left on device")
        log.info("%s did not unpack %s.", tool, path.name)
    raise ArchiveError(said or "no program here could unpack it")


def _run(command: list[str], into: Path, advance: Callable[..., None]) -> tuple[int, str]:
    """(exit code, last line of what it said); the files that appear move the bar."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        done = 0
        while True:
            try:
                _, said = process.communicate(timeout=2)
                break
            except subprocess.TimeoutExpired:
                count = sum(1 for file in into.rglob("*") if file.is_file())
                advance(count - done)
                done = count
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return process.returncode, lines[-1] if lines else ""
