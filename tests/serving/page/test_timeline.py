"""The ribbon of classes in time, locked to the player."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

FRAME = 1 / 12  # seconds of the long clip
GUTTER = 132  # pixels of names to the left of the ribbon


@pytest.fixture
def ribboned(
    server: Any, analysed: Callable[..., Any], long_clip: Path
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The page with the long clip's timeline, and what the server said of it."""

    def go(**options: Any) -> tuple[Any, dict[str, Any]]:
        page = analysed(server.url, long_clip, **options)
        found = {}

        def heard(response: Any) -> None:
            if "/v1/jobs/" in response.url and response.json().get("result"):
                found.update(response.json()["result"])

        page.on("response", heard)
        page.locator(".ribbon").wait_for()
        expect(page.locator("#seek")).to_be_enabled()
        if not found:  # it was quicker than this listener
            upload = server.send(long_clip)
            job = server.http.post("/v1/timeline", data={"video": upload["id"]}).json()["job"]
            found = server.wait(job)["result"]
        return page, found

    return go


def place(page: Any, seconds: float, duration: float = 12.0) -> dict[str, float]:
    """Where on the ribbon a moment is, for a click on it."""
    width = page.locator(".ribbon").bounding_box()["width"]
    return {"x": GUTTER + (width - GUTTER) * seconds / duration, "y": 20}


def test_a_long_video_gets_a_ribbon_unasked(ribboned: Any) -> None:
    page, found = ribboned()
    segments = found["segments"]
    assert len(segments) >= 2  # else this test could not fail
    totals: dict[str, float] = {}
    for each in segments:
        totals[each["label"]] = totals.get(each["label"], 0) + each["end"] - each["start"]
    expect(page.locator("#headline .eyebrow")).to_have_text("What takes the most time")
    expect(page.locator(".verdict strong")).to_have_text(max(totals, key=lambda n: totals[n]))
    expect(page.locator(".verdict .quiet")).to_contain_text("of 12.0 s")
    expect(page.locator(".surety")).to_contain_text("Taken as one clip the whole video would be:")
    blocks = page.locator(".ribbon .block")
    assert [block.get_attribute("data-label") for block in blocks.all()] == [
        segment["label"] for segment in segments
    ]
    expect(page.locator(".ribbon .lane")).to_have_count(3)
    scale = (page.locator(".ribbon").bounding_box()["width"] - GUTTER) / found["duration"]
    left = page.locator(".ribbon").bounding_box()["x"] + GUTTER
    for block, segment in zip(blocks.all(), segments):
        box = block.locator("rect").first.bounding_box()
        assert box["x"] - left == pytest.approx(segment["start"] * scale, abs=1.5)
        length = segment["end"] - segment["start"]
        assert box["width"] == pytest.approx(length * scale, abs=2.5)
    rows = page.locator("#segments tbody tr")
    expect(rows).to_have_count(len(segments))
    expect(page.locator("#ribbon-words")).to_contain_text(f"{len(segments)} segments in 12.0 s")


