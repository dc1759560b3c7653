"""HMDB51 and its three official splits.

H. Kuehne, H. Jhuang, E. Garrote, T. Poggio and T. Serre, "HMDB: A Large Video Database for Human
Motion Recognition", ICCV 2011. 6,766 clips of 51 actions from films and the web. A split takes 70
clips of each class for training (code 1) and 30 for test (code 2); the others (code 0) are unused.
"""

import logging
import re
from collections import Counter
from pathlib import Path

from frameflow.data._walk import require_folder
from frameflow.data.importers._shared import Path_, VideoNames, collect, numbered_lines, refuse
from frameflow.data.manifest import Manifest, Sample
from frameflow.data.splits import cut_validation
from frameflow.errors import UsageError

log = logging.getLogger(__name__)

FOLDS = (1, 2, 3)
_CODES = {"0": "", "1": "train", "2": "test"}

# source_class_body part_camera motion_people_viewpoint_quality_clip number
_NAME = re.compile(
    r"(?P<body>[fhlu])_(?P<camera>cm|nm)_np(?P<people>\d+)_"
    r"(?P<viewpoint>ba|fr|le|ri)_(?P<quality>bad|goo|med)_(?P<number>\d+)$"
)
_WORDS = {
    "body": {"f": "full", "h": "head", "l": "lower", "u": "upper"},
    "camera": {"cm": "moving", "nm": "still"},
    "viewpoint": {"ba": "back", "fr": "front", "le": "left", "ri": "right"},
    "quality": {"bad": "bad", "goo": "good", "med": "medium"},
}


def import_hmdb51(
    videos: Path_,
    annotations: Path_,
    *,
    fold: int = 1,
    val_share: float = 0.15,
    seed: int = 0,
    allow_missing: bool = False,
) -> Manifest:
    """The manifest of one official split of HMDB51.

    The group is the class and the film that a clip's name begins with: the official splits keep
    the clips of one video apart within a class, while one film may serve several classes. What the
    name says of the clip becomes columns (``body``, ``camera``, ``people``, ``viewpoint``,
    ``quality``), so that `frameflow evaluate --by viewpoint` can tell them apart.

    Args:
        videos: the folder of the class folders.
        annotations: the folder of ``brush_hair_test_split1.txt`` and so on.
        fold: the official split, 1, 2 or 3.
        val_share: the share of the train clips that becomes ``val``, whole groups at a time.
        seed: of the choice of these groups.
        allow_missing: go on without the videos that are not there.

    Raises:
        UsageError: a folder or list is missing or malformed, or videos are missing.
    """
    if fold not in FOLDS:
        raise UsageError(f"fold ({fold}) must be 1, 2 or 3: HMDB51 has three official splits.")
    index = VideoNames(videos, "of the HMDB51 videos")
    folder = require_folder(annotations, "of the lists (brush_hair_test_split1.txt and so on)")
    samples, missing, unused = [], [], 0
    for path in _lists(folder, fold):
        label = path.name.removesuffix(f"_test_split{fold}.txt")
        for name, code in _entries(path):
            split = _CODES[code]
            if not split:
                unused += 1
                continue
            video = index.find(f"{label}/{name}")
            if video is None:
                missing.append(f"{label}/{name}")
                continue
            samples.append(_sample(video, name, label, split))
    manifest = collect(samples, missing, index.root, allow_missing=allow_missing)
    counts = Counter(sample.split for sample in manifest)
    log.info(
        "Split %d: %d train and %d test clips; %d are in neither.",
        fold,
        counts["train"],
        counts["test"],
        unused,
    )
    return cut_validation(manifest, val=val_share, seed=seed)


def _lists(folder: Path, fold: int) -> list[Path]:
    found = sorted(folder.glob(f"**/*_test_split{fold}.txt"))
    if not found:
        raise UsageError(
            f"There is no list such as brush_hair_test_split{fold}.txt in {folder}: give the "
            "folder of the official lists, testTrainMulti_7030_splits."
        )
    return found


def _entries(path: Path) -> list[tuple[str, str]]:
    entries, faults = [], []
    for number, line in numbered_lines(path):
        name, _, code = line.rpartition(" ")
        if name.strip() and code in _CODES:
            entries.append((name.strip(), code))
        else:
            faults.append((number, f"{line!r} is not a video and 0, 1 or 2"))
    refuse(path, faults)
    return entries


def _sample(video: str, name: str, label: str, split: str) -> Sample:
    stem = Path(name).stem
    match = _NAME.search(stem)
    source = stem[: match.start()].removesuffix("_") if match else stem
    source = source.removesuffix(f"_{label}")
    told = (
        {key: match[key] for key in ("body", "camera", "people", "viewpoint", "quality")}
        if match
        else {}
    )
    extra = {key: _WORDS.get(key, {}).get(value, value) for key, value in told.items()}
    return Sample(video, label, split, f"{label}/{source}", extra={"source": source, **extra})
