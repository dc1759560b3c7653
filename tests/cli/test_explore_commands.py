"""`frameflow data explore` and `data next` as a user types them, and the page in a browser."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from frameflow.data.manifest import Manifest

Run = Callable[..., Any]

FEATURES = [
    *("--set", "streams.0.backbone=mobilenetv3_small_050"),
    *("--set", "streams.0.weights=none"),
    *("--set", "streams.0.size=64"),
    *("--set", "sampling.frames=4"),
    *("--engine", "torch"),
]


@pytest.fixture(scope="module")
def explored(
    _small: Path, tmp_path_factory: pytest.TempPathFactory, frameflow: Run
) -> tuple[Path, Any]:
    """A page of the small clips, of which two have no label, one is broken and groups leak."""
    folder = tmp_path_factory.mktemp("explored")
    samples = Manifest.read(_small / "manifest.csv").samples
    (folder / "broken.mp4").write_bytes(b"no video")
    other = next(n for n, s in enumerate(samples) if s.split == "test")
    mate = next(n for n, s in enumerate(samples) if n != other and s.group == samples[other].group)
    samples[other] = replace(samples[other], split="train")
    samples[mate] = replace(samples[mate], split="test")
    samples = [replace(s, label="", split="") if n in (0, 20) else s for n, s in enumerate(samples)]
    samples = [replace(s, video=str(_small / s.video)) for s in samples]
    samples.append(replace(samples[1], video="broken.mp4", group="x", split="train"))
    Manifest(samples, folder).write(folder / "clips.csv")
    said = frameflow("data", "explore", folder / "clips.csv", "-o", folder / "p.html", *FEATURES)
    assert said.code == 0, said.err
    return folder, said


def test_it_says_what_it_wrote(explored: tuple[Path, Any]) -> None:
    folder, said = explored
    assert re.search(r"Wrote .*p\.html \(\d\.\d MB\): 25 samples, 2 labels", said.out)
    assert re.search(r"Wrote .*DATASHEET\.md: \d+ open questions\.", said.out)
    assert "of 22 labels are likely wrong" in said.out
    assert "1 sample cannot be used" in said.out
    assert "broken.mp4" in (folder / "DATASHEET.md").read_text(encoding="utf-8")


def test_the_page_names_what_is_wrong(explored: tuple[Path, Any]) -> None:
    text = (explored[0] / "p.html").read_text(encoding="utf-8")
    assert "LEAK" in text
    assert "1 group stands in more than one split." in text
    assert "broken.mp4" in text
    assert "Without a label" in text
    assert "Looks like" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text
    assert "NaN" not in re.sub(r"base64,[^\")]*", "", text)


def test_the_same_data_gives_the_same_page(explored: tuple[Path, Any], frameflow: Run) -> None:
    folder, _ = explored
    before = (folder / "p.html").read_bytes()
    said = frameflow("data", "explore", folder / "clips.csv", "-o", folder / "p.html", *FEATURES)
    assert said.code == 0
    assert (folder / "p.html").read_bytes() == before
    assert "Renewed the facts of" in said.out


class TestBrowser:
    @pytest.fixture
    def page(self, browser: Any, explored: tuple[Path, Any]) -> Iterator[Any]:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.faults, page.fetched = [], []
        page.on("console", lambda message: page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda request: page.fetched.append(request.url))
        page.goto((explored[0] / "p.html").as_uri())
        yield page
        assert page.faults == []
        assert [url for url in page.fetched if not url.startswith(("file:", "data:"))] == []
        page.close()

    def test_colours_switch_and_names_filter(self, page: Any) -> None:
        before = page.evaluate("document.getElementById('plane').toDataURL()")
        assert page.locator("#legend button").all_inner_texts()[0].startswith("backhand")
        page.get_by_label("split", exact=True).check()
        names = [text.split()[0] for text in page.locator("#legend button").all_inner_texts()]
        assert names == ["train", "val", "test", "none"]
        page.wait_for_timeout(100)
        assert page.evaluate("document.getElementById('plane').toDataURL()") != before
        page.locator("#legend button", has_text="test").click()
        assert re.fullmatch(r"\d of 24 clips", page.locator("#count").inner_text())
        page.get_by_label("group", exact=True).check()
        assert page.locator("#count").inner_text() == "24 clips"
        page.locator("#find").fill("serve/0")
        assert page.locator("#count").inner_text() == "10 of 24 clips"

    def test_keys_go_from_clip_to_clip(self, page: Any) -> None:
        page.locator("#plane").focus()
        seen = set()
        for key in ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "ArrowLeft"]:
            page.keyboard.press(key)
            seen.add(page.locator("#shown").inner_text())
        assert len(seen) >= 3
        assert all("label" in text and "group" in text and ".mp4" in text for text in seen)
        page.wait_for_timeout(150)
        colours = page.evaluate(
            "new Set(document.getElementById('picture').getContext('2d')"
            ".getImageData(0, 0, 60, 40).data).size"
        )
        assert colours > 10, "the clip's frame is drawn"
        page.keyboard.press("Escape")
        assert "Point at a clip" in page.locator("#shown").inner_text()

    def test_pointing_shows_the_clip(self, page: Any) -> None:
        page.locator("#plane").scroll_into_view_if_needed()
        box = page.locator("#plane").bounding_box()
        for step in range(600):
            across, down = step % 25 * 30, step // 25 * 26
            page.mouse.move(box["x"] + across, box["y"] + down)
            if ".mp4" in page.locator("#shown").inner_text():
                break
        assert ".mp4" in page.locator("#shown").inner_text()
        page.mouse.move(box["x"] - 40, box["y"])
        assert ".mp4" not in page.locator("#shown").inner_text()

    def test_a_suspect_is_shown_on_the_map(self, page: Any) -> None:
        button = page.locator(".goto").first
        name = button.locator("xpath=..").locator(".file").get_attribute("title")
        button.click()
        assert Path(name).name in page.locator("#shown").inner_text()
        assert "looks like" in page.locator("#shown").inner_text()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_phone_scrolls_down_only(self, page: Any, scheme: str) -> None:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_without_features_nothing_is_extracted(
    small_clips: Path, frameflow: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clips)
    said = frameflow("data explore manifest.csv --no-features --no-content")
    assert said.code == 0, said.err
    text = Path("explore.html").read_text(encoding="utf-8")
    assert "Map of the clips" not in text
    assert "Clips were not compared by content" in text
    assert "Some clips of each class" in text
    assert Path("DATASHEET.md").exists()


def test_several_labels_are_counted_each(
    small_clips: Path, frameflow: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clips)
    manifest = Manifest.read("manifest.csv")
    several = manifest.replace(
        replace(s, label="left|serve" if n % 2 else "none") for n, s in enumerate(manifest)
    )
    several.write("several.csv")
    said = frameflow("data", "explore", "several.csv", "--multilabel", "--no-content", *FEATURES)
    assert said.code == 0, said.err
    assert "not looked for: a clip may have several labels" in said.out
    assert "| left | 12 |" in Path("DATASHEET.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("data explore manifest.csv -o page.pdf", "must end in .html"),
        ("data explore manifest.csv -o no/such/page.html", "does not exist"),
        ("data explore gone.csv", "gone.csv"),
        ("data next manifest.csv --count 0", "must be > 0"),
        ("data next manifest.csv -o manifest.csv", "is the manifest itself"),
        ("data next manifest.csv --run nowhere", "nowhere"),
    ],
)
def test_wrong_use_is_told(
    small_clips: Path, frameflow: Run, monkeypatch: pytest.MonkeyPatch, line: str, says: str
) -> None:
    monkeypatch.chdir(small_clips)
    said = frameflow(line)
    assert said.code == 2
    assert says in said.error


def test_no_readable_video_is_told(
    tmp_path: Path, frameflow: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("video,label\nx.mp4,a\n")
    said = frameflow("data explore bad.csv --no-features")
    assert said.code == 1
    assert "None of the 1 videos can be read" in said.error


class TestNext:
    @pytest.fixture
    def half(self, small_clips: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
        monkeypatch.chdir(small_clips)
        manifest = Manifest.read("manifest.csv")
        part = manifest.replace(
            replace(s, label="" if n % 2 else s.label, split="") for n, s in enumerate(manifest)
        )
        part.write("half.csv")
        return part

    def test_unlabelled_clips_are_ranked(self, half: Manifest, frameflow: Run) -> None:
        said = frameflow("data", "next", "half.csv", "--count", 4, "--html", "n.html", *FEATURES)
        assert said.code == 0, said.err
        assert "4 of 12 clips without a label" in said.out
        with open("next.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
        open_ = {sample.video for sample in half if not sample.label}
        assert {row["video"] for row in rows} <= open_
        assert all(row["label"] == "" and row["guess"] in half.labels for row in rows)
        assert len(Manifest.read("next.csv")) == 4, "it is a manifest"
        text = Path("n.html").read_text(encoding="utf-8")
        assert text.count('class="strip"') == 4

        filled = Manifest.read("next.csv")
        filled = filled.replace(replace(sample, label="serve") for sample in filled)
        filled.write("next.csv")
        said = frameflow("data", "label", "half.csv", "next.csv", "--out", "more.csv")
        assert said.code == 0, said.err
        assert "4 more labels" in said.out
        more = {sample.video: sample.label for sample in Manifest.read("more.csv")}
        assert {more[row["video"]] for row in rows} == {"serve"}
        said = frameflow("data", "label", "more.csv", "next.csv")
        assert "0 more labels" in said.out

    @pytest.mark.usefixtures("half")
    def test_a_run_says_what_it_is_unsure_of(self, frameflow: Run, small_run: Path) -> None:
        said = frameflow(
            "data", "next", "half.csv", "--run", small_run, "--count", 3, "--engine", "torch"
        )
        assert said.code == 0, said.err
        assert len(Manifest.read("next.csv")) == 3

    def test_nothing_to_label_is_told(
        self, small_clips: Path, frameflow: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(small_clips)
        said = frameflow("data", "next", "manifest.csv", *FEATURES)
        assert said.code == 2
        assert "no readable clip without a label" in said.error