def test_a_click_and_a_drag_seek(ribboned: Any, current_time: Callable[[Any], float]) -> None:
    page, found = ribboned()
    ribbon, overlay = page.locator(".ribbon"), page.locator("#overlay")
    for segment in found["segments"]:
        middle = (segment["start"] + segment["end"]) / 2
        ribbon.click(position=place(page, middle))
        page.wait_for_timeout(150)
        assert current_time(page) == pytest.approx(middle, abs=FRAME)
        expect(overlay).to_contain_text(segment["label"])  # what is over the picture follows
        current = page.locator("#segments [aria-current]")
        expect(current).to_have_count(1)
        expect(current).to_contain_text(segment["label"])
        assert str(ribbon.get_attribute("aria-valuetext")).startswith(f"0:{middle:04.1f}")
        near = min(range(len(found["moments"])), key=lambda i: abs(found["moments"][i] - middle))
        shares = page.locator("#bars-now .share").all_text_contents()
        assert [int(share.replace("<", "").split()[0]) for share in shares] == [
            pytest.approx(100 * share, abs=1.01) for share in found["probabilities"][near]
        ]
    box = ribbon.bounding_box()
    start, end = (place(page, seconds) for seconds in (2.0, 9.0))
    page.mouse.move(box["x"] + start["x"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + end["x"], box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_timeout(150)
    assert current_time(page) == pytest.approx(9.0, abs=FRAME)
    head = page.locator(".ribbon .head").bounding_box()
    assert head["x"] + head["width"] / 2 == pytest.approx(box["x"] + end["x"], abs=2)


def test_the_playhead_follows_the_player(
    ribboned: Any, current_time: Callable[[Any], float], wait_until: Callable[..., None]
) -> None:
    page, _ = ribboned()
    head = page.locator(".ribbon .head")
    before = head.bounding_box()["x"]
    page.locator("#speed").select_option("4")
    page.locator("#play").click()
    wait_until(page, lambda: current_time(page) > 1.0)
    page.locator("#play").click()
    page.wait_for_timeout(100)
    moved = head.bounding_box()["x"] - before
    scale = (page.locator(".ribbon").bounding_box()["width"] - GUTTER) / 12.0
    assert moved == pytest.approx(current_time(page) * scale, abs=4)


def test_keys(ribboned: Any, current_time: Callable[[Any], float]) -> None:
    page, found = ribboned()

    def after(*keys: str) -> float:
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(120)
        return current_time(page)

    page.locator(".ribbon").focus()
    assert after("ArrowRight", "ArrowRight") == pytest.approx(2.0, abs=FRAME)
    assert after("ArrowLeft") == pytest.approx(1.0, abs=FRAME)
    assert after("l") == pytest.approx(6.0, abs=FRAME)
    assert after("j") == pytest.approx(1.0, abs=FRAME)
    assert after(".") == pytest.approx(1.0 + FRAME, abs=FRAME / 2)
    assert after(",") == pytest.approx(1.0, abs=FRAME / 2)
    assert after("End") == pytest.approx(12.0, abs=FRAME)
    assert after("Home") == 0.0
    starts = [segment["start"] for segment in found["segments"]]
    assert after("n") == pytest.approx(starts[1], abs=FRAME)
    assert after("p") == pytest.approx(starts[0], abs=FRAME)
    whole = page.get_by_role("button", name="Whole video (0)")
    expect(whole).to_be_disabled()
    ticks = page.locator(".ribbon .when").all_text_contents()
    after("+", "+")
    expect(whole).to_be_enabled()
    assert page.locator(".ribbon .when").all_text_contents() != ticks
    after("0")
    expect(whole).to_be_disabled()
    after("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Single keys work").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.locator(".ribbon").focus()
    assert after("l") == pytest.approx(starts[0], abs=FRAME)  # keys are off
    assert after("ArrowRight") == pytest.approx(starts[0] + 1.0, abs=FRAME)  # of the slider itself


def test_zoom_by_wheel_and_the_strip_of_the_whole(ribboned: Any) -> None:
    page, _ = ribboned()
    ribbon, whole = page.locator(".ribbon"), page.locator(".frame .whole")
    expect(whole).to_be_hidden()
    ribbon.scroll_into_view_if_needed()
    ribbon.hover(position=place(page, 9.0))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -150)
    page.keyboard.up("Control")
    window = whole.locator(".window")
    expect(window).to_be_visible()
    whole.scroll_into_view_if_needed()
    box, strip = window.bounding_box(), whole.bounding_box()
    scale = (strip["width"] - GUTTER) / 12.0
    span = [(box["x"] - strip["x"] - GUTTER) / scale + end for end in (0, box["width"] / scale)]
    assert span[0] < 9.0 < span[1]  # it zooms where the pointer is
    assert span[1] - span[0] < 9.0
    page.mouse.move(strip["x"] + GUTTER + scale, strip["y"] + 8)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_timeout(100)
    assert window.bounding_box()["x"] < box["x"]


def test_only_some_classes(ribboned: Any) -> None:
    page, found = ribboned()
    label = found["segments"][0]["label"]
    mine = sum(segment["label"] == label for segment in found["segments"])
    assert mine < len(found["segments"])
    chip = page.locator(f'.chip[data-label="{label}"]')
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".ribbon .block")).to_have_count(mine)
    expect(page.locator(".ribbon .lane")).to_have_count(1)
    expect(page.locator("#segments tbody tr:visible")).to_have_count(mine)
    page.get_by_role("button", name="All classes").click()
    expect(page.locator(".ribbon .block")).to_have_count(len(found["segments"]))


def test_the_table_says_and_does_the_same(
    ribboned: Any, current_time: Callable[[Any], float]
) -> None:
    page, found = ribboned()
    for segment in reversed(found["segments"]):
        button = page.get_by_role("button", name=f"{segment['label']}, from 0:")
        button.first.focus()
        page.keyboard.press("Enter")
        page.wait_for_timeout(120)
        assert current_time(page) == pytest.approx(segment["start"], abs=FRAME)
        row = page.locator("#segments [aria-current]")
        expect(row.get_by_role("button")).to_be_focused()


