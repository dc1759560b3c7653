# ruff: noqa: ARG001  (fixtures that are wanted for what they make)
"""`frameflow data import ...` and `data export` as a user types them."""

import json
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest


def samples(path: str) -> set[tuple[str, str, str]]:
    return {(s.video.rpartition("VIDEOS/")[2], s.label, s.split) for s in Manifest.read(path)}


@pytest.fixture
def plain_names(manifest: Path) -> Path:
    """``plain.csv``, whose paths and names other forms can hold."""
    rows = Manifest.read(manifest)
    renamed = []
    for number, sample in enumerate(rows):
        target = Path("PLAIN", f"clip{number:02d}.mp4")
        target.parent.mkdir(exist_ok=True)
        rows.path(sample).rename(target)
        renamed.append(f"PLAIN/{target.name},{json.dumps(sample.label)},{sample.split}")
    Path("plain.csv").write_text("\n".join(["video,label,split", *renamed]), encoding="utf-8")
    return Path("plain.csv")


@pytest.mark.parametrize("form", ["mmaction2", "pytorchvideo"])
def test_lists_go_out_and_come_back(form: str, plain_names, frameflow) -> None:
    said = frameflow(f"data export plain.csv --format {form} -o LISTS")
    assert said.code == 0, said.err
    suffix = "txt" if form == "mmaction2" else "csv"
    lists = " ".join(f"LISTS/{split}.{suffix}" for split in ("train", "val", "test"))
    said = frameflow(f"data import {form} . {lists} --labels LISTS/labels.txt -o back.csv")
    assert said.code == 0, said.err
    assert samples("back.csv") == samples("plain.csv")


def test_kinetics_goes_out_and_comes_back(plain_names, frameflow) -> None:
    assert frameflow("data export plain.csv --format kinetics -o k.csv").code == 0
    said = frameflow("data import kinetics . k.csv -o back.csv")
    assert said.code == 0, said.err
    assert samples("back.csv") == samples("plain.csv")


def test_csv_and_parquet(manifest, frameflow) -> None:
    assert frameflow("data export manifest.csv --format csv -o deep/m.parquet").code == 0
    assert samples("deep/m.parquet") == samples("manifest.csv")


def test_fiftyone_and_label_studio(manifest, frameflow) -> None:
    said = frameflow("data export manifest.csv --format fiftyone -o FO")
    assert said.code == 0, said.err
    assert "fo.types.VideoClassificationDirectoryTree" in said.out
    links = [path for path in Path("FO").rglob("*.mp4") if path.is_symlink() and path.exists()]
    assert len(links) == 24
    said = frameflow("data export manifest.csv --format labelstudio -o tasks.json --suggest")
    assert said.code == 0
    assert len(json.loads(Path("tasks.json").read_text(encoding="utf-8"))) == 24
    assert Path("tasks.xml").exists()


def test_what_a_form_cannot_hold(manifest, frameflow) -> None:
    said = frameflow("data export manifest.csv --format mmaction2 -o LISTS")
    assert "paths hold a space" in said.error
    said = frameflow("data export manifest.csv --format kinetics -o k.csv")
    assert "these share one" in said.error
    assert not Path("LISTS").exists()
    assert not Path("k.csv").exists()


def test_a_table_with_other_names(videos, frameflow) -> None:
    Path("t.csv").write_text(
        "path;action;subset\nRückhand/00.mp4;hit;training\nRückhand/01;hit;testing\n",
        encoding="utf-8",
    )
    said = frameflow("data import table VIDEOS t.csv -o m.csv")
    assert said.code == 0, said.err
    assert samples("m.csv") == {
        ("Rückhand/00.mp4", "hit", "train"),
        ("Rückhand/01.mp4", "hit", "test"),
    }


def test_hmdb51_and_something_something(film, tmp_path, monkeypatch, frameflow) -> None:
    monkeypatch.chdir(tmp_path)
    lines = []
    for number in range(6):
        name = f"Film{number}_walk_f_nm_np1_fr_goo_0.avi"
        film(Path("HMDB/walk", name), scene=number, seed=number)
        film(Path("SS", f"{number}.mp4"), scene=number, seed=number)
        lines.append(f"{name} {2 if number == 0 else 1}")
    Path("lists").mkdir()
    Path("lists/walk_test_split1.txt").write_text("\n".join(lines))
    said = frameflow("data import hmdb51 HMDB --annotations lists -o hmdb.csv")
    assert said.code == 0, said.err
    assert "6 samples, 1 label, 6 groups, 4 train, 1 val, 1 test." in said.out
    entries = [{"id": str(n), "template": "Pushing [something]"} for n in range(6)]
    Path("train.json").write_text(json.dumps(entries))
    said = frameflow("data import something-something SS train.json -o ss.csv")
    assert said.code == 0, said.err
    assert Manifest.read("ss.csv").labels == ["Pushing something"]
