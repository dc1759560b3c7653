"""The page for everyone: keys, names, contrast, phones, dark rooms, calm."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

CONTROLS = "button, input:not([type=file]), select, a[href], summary, iframe, [role=slider]"

# The text of every element, its colour and what it stands on; where that is a picture, nothing.
TEXTS = """() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const over = (top, below) => ({
    r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a),
    b: top.b * top.a + below.b * (1 - top.a), a: 1 });
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const paint = parse(getComputedStyle(at).backgroundColor);
      if (paint.a > 0) layers.push(paint);
      if (paint.a === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), parse("rgb(255, 255, 255)"));
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const apart = node.closest("svg, .unseen, option, :disabled, .skip");
    if (!own || apart || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const [ink, paper] = [parse(style.color), ground(node)];
    found.push({ text: node.textContent.trim().slice(0, 30), ink: over(ink, paper), paper,
      large: parseFloat(style.fontSize) >= 24 });
  }
  return found;
}"""


def luminance(colour: dict[str, float]) -> float:
    parts = [colour[name] / 255 for name in "rgb"]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: dict[str, float], other: dict[str, float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture
def full(analysed: Callable[..., Any], server: Any, long_clip: Path) -> Callable[..., Any]:
    """The page with all it can show: two videos, a timeline, evidence."""

    def go(**options: Any) -> Any:
        page = analysed(server.url, long_clip, server.clips[0], **options)
        page.locator(".ribbon").wait_for()
        page.locator("#evidence-run").click()
        page.locator("#evidence-frame").wait_for()
        page.wait_for_timeout(100)
        return page

    return go


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(full: Callable[..., Any], scheme: str) -> None:
    """WCAG AA: 4.5 to 1, 3 to 1 for large text."""
    page = full(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",")[0]) > 200) == (scheme == "light")
    page.get_by_role("tab", name="Model").click()
    page.locator(".facts").wait_for()
    texts = page.evaluate(TEXTS)
    page.get_by_role("tab", name="Analyse").click()
    texts += page.evaluate(TEXTS)
    page.keyboard.press("?")
    texts += page.evaluate(TEXTS)
    assert len(texts) > 60
    weak = [
        (text["text"], round(contrast(text["ink"], text["paper"]), 2))
        for text in texts
        if contrast(text["ink"], text["paper"]) < (3.0 if text["large"] else 4.5)
    ]
    assert weak == []


def test_labels_on_the_ribbon_stand_out(server: Any, opened: Callable[..., Any]) -> None:
    """Black or white on each colour, whichever it is."""
    page = opened(server.url)
    pairs = page.evaluate(
        """async () => {
          const { look } = await import("/static/palette.js");
          return [...Array(40).keys()].map((k) => look("any", `class ${k}`));
        }"""
    )
    for pair in pairs:
        ink, paper = (
            {name: int(pair[key][at : at + 2], 16) for name, at in zip("rgb", (1, 3, 5))}
            for key in ("ink", "colour")
        )
        assert contrast(ink, paper) >= 4.5
    looks = [(pair["colour"], pair["pattern"]) for pair in pairs]
    assert len(set(looks)) == len(looks)  # 40 classes that never look the same


def test_every_control_has_a_name_and_every_id_is_one(full: Callable[..., Any]) -> None:
    page = full()
    page.get_by_role("tab", name="Model").click()
    page.locator("#model-page").wait_for()
    page.evaluate("document.querySelectorAll('[role=tabpanel]').forEach((e) => e.hidden = false)")
    nameless = page.evaluate(
        """(controls) => [...document.querySelectorAll(controls)].filter((node) => !(
          node.getAttribute("aria-label") || node.getAttribute("title") || node.textContent.trim()
          || [...(node.labels ?? [])].some((label) => label.textContent.trim())
        )).map((node) => node.outerHTML.slice(0, 80))""",
        CONTROLS,
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    named = page.evaluate(
        """[...document.querySelectorAll("[aria-labelledby], [aria-controls], [aria-describedby]")]
        .flatMap((e) => ["aria-labelledby", "aria-controls", "aria-describedby"]
        .flatMap((name) => (e.getAttribute(name) ?? "").split(" ").filter(Boolean)))
        .filter((id) => !document.getElementById(id))"""
    )
    assert named == []
    assert page.locator("img").count() > 0
    assert page.locator("img:not([alt])").count() == 0
    levels = page.evaluate(
        "[...document.querySelectorAll('main h1, main h2, main h3, header h1')]"
        ".filter((e) => e.checkVisibility()).map((e) => +e.tagName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for role in ("banner", "main", "navigation"):
        expect(page.get_by_role(role)).to_have_count(1)


def test_all_is_reached_by_keyboard_and_seen(full: Callable[..., Any]) -> None:
    """Tab goes through every control once, in the order of the page, and shows where it is."""
    page = full()
    # From the top: what had the focus before is where Tab would go on.
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.blur()")
    page.evaluate("document.body.removeAttribute('tabindex'); scrollTo(0, 0)")
    wanted = page.evaluate(
        """(controls) => [...document.querySelectorAll(controls)].filter((e) =>
          e.checkVisibility() && !e.disabled && e.tabIndex >= 0 && !e.closest("dialog")
          && !(e.type === "radio" && !e.checked)).length""",
        CONTROLS,
    )
    seen, unseen = [], []
    page.keyboard.press("Tab")
    for _ in range(wanted + 8):
        where = page.evaluate(
            """(controls) => {
              const node = document.activeElement;
              if (node === document.body) return null;
              const shown = node.type === "radio" ? node.nextElementSibling : node;
              const box = shown.getBoundingClientRect();
              node.dataset.seen ??= Math.random();
              return { seen: node.dataset.seen, is: node.id || node.outerHTML.slice(0, 60),
                outline: getComputedStyle(shown).outlineStyle, high: box.height,
                inside: box.bottom > 0 && box.top < innerHeight, control: node.matches(controls) };
            }""",
            CONTROLS,
        )
        if where is None or any(where["seen"] == each["seen"] for each in seen):
            break
        seen.append(where)
        if where["outline"] == "none" or not where["inside"]:
            unseen.append(where["is"])
        page.keyboard.press("Tab")
    assert unseen == []
    assert seen[0]["is"].startswith('<a class="skip"')
    assert sum(each["control"] for each in seen) == wanted


def test_tabs_by_keyboard(server: Any, opened: Callable[..., Any]) -> None:
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    page.get_by_role("tab", name="Analyse").focus()
    page.keyboard.press("ArrowRight")
    model = page.get_by_role("tab", name="Model")
    expect(model).to_be_focused()
    expect(model).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Model")).to_be_visible()
    page.keyboard.press("ArrowRight")  # around
    expect(page.get_by_role("tab", name="Analyse")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Model")).to_be_hidden()


WIDE = "document.documentElement.scrollWidth"


def test_a_phone(full: Callable[..., Any], server: Any, opened: Callable[..., Any]) -> None:
    phone = {"width": 360, "height": 740, "has_touch": True, "is_mobile": True}
    assert opened(server.url, **phone).evaluate(WIDE) <= 360
    page = full(**phone)
    assert page.evaluate(WIDE) <= 360
    small = page.evaluate(
        """() => [...document.querySelectorAll(
          "button, select, input:not([type=file], [type=radio]), summary, .segmented span")]
          .filter((e) => e.checkVisibility() && !e.closest("dialog, .attention, .unseen")
          && e.getBoundingClientRect().height < 43.5).map((e) => e.id || e.className)"""
    )
    assert small == []
    # The picture stays in sight while the ribbon is used.
    ribbon = page.locator(".ribbon")
    ribbon.evaluate("e => e.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(100)
    box = ribbon.bounding_box()
    page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 20)
    page.wait_for_timeout(150)
    now = page.evaluate("document.querySelector('#video').currentTime")
    assert now == pytest.approx(9.0, abs=0.2)
    stage = page.locator("#stage").bounding_box()
    assert 0 <= stage["y"] < stage["y"] + stage["height"] <= 740 * 0.4
    page.get_by_role("tab", name="Model").click()
    page.locator(".facts").wait_for()
    assert page.evaluate(WIDE) <= 360


def test_any_width(full: Callable[..., Any]) -> None:
    page = full()
    ribbon = page.locator(".ribbon")
    drawn = set()
    for width in (320, 600, 768, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        assert page.evaluate(WIDE) <= width
        assert ribbon.locator("svg").bounding_box()["width"] <= ribbon.bounding_box()["width"]
        drawn.add(page.locator(".ribbon .block rect").first.bounding_box()["width"])
    assert len(drawn) == 5  # it is drawn anew for each


def test_what_happens_is_said(full: Callable[..., Any]) -> None:
    page = full()
    said = page.locator("#announcer")
    expect(said).to_have_attribute("aria-live", "polite")
    for sentence in ("Sending", "Making the timeline", "The timeline is there: 2 segments."):
        expect(said).to_contain_text(sentence)
    expect(said).to_contain_text(re.compile(r"long one\.mp4: .*%"))
    assert page.locator("[aria-live], [role=status], [role=alert], output").count() <= 5


def test_nothing_moves_for_those_who_asked(full: Callable[..., Any]) -> None:
    page = full(reduced_motion="reduce")
    moving = page.evaluate(
        """[...document.querySelectorAll("body *")].filter((e) => {
          const style = getComputedStyle(e);
          return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
        }).length"""
    )
    assert moving == 0
    before = page.locator("#evidence-frame").get_attribute("alt")
    page.wait_for_timeout(400)
    assert page.locator("#evidence-frame").get_attribute("alt") == before
