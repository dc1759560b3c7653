"""The report in a real browser: no network, as narrow as a phone, by keys and by touch."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.evaluation.report import write_report
from frameflow.video.measure import ClipMeasures
from frameflow.video.write import write_video


@pytest.fixture
def opened(
    browser: Any, tmp_path: Path, scored: Callable[..., Any]
) -> Iterator[Callable[..., Any]]:
    """Open the report of a run; a request or an error of the page fails the test."""
    complaints: list[str] = []
    pages = []

    def watched(address: str) -> None:
        if not address.startswith(("file:", "data:")):
            complaints.append(f"asks for {address}")

    def go(one: Any = None, *, width: int = 1280, **options: Any) -> Any:
        one = one or scored()
        path = tmp_path / "report.html"
        measures = [ClipMeasures(2.0 + i % 9, 64, 48, 25.0, 0.5, 0.2, 0.01 * (i % 7))
                    for i in range(len(one.predictions))]  # fmt: skip
        write_report(
            path, one.metrics, one.predictions, manifest=one.manifest, own=one.manifest,
            recipe="name: default\n", measures=measures, by="label",
        )  # fmt: skip
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)
        pages.append(page)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: watched(request.url))
        page.goto(path.as_uri())
        return page

    yield go
    for page in pages:
        page.close()
    assert complaints == []


def with_videos(scored: Callable[..., Any], folder: Path, **options: Any) -> Any:
    film = np.zeros((16, 48, 64, 3), np.uint8)
    film[np.arange(16), :, np.arange(16) * 4] = 255
    write_video(folder / "a.mp4", film)
    return scored(videos=["a.mp4"], **options)


def many(scored: Callable[..., Any], *, classes: int = 101) -> Any:
    return scored(labels=[f"Action{i:03d}" for i in range(classes)], samples=900, groups=90)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("classes", [2, 30, 101])
def test_the_page_is_never_wider_than_the_window(
    opened: Callable[..., Any], scored: Callable[..., Any], width: int, classes: int
) -> None:
    labels = [f"A rather long label, number {i}, of averylongwordindeed" for i in range(classes)]
    page = opened(scored(labels=labels, samples=300), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for choice in ("readable", "alphabetical", "count"):
        for control in page.locator(f'input[value="{choice}"]').all():
            control.check(force=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_where_the_reader_prefers_it(opened: Callable[..., Any]) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened(color_scheme="light").evaluate(colour)
    dark = opened(color_scheme="dark").evaluate(colour)
    assert [int(part) > 200 for part in light[4:-1].split(",")] == [True] * 3
    assert [int(part) < 60 for part in dark[4:-1].split(",")] == [True] * 3


def test_a_cell_is_read_out_by_keyboard(opened: Callable[..., Any], scored: Any) -> None:
    one = scored()
    page = opened(one)
    readout = page.locator(".readout")
    assert not readout.is_visible()
    counts = np.array(one.metrics["confusion"]["counts"])
    rows = page.locator(".rows > span")
    order = [int(row.get_attribute("data-clustered") or 0) for row in rows.all()]
    page.locator(".frame").focus()
    page.keyboard.press("ArrowRight")  # the first key shows the first cell
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.wait_for_function("!document.querySelector('.readout').hidden")
    at = order.index(1)
    label = one.predictions.labels[at]
    assert f"{label} answered rightly: {counts[at, at]} of {counts[at].sum()}" in (
        readout.text_content()
    )
    page.keyboard.press("Escape")
    assert not readout.is_visible()


def test_keys_move_through_a_matrix_larger_than_the_window(
    opened: Callable[..., Any], scored: Any
) -> None:
    page = opened(many(scored), width=360)
    page.get_by_label("With numbers").check(force=True)
    page.locator(".frame").focus()
    for key in ("ArrowDown", "ArrowRight"):
        for _ in range(40):
            page.keyboard.press(key)
    page.wait_for_timeout(200)  # for the scrolling that follows
    cell, spot = (page.locator(name).bounding_box() for name in (".cursor", ".readout"))
    frame = page.locator(".frame").bounding_box()
    assert frame["x"] < cell["x"] < frame["x"] + frame["width"]
    assert 0 <= spot["x"] <= 360 - spot["width"]
    place = page.locator(".cursor").evaluate(
        "e => ['--r', '--c'].map((name) => Number(e.style.getPropertyValue(name)))"
    )
    assert 36 <= place[0] <= 40
    assert 36 <= place[1] <= 40


def test_a_cell_is_read_out_by_pointer_and_touch(opened: Callable[..., Any], scored: Any) -> None:
    one = many(scored)
    page = opened(one, width=360, has_touch=True)
    wrong = page.locator(".cells i.wrong").first
    row, column = map(int, str(wrong.get_attribute("data-at")).split(","))
    wrong.scroll_into_view_if_needed()
    box = wrong.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    names, count = one.predictions.labels, wrong.get_attribute("data-n")
    said = page.locator(".readout").text_content()
    assert f"{names[row]} taken for {names[column]}: {count} of" in said
    spot = page.locator(".readout").bounding_box()
    assert spot["x"] >= 0
    assert spot["x"] + spot["width"] <= 360


def test_toggles_of_the_matrix(opened: Callable[..., Any], scored: Any) -> None:
    one = many(scored)
    page = opened(one)
    after = "getComputedStyle(document.querySelector('.cells i.right'), '::after').content"
    place = (
        "[...document.querySelectorAll('.rows > span')].map((e) => e.style.getPropertyValue('--i'))"
    )
    assert page.evaluate(after) == "none"
    page.get_by_label("With numbers").check(force=True)
    cell = page.locator(".cells i.right").first
    assert page.evaluate(after) == f'"{cell.get_attribute("data-p")}"'
    page.get_by_label("Counts").check(force=True)
    assert page.evaluate(after) == f'"{cell.get_attribute("data-n")}"'
    clustered = [int(value) for value in page.evaluate(place)]
    page.get_by_label("By name").check(force=True)
    named = [int(value) for value in page.evaluate(place)]
    assert named == list(range(101))
    assert sorted(clustered) == named != clustered
    frame = page.locator(".frame")
    assert frame.evaluate("e => e.scrollWidth > e.clientWidth")
    frame.evaluate("e => { e.scrollLeft = 600; }")
    left = page.locator(".rows").bounding_box()["x"]
    assert left == pytest.approx(frame.bounding_box()["x"], abs=1)  # the labels stay


def test_without_pointer_the_essentials_are_there(opened: Callable[..., Any], scored: Any) -> None:
    """Numbers in the cells where they fit; beside a large matrix each class says its confusions."""
    after = "getComputedStyle(document.querySelector('.cells i.right'), '::after').content"
    assert opened(scored()).evaluate(after) != "none"
    page = opened(many(scored))
    counts = page.locator(".taken").all_text_contents()
    assert sum(bool(text.strip()) for text in counts) > 50


def test_strips_answer_to_pointer_keys_and_touch(
    opened: Callable[..., Any], scored: Any, tmp_path: Path
) -> None:
    page = opened(with_videos(scored, tmp_path))
    strip = page.locator(".strip").first
    running = "e => getComputedStyle(e).animationName"
    assert strip.evaluate(running) == "none"
    strip.hover()
    assert strip.evaluate(running) == "strip"
    page.mouse.move(0, 0)
    strip.focus()
    page.keyboard.press("Enter")
    assert strip.get_attribute("aria-pressed") == "true"
    assert strip.evaluate(running) == "strip"
    page.keyboard.press("ArrowRight")
    assert strip.get_attribute("aria-pressed") == "false"
    assert strip.evaluate(running) == "none"
    assert strip.evaluate("e => e.style.backgroundPositionX").startswith("14.28")  # 1 of 7 steps
    touched = opened(with_videos(scored, tmp_path), width=360, has_touch=True)
    touched.locator(".strip").first.tap()
    assert touched.locator(".strip").first.get_attribute("aria-pressed") == "true"


def test_reduced_motion_is_respected(
    opened: Callable[..., Any], scored: Any, tmp_path: Path
) -> None:
    page = opened(with_videos(scored, tmp_path), reduced_motion="reduce")
    strip = page.locator(".strip").first
    strip.hover()
    assert strip.evaluate("e => getComputedStyle(e).animationName") == "none"


def test_headings_sort_the_classes(opened: Callable[..., Any]) -> None:
    page = opened()
    bars = (
        "[...document.querySelectorAll('.sortable tbody tr')].map((r) => +r.cells[3].dataset.value)"
    )
    page.get_by_role("button", name="Recall").click()
    values = page.evaluate(bars)
    assert values == sorted(values)
    page.get_by_role("button", name="Recall").click()
    assert page.evaluate(bars) == sorted(values, reverse=True)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_contents_lead_to_sections_and_names_are_unique(opened: Callable[..., Any]) -> None:
    page = opened()
    targets = page.evaluate(
        "[...document.querySelectorAll('.contents a')].map((a) => !!document.querySelector(a.hash))"
    )
    assert targets
    assert all(targets)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((e) => +e.tagName[1])")
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(opened: Callable[..., Any], scheme: str) -> None:
    """WCAG AA: 4.5 to 1, for text in ink, quiet, accent and wrong on the paper."""
    page = opened(color_scheme=scheme)
    root = "getComputedStyle(document.documentElement).getPropertyValue"
    names = ("paper", "ink", "quiet", "accent", "wrong")
    paper, *inks = (luminance(page.evaluate(f"{root}('--{name}')").strip()) for name in names)
    for ink in inks:
        light, dark = max(ink, paper), min(ink, paper)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_it_prints(opened: Callable[..., Any], scored: Any, tmp_path: Path) -> None:
    page = opened(with_videos(scored, tmp_path))
    page.emulate_media(media="print")
    assert not page.locator(".contents").is_visible()
    assert not page.locator(".tools").first.is_visible()
    strip = page.locator(".strip").first
    box = strip.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(4 * 64 / 48, rel=0.05)  # four frames
    assert len(page.pdf()) > 20_000


def test_long_labels_and_sets(opened: Callable[..., Any], scored_sets: Callable[..., Any]) -> None:
    one = scored_sets(labels=["jump & run", "<b>" * 20, "walk"])
    page = opened(one, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert "Confusion" not in page.locator("main").text_content()


def test_one_sample(opened: Callable[..., Any], scored: Callable[..., Any]) -> None:
    one = scored(labels=["a", "b"], samples=1, groups=1)
    samples = [replace(sample, group="") for sample in one.predictions.samples]
    one.predictions = replace(one.predictions, samples=samples)
    text = opened(one, width=360).locator("main").text_content()
    assert "NaN" not in text
    assert "undefined" in text  # of the interval, as the note says
