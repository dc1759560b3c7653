"""How many test clips of UCF101 have a sibling in training: random splits beside the official.

A group of UCF101 is cut from one source video: its 4 to 7 clips share the place, the people, the
clothes and the light. Counted from the authors' lists alone; no video is read.

    python benchmarks/ucf101_siblings.py --lists ucfTrainTestlist
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from random import Random
from statistics import mean, stdev

DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "ucfTrainTestlist"
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def read_list(path: Path) -> list[str]:
    """``v_Archery_g01_c01`` of each line."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Path(line.split()[0]).stem for line in lines if line.strip()]


def group_of(clip: str) -> str:
    """``v_Archery_g01`` of ``v_Archery_g01_c01``."""
    return re.sub(r"_c\d+$", "", clip)


def random_split(clips: list[str], seed: int) -> dict[str, str]:
    """The split of each clip: 60/20/20, drawn over clips."""
    shuffled = Random(seed).sample(clips, len(clips))
    train = round(SHARES["train"] * len(clips))
    val = train + round(SHARES["val"] * len(clips))
    names = ["train"] * train + ["val"] * (val - train) + ["test"] * (len(clips) - val)
    return dict(zip(shuffled, names, strict=True))


def siblings(splits: Mapping[str, str]) -> float:
    """The share of the test clips whose group stands in train too."""
    trained = {group_of(clip) for clip, split in splits.items() if split == "train"}
    test = [clip for clip, split in splits.items() if split == "test"]
    return sum(group_of(clip) in trained for clip in test) / len(test)


def official(folder: Path, fold: int) -> dict[str, str]:
    """The split of each clip in one of the authors' three."""
    return {
        clip: split
        for split in ("train", "test")
        for clip in read_list(folder / f"{split}list{fold:02d}.txt")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lists", type=Path, default=DEFAULT, help="the folder ucfTrainTestlist")
    parser.add_argument("--seeds", type=int, default=10, help="random splits to draw")
    options = parser.parse_args()
    clips = sorted(official(options.lists, 1))
    print(f"{len(clips):,} clips of {len({*map(group_of, clips)}):,} groups\n")
    print(f"{'split':<36}{'test clips':>11}{'with a sibling in train':>25}")
    drawn = [random_split(clips, seed) for seed in range(options.seeds)]
    found = [siblings(splits) for splits in drawn]
    spread = f"{100 * mean(found):.1f} % ± {100 * stdev(found):.1f}" if len(found) > 1 else ""
    count = sum(split == "test" for split in drawn[0].values())
    name = f"random over clips, 60/20/20, {len(found)} seeds"
    print(f"{name:<36}{count:>11,}{spread or f'{100 * found[0]:.1f} %':>25}")
    for fold in (1, 2, 3):
        splits = official(options.lists, fold)
        count = sum(split == "test" for split in splits.values())
        name = f"official {fold}"
        print(f"{name:<36}{count:>11,}{f'{100 * siblings(splits):.1f} %':>25}")


if __name__ == "__main__":
    main()
