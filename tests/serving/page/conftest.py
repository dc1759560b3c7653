"""The page of a server in a real browser; whatever it complains of fails the test."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class Watched:
    """Opens pages, each for a user of its own, and notes what goes wrong in them.

    Attributes:
        allowed: patterns of console errors that a test provokes.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.allowed: list[str] = []
        self.complaints: list[str] = []
        self.contexts: list[Any] = []

    def __call__(
        self, url: str, *, path: str = "/", width: int = 1280, height: int = 900, **options: Any
    ) -> Any:
        context = self.browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self.note(said.text, said.type))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.leaves(request.url, url))
        page.goto(url + path)
        return page

    def note(self, text: str, kind: str) -> None:
        if kind in ("error", "warning") and not any(re.search(one, text) for one in self.allowed):
            self.complaints.append(text)

    def leaves(self, address: str, url: str) -> None:
        if not address.startswith((f"{url}/", f"blob:{url}/", "data:")):
            self.complaints.append(f"asks for {address}")


@pytest.fixture
def opened(browser: Any) -> Iterator[Watched]:
    """``opened(url, width=360, color_scheme="dark", ...)``: the page, as a new user."""
    watched = Watched(browser)
    yield watched
    for context in watched.contexts:
        context.close()
    assert watched.complaints == []


@pytest.fixture
def analysed(opened: Watched) -> Callable[..., Any]:
    """Open the page and give it a file: the page once the answer is there."""

    def go(url: str, *files: Path, **options: Any) -> Any:
        page = opened(url, **options)
        page.locator("#choose:enabled").wait_for()
        page.set_input_files("#file", list(files))
        page.locator(".verdict").wait_for()
        return page

    return go


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 seconds whose picture changes every two: far longer than a window of the tiny run."""
    from frameflow.video.write import write_video

    rng = np.random.default_rng(7)
    small = rng.integers(0, 255, (6, 4, 5, 3), dtype=np.uint8)
    film = small.repeat(24, axis=0).repeat(12, axis=1).repeat(12, axis=2)
    path = tmp_path_factory.mktemp("long") / "long one.mp4"
    write_video(path, film, rate=12)
    return path


@pytest.fixture(scope="session")
def avi_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MPEG-4 part 2 in AVI, as UCF101 is; no browser plays it."""
    import av

    path = tmp_path_factory.mktemp("avi") / "old.avi"
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(24):
            picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def until(page: Any, true: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait for what a player does in its own time; a page's policy forbids to wait inside it."""
    for _ in range(int(20 * seconds)):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen")


@pytest.fixture
def wait_until() -> Callable[..., None]:
    return until


@pytest.fixture
def current_time() -> Callable[[Any], float]:
    """Where a page's player is, in seconds."""
    return lambda page: float(page.evaluate("document.querySelector('#video').currentTime"))
