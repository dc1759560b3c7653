"""Get a data set from its authors' site: download, resume, verify, unpack."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from frameflow.data._download import Offline, download
from frameflow.data._unpack import ArchiveError, archive_tools, check_archive, unpack
from frameflow.errors import FrameFlowError, UsageError, near_names

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """One file to get.

    Attributes:
        name: of the file, on the site and on disk.
        folder: the folder it unpacks to.
        holds: what is in it.
        size: in bytes, where known.
        sha256: where known; the archive's own checksums are tested in any case.
        files: how many files it unpacks to, for the progress bar.
    """

    name: str
    folder: str
    holds: Literal["videos", "annotations"]
    size: int | None = None
    sha256: str | None = None
    files: int = 0


class Fetched(NamedTuple):
    """Where a data set lies now."""

    videos: Path
    annotations: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where a data set is and what it consists of."""

    name: str
    page: str
    base_url: str
    archives: tuple[Archive, ...]


DATASETS = {
    "ucf101": Dataset(
        name="ucf101",
        page="https://www.crcv.ucf.edu/data/UCF101.php",
        base_url="https://www.crcv.ucf.edu/data/UCF101/",
        archives=(
            Archive(
                "UCF101TrainTestSplits-RecognitionTask.zip",
                folder="ucfTrainTestlist",
                holds="annotations",
                size=113_943,
                sha256="5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
                files=8,
            ),
            Archive(
                "UCF101.rar", folder="UCF-101", holds="videos", size=6_932_971_618, files=13_320
            ),
        ),
    )
}


def fetch(
    dataset: str | Dataset,
    into: str | os.PathLike[str],
    *,
    base_url: str | None = None,
    verify_certificate: bool = True,
) -> Fetched:
    """Download, verify and unpack a data set.

    What is there already is not got again: an unpacked folder, an archive (also one put there by
    hand), or the first part of one, from which the download goes on.

    Args:
        dataset: ``"ucf101"``.
        into: the folder to put it in; it is made.
        base_url: where the archives are, if not on the authors' site.
        verify_certificate: False trusts a server whose certificate cannot be checked.

    Returns:
        The folders of the videos and of the annotations, as the importer of the data set takes
        them.

    Raises:
        UsageError: an unknown data set.
        FrameFlowError: no network, a broken download, a full disk, a damaged archive or nothing
            to unpack it with; the message says how to go on, and what was got is kept.
    """
    wanted = _dataset(dataset)
    folder = Path(into)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    for archive in wanted.archives:
        if not (folder / archive.folder).is_dir():
            # Before hours of download: is there anything to unpack it with?
            archive_tools(archive.name)
            _get(archive, wanted, folder, base_url or wanted.base_url, verify_certificate)
    places = {archive.holds: folder / archive.folder for archive in wanted.archives}
    return Fetched(places.get("videos", folder), places.get("annotations", folder))


def _dataset(dataset: str | Dataset) -> Dataset:
    if isinstance(dataset, Dataset):
        return dataset
    if dataset.lower() not in DATASETS:
        names = ", ".join(DATASETS)
        near = near_names(dataset.lower(), DATASETS)
        raise UsageError(f"No data set {dataset!r} can be fetched.{near} There is: {names}.")
    return DATASETS[dataset.lower()]


def _get(
    archive: Archive, dataset: Dataset, folder: Path, base_url: str, verify_certificate: bool
) -> None:
    path = folder / archive.name
    by_hand = path.is_file()
    if by_hand:
        log.info("Using %s, which is there already.", path)
    else:
        try:
            download(
                base_url.rstrip("/") + "/" + archive.name,
                path,
                size=archive.size,
                verify_certificate=verify_certificate,
            )
        except Offline as error:
            names = " and ".join(a.name for a in dataset.archives)
            raise FrameFlowError(
                f"{error}: get {names} by hand from {dataset.page}, put them into {folder} "
                "and run this again."
            ) from None
    log.info("Checking %s.", archive.name)
    try:
        check_archive(path, size=archive.size, sha256=archive.sha256)
        log.info("Unpacking %s.", archive.name)
        unpack(path, folder, archive.folder, files=archive.files)
    except ArchiveError as error:
        # A file from the user's own hands is not deleted; a bad download is, or it would be
        # taken for a good one the next time.
        if by_hand:
            cure = "delete it and run this again"
        else:
            path.unlink(missing_ok=True)
            cure = "it was deleted; run this again"
        raise FrameFlowError(f"{path} is damaged ({error}): {cure}.") from None
    log.info("%s is in %s.", archive.folder, folder / archive.folder)