def test_downloads(ribboned: Any) -> None:
    page, found = ribboned()
    texts = {}
    for form in ("csv", "json", "vtt", "srt", "eaf"):
        with page.expect_download() as saved:
            page.locator(f"#download-{form}").click()
        assert saved.value.suggested_filename == f"long one.{form}"
        texts[form] = Path(saved.value.path()).read_text(encoding="utf-8")
    labels = {segment["label"] for segment in found["segments"]}
    assert texts["vtt"].startswith("WEBVTT")
    assert ElementTree.fromstring(texts["eaf"]).tag == "ANNOTATION_DOCUMENT"
    assert json.loads(texts["json"])["segments"]
    assert all(label in texts[form] for label in labels for form in ("csv", "vtt", "srt", "eaf"))


def test_a_job_shows_progress_and_can_be_cancelled(
    server: Any, opened: Callable[..., Any], long_clip: Path
) -> None:
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    deleted: list[str] = []

    def slow(route: Any) -> None:
        if route.request.method == "DELETE":
            deleted.append(route.request.url)
            route.continue_()
            return
        state = {"job": "x", "state": "running", "progress": 0.25}
        route.fulfill(json=state)

    page.route("**/v1/jobs/*", slow)
    page.locator("#choose:enabled").wait_for()
    page.set_input_files("#file", long_clip)
    progress = page.locator("#timeline-progress")
    expect(progress).to_contain_text("25 %")
    assert page.locator("#timeline-progress progress").evaluate("e => e.value") == 0.25
    progress.get_by_role("button", name="Cancel").click()
    expect(progress).to_be_hidden()
    page.wait_for_timeout(100)
    assert len(deleted) == 1
    page.unroute("**/v1/jobs/*")
    page.get_by_role("button", name="Make a timeline").click()
    page.locator(".ribbon").wait_for()


def test_closing_a_video_stops_its_job(
    server: Any, opened: Callable[..., Any], long_clip: Path, wait_until: Callable[..., None]
) -> None:
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    deleted: list[str] = []

    def note(request: Any) -> None:
        if request.method == "DELETE":
            deleted.append(request.url.removeprefix(server.url).split("/")[2])

    page.on("request", note)
    running = {"job": "x", "state": "running", "progress": 0.5}
    page.route(re.compile("/v1/jobs/"), lambda route: route.fulfill(json=running))
    page.set_input_files("#file", long_clip)
    expect(page.locator("#timeline-progress")).to_contain_text("50 %")
    page.get_by_role("button", name="Close").click()
    wait_until(page, lambda: sorted(set(deleted)) == ["jobs", "videos"])


def test_settings_are_used_and_wrong_ones_said(ribboned: Any, opened: Any) -> None:
    opened.allowed = ["422"]
    page, _ = ribboned()
    page.locator(".settings summary").click()
    page.get_by_label("Stride, seconds").fill("2")
    page.get_by_role("button", name="Make it again").click()
    expect(page.locator("#ribbon-words")).to_contain_text("every 2 s")
    wrong = {"error": {"code": "invalid", "message": "That stride is odd.", "cure": "Even it."}}
    page.route("**/v1/timeline", lambda route: route.fulfill(status=422, json=wrong), times=1)
    page.locator(".settings summary").click()
    page.get_by_role("button", name="Make it again").click()
    notice = page.locator("#timeline .notice")
    expect(notice).to_contain_text("That stride is odd. Even it.")
    expect(page.locator(".ribbon")).to_be_visible()  # the former one stays
    notice.get_by_role("button", name="Try again").click()
    expect(notice).to_be_hidden()


def test_a_moment_in_the_address(
    server: Any, opened: Callable[..., Any], long_clip: Path, current_time: Callable[[Any], float]
) -> None:
    page = opened(server.url, path="/?t=4.5")
    page.locator("#choose:enabled").wait_for()
    page.set_input_files("#file", long_clip)
    page.locator(".ribbon").wait_for()
    page.wait_for_timeout(150)
    assert current_time(page) == pytest.approx(4.5, abs=FRAME)


def test_a_segment_is_repeated(
    ribboned: Any, current_time: Callable[[Any], float], wait_until: Callable[..., None]
) -> None:
    page, found = ribboned()
    first = found["segments"][0]
    page.locator(".ribbon").click(position=place(page, first["end"] - 0.4))
    page.keyboard.press("r")
    page.locator("#speed").select_option("4")
    page.locator("#play").click()
    seen: list[float] = []

    def again() -> bool:
        seen.append(current_time(page))
        return any(later < before for before, later in pairwise(seen))

    wait_until(page, again)
    assert max(seen) < 12.0 - 1.0  # it turned back long before the end
