"""The plan of docs/scaling.md: machines, hours, storage and memory, reckoned from figures.

    python benchmarks/scaling_plan.py
    python benchmarks/scaling_plan.py --read-h264-ms 70 --cores 96 --dollars-core-hour 0.03

Every figure that goes in is an option. `Measured` holds those of `benchmarks/stages.py` and
`benchmarks/bookkeeping.py` on two cores, `Assumed` those that nobody measured here: prices, the
sizes of data sets, machines, how much of them is used. What comes out is extrapolated, in straight
lines (pairs of clips: in squares). Nothing here knows of a GPU.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Measured:
    """Core-milliseconds, bytes and rates of one machine."""

    read_mpeg4_ms: float = 20.0  # 16 frames of a UCF101-like clip, opened, decoded, resized
    read_h264_ms: float = 95.0  # of a Kinetics-like one, 340x256, 10 s
    frame_ms: float = 9.4  # Lite0 at 224 px, ONNX Runtime or OpenVINO, a frame
    digest_mb_s: float = 856.0  # BLAKE2b, MB a core-second
    feature_bytes: float = 92_210.0  # of a clip in a shard: 16 x 2880, half precision, mask, key
    manifest_us: float = 10.2  # a row of a CSV read and checked, 650 thousand rows
    manifest_bytes: float = 892.0  # memory of a row, read
    recall_us: float = 10.4  # a digest recalled from SQLite
    key_us: float = 1.0  # a sample's key made
    table_bytes: float = 131.0  # of a digest in SQLite
    key_bytes: float = 914.0  # memory of a row: sample, path, digest and key
    shard_clips: float = 256.0  # the most in a shard
    open_us: float = 1.7  # a sample of a store that is opened
    missing_us: float = 2.2  # a sample looked for, its shard checked in cache
    store_bytes: float = 379.0  # memory of a sample of an open store
    pairs_ns: float = 400.0  # two clips compared, for one scene in two splits
    picture_bytes: float = 75_700.0  # memory of a clip that is compared
    summary_bytes: float = 57_600.0  # of a clip that the default head learns from
    limit_gb: float = 2.15  # of summaries, and of features, that are held in memory
    epoch_us: float = 222.0  # core-us a clip and epoch, summaries in memory, 101 classes
    epoch_700_us: float = 1083.0  # 700 classes
    files_us: float = 285.0  # more where features are read from files that the system had cached


@dataclass(frozen=True)
class Assumed:
    """Nobody measured these here."""

    ucf_mb: float = 0.49  # a clip: 6.5 GB in 13,320
    kinetics_mb: float = 0.64  # a clip at 340x256, as the one measured; originals are larger
    cores: float = 64.0  # of a machine
    used: float = 0.7  # share of the cores that works, on many machines
    dollars_core_hour: float = 0.04
    dollars_gb_month: float = 0.023  # object storage
    dollars_gb_out: float = 0.09  # leaving the place where it is stored
    dollars_million_gets: float = 0.4
    epochs: float = 60.0


@dataclass(frozen=True)
class Data:
    """A data set.

    Attributes:
        name, clips: which, how many.
        mb: size of a clip.
        read_ms: core-milliseconds to read one.
        epoch_us: to learn from one in an epoch.
        machines: that share the work.
    """

    name: str
    clips: float
    mb: float
    read_ms: float
    epoch_us: float
    machines: int


Row = tuple[str, Callable[[Data], str]]


def rows(had: Measured, taken: Assumed) -> list[Row]:
    """What is told of each data set."""

    def clip_s(data: Data) -> float:
        return (data.read_ms + 16 * had.frame_ms) / 1e3 + data.mb / had.digest_mb_s

    def core_hours(data: Data) -> float:
        return data.clips * clip_s(data) / 3600

    def hours(data: Data) -> float:
        return core_hours(data) / (data.machines * taken.cores * taken.used)

    def each(data: Data) -> float:
        """MB/s that every machine reads, twice: digests, then frames."""
        return 2 * data.clips * data.mb / (hours(data) * 3600) / data.machines

    def store(data: Data) -> float:
        return data.clips * had.feature_bytes / 1e9

    def of(value: float) -> Callable[[Data], float]:
        return lambda data: data.clips * value

    def told(work: Callable[[Data], float], scale: float, unit: str) -> Callable[[Data], str]:
        return lambda data: number(work(data) / scale, unit)

    in_process = had.manifest_bytes + had.key_bytes + had.store_bytes
    look = had.manifest_us + had.recall_us + had.key_us + had.open_us + had.missing_us

    def epochs(data: Data) -> float:
        held = data.clips * had.summary_bytes / 1e9 <= had.limit_gb
        each = data.epoch_us + (0 if held else had.files_us)
        return data.clips * each / 1e6 * taken.epochs

    def out(data: Data) -> float:
        return data.clips * data.mb / 1e3 * taken.dollars_gb_out

    def kept(data: Data) -> float:
        return (data.clips * data.mb / 1e3 + store(data)) * taken.dollars_gb_month

    def pairs(data: Data) -> float:
        return data.clips**2 / 2 * had.pairs_ns

    return [
        ("clips", told(of(1), 1, "")),
        ("videos", told(lambda d: d.clips * d.mb / 1e3, 1, "GB")),
        ("extraction, `default`", told(core_hours, 1, "core-h")),
        (f"machines of {taken.cores:.0f} cores", lambda d: f"{d.machines}"),
        ("hours on them", told(hours, 1, "h")),
        ("read by each machine", told(each, 1, "MB/s")),
        ("features", told(store, 1, "GB")),
        ("shards of 256 clips", told(lambda d: d.clips / had.shard_clips, 1, "")),
        ("compute", told(lambda d: core_hours(d) / taken.used * taken.dollars_core_hour, 1, "$")),
        ("videos sent out of their cloud", told(out, 1, "$")),
        ("videos asked for, each time", told(of(taken.dollars_million_gets / 1e6), 1, "$")),
        ("videos and features kept", told(kept, 1, "$ a month")),
        ("tables in memory", told(of(in_process), 1e9, "GB")),
        ("tables looked through, each start", told(of(look), 60e6, "min")),
        ("remembered digests, SQLite", told(of(had.table_bytes), 1e9, "GB")),
        ("summaries of the `default` head", told(of(had.summary_bytes), 1e9, "GB")),
        (f"learning, {taken.epochs:.0f} epochs, one core", told(epochs, 3600, "h")),
        ("scenes compared, one core", told(pairs, 3600e9, "h")),
        ("pictures for that, in memory", told(of(had.picture_bytes), 1e9, "GB")),
    ]


def number(value: float, unit: str) -> str:
    """Two digits that count, with commas: more would be made up."""
    if value >= 100 or value == round(value):
        digits = max(0, len(f"{value:.0f}") - 3)
        text = f"{round(value / 10**digits) * 10**digits:,.0f}"
    else:
        text = f"{value:.2g}"
    return f"{text} {unit}".strip()


def plan(had: Measured, taken: Assumed) -> str:
    """The table, in Markdown."""
    sets = [
        Data("UCF101", 13_320, taken.ucf_mb, had.read_mpeg4_ms, had.epoch_us, 1),
        Data("Kinetics-700", 650_000, taken.kinetics_mb, had.read_h264_ms, had.epoch_700_us, 1),
        Data("100 million", 100_000_000, taken.kinetics_mb, had.read_h264_ms, had.epoch_700_us, 50),
    ]
    lines = [f"| | {' | '.join(data.name for data in sets)} |", "|---" * (len(sets) + 1) + "|"]
    for name, tell in rows(had, taken):
        lines.append(f"| {name} | {' | '.join(map(tell, sets))} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind in (Measured, Assumed):
        group = parser.add_argument_group(kind.__name__.lower())
        for field in fields(kind):
            group.add_argument(f"--{field.name.replace('_', '-')}", type=float,
                               default=field.default, help="%(default)s")  # fmt: skip
    given = vars(parser.parse_args(arguments))
    taken = [kind(**{field.name: given[field.name] for field in fields(kind)})
             for kind in (Measured, Assumed)]  # fmt: skip
    for one in taken:
        inside = ", ".join(f"{name} {value:g}" for name, value in vars(one).items())
        print(f"{type(one).__name__}: {inside}\n")
    print(plan(*taken))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
