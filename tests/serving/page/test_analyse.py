"""Sending videos, reading answers, and what is said when something fails."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

SECOND = 1000.0  # milliseconds


def test_a_video_is_answered_and_plays(
    server: Any,
    analysed: Callable[..., Any],
    current_time: Callable[[Any], float],
    wait_until: Callable[..., None],
) -> None:
    clip = server.clips[0]
    page = analysed(server.url, clip)
    said = server.http.post("/v1/predict", files={"file": ("a.mp4", clip.read_bytes())}).json()
    label = "None of these" if said["abstained"] else said["label"]
    expect(page.locator(".verdict strong")).to_have_text(label)
    expect(page.locator("#bars-whole li .label")).to_have_text(
        [share["label"] for share in said["topk"]]
    )
    shares = page.locator("#bars-whole .share").all_text_contents()
    assert [int(share.split()[0]) for share in shares] == [
        pytest.approx(100 * share["probability"], abs=0.51) for share in said["topk"]
    ]
    expect(page.locator("#facts")).to_contain_text("60 × 48")
    expect(page.locator("#result .fine").last).to_contain_text("computed in")
    assert page.evaluate("document.activeElement.id") == "name"  # where reading goes on
    expect(page.locator("#announcer")).to_contain_text(label)
    before = current_time(page)
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Pause", exact=True).wait_for()
    wait_until(page, lambda: current_time(page) > before)
    page.keyboard.press("k")
    page.get_by_role("button", name="Play", exact=True).wait_for()


def test_the_model_says_how_good_it_is(server: Any, opened: Callable[..., Any]) -> None:
    page = opened(server.url)
    claim = page.locator("#claim")
    expect(claim).to_contain_text("50 % (95 % interval 10 to 90 %)")
    page.get_by_role("link", name="More on the model").click()
    expect(page.get_by_role("tab", name="Model")).to_be_focused()
    expect(page.locator(".facts")).to_contain_text("läuft, schnell")
    frame = page.frame_locator("#model-page")
    expect(frame.get_by_role("heading", name="A tiny run")).to_be_visible()
    page.get_by_label("Report").check(force=True)
    expect(frame.locator("#p")).to_have_text("Report, alive")
    assert page.frames[1].evaluate("window.origin") == "null"  # it cannot reach this page


def test_a_sample_is_one_click(server: Any, opened: Callable[..., Any]) -> None:
    page = opened(server.url)
    page.locator(".samples button").first.click()
    page.locator(".verdict").wait_for()
    expect(page.locator("#seek")).to_be_enabled()  # the player has it, from the server
    expect(page.locator("#start")).to_be_hidden()


def test_what_is_no_video_is_said_and_the_next_one_works(
    server: Any, opened: Any, tmp_path: Path
) -> None:
    opened.allowed = ["415"]
    (tmp_path / "notes.mp4").write_text("not a video\n" * 50)
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    page.set_input_files("#file", tmp_path / "notes.mp4")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("This is not a video")
    expect(notice).to_have_role("alert")
    assert notice.get_by_role("button").count() == 0  # the same file would fail again
    page.set_input_files("#file", server.clips[1])
    page.locator(".verdict").wait_for()
    expect(notice).to_be_hidden()
    expect(page.locator("#shelf .state").first).to_have_text("Failed")
    (tmp_path / "empty.mp4").touch()
    page.set_input_files("#file", tmp_path / "empty.mp4")
    expect(notice).to_contain_text("The file is empty")  # and was not sent


def test_what_browsers_cannot_play_is_shown_by_a_preview(
    server: Any, analysed: Callable[..., Any], avi_clip: Path
) -> None:
    page = analysed(server.url, avi_clip)
    expect(page.locator("#seek")).to_be_enabled()
    expect(page.locator("#stage-words")).to_be_hidden()
    size = "(({videoWidth, videoHeight, currentSrc}) => [videoWidth, videoHeight, currentSrc])"
    wide, high, src = page.evaluate(f"{size}(document.querySelector('#video'))")
    assert (wide, high) == (64, 48)
    assert src.endswith("/preview")


def test_dropping_files_anywhere(server: Any, opened: Callable[..., Any]) -> None:
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    clips = [list(path.read_bytes()) for path in server.clips[:2]]
    transfer = page.evaluate_handle(
        """(clips) => {
          const transfer = new DataTransfer();
          clips.forEach((bytes, index) => transfer.items.add(
            new File([new Uint8Array(bytes)], `dropped ${index}.mp4`, { type: "video/mp4" })));
          return transfer;
        }""",
        clips,
    )
    veil = page.locator("#dropveil")
    page.dispatch_event("header", "dragenter", {"dataTransfer": transfer})
    expect(veil).to_be_visible()
    page.dispatch_event("header", "dragleave", {"dataTransfer": transfer})
    expect(veil).to_be_hidden()
    page.dispatch_event("main", "dragenter", {"dataTransfer": transfer})
    page.dispatch_event("main", "drop", {"dataTransfer": transfer})
    expect(veil).to_be_hidden()
    tiles = page.locator("#shelf [data-key]")
    expect(tiles).to_have_count(2)
    expect(page.locator("#shelf .state").nth(1)).not_to_have_text(re.compile("W(ait|ork)ing"))
    tiles.nth(1).click()
    expect(page.locator("#name")).to_have_text("dropped 1.mp4")
    expect(page.locator(".verdict")).to_be_visible()
    page.get_by_role("button", name="Remove dropped 1.mp4").click()
    expect(page.locator("#name")).to_have_text("dropped 0.mp4")
    expect(page.locator("#shelf")).to_be_hidden()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Choose a video")).to_be_focused()


def ids_of(page: Any) -> list[str]:
    """Ids of the videos that a page's requests named."""
    found: list[str] = []

    def heard(response: Any) -> None:
        if response.request.method == "POST" and response.url.endswith("/v1/videos"):
            found.append(response.json()["id"])

    page.on("response", heard)
    return found


def test_two_users_see_nothing_of_each_other(server: Any, opened: Callable[..., Any]) -> None:
    one, two = opened(server.url), opened(server.url)
    firsts, seconds = ids_of(one), ids_of(two)
    for page, clip in ((one, server.clips[0]), (two, server.clips[1])):
        page.locator("#choose:enabled").wait_for()
        page.set_input_files("#file", clip)
        page.locator(".verdict").wait_for()
    assert len(firsts) == len(seconds) == 1
    assert firsts != seconds
    expect(two.locator("#name")).to_have_text(server.clips[1].name)
    expect(two.locator("#shelf .file")).to_have_count(1)
    two.reload()  # nothing is kept, and the video is deleted
    expect(two.locator("#start")).to_be_visible()
    assert two.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0, 0, "",
    ]  # fmt: skip
    for _ in range(50):
        if server.http.get(f"/v1/videos/{seconds[0]}/file").status_code == 404:
            break
        two.wait_for_timeout(100)
    else:
        raise AssertionError("the video of a closed page is still there")
    assert server.http.get(f"/v1/videos/{firsts[0]}/file").status_code == 200
    one.locator("#evidence-run").click()
    one.locator("#evidence-frame").wait_for()


def test_evidence_is_shown_when_asked_for(server: Any, analysed: Callable[..., Any]) -> None:
    page = analysed(server.url, server.clips[0], reduced_motion="reduce")
    assert page.locator("#evidence-frame").count() == 0
    page.locator("#evidence-run").click()
    frame = page.locator("#evidence-frame")
    expect(frame).to_have_attribute("src", re.compile("^data:image/jpeg"))
    expect(frame).to_have_attribute("alt", re.compile("Frame 1 of 4, .* spoke for"))
    slider = page.get_by_label("Frame of the evidence")
    slider.focus()
    page.keyboard.press("End")
    expect(frame).to_have_attribute("alt", re.compile("Frame 4 of 4"))
    page.wait_for_timeout(0.4 * SECOND)
    expect(frame).to_have_attribute("alt", re.compile("Frame 4 of 4"))  # nothing moves by itself
    page.get_by_role("button", name="Play the frames").click()
    expect(frame).not_to_have_attribute("alt", re.compile("Frame 4 of 4"))
    page.get_by_role("button", name="Pause the frames").wait_for()


def test_a_video_the_server_forgot_is_sent_again(
    server: Any, opened: Any, wait_until: Callable[..., None]
) -> None:
    opened.allowed = ["404"]
    page = opened(server.url)
    ids = ids_of(page)
    page.locator("#choose:enabled").wait_for()
    page.set_input_files("#file", server.clips[0])
    page.locator(".verdict").wait_for()
    server.http.delete(f"/v1/videos/{ids[0]}")
    page.locator("#evidence-run").click()
    notice = page.locator("#evidence-body .notice")
    expect(notice).to_contain_text("no longer has this video")
    notice.get_by_role("button", name="Send it again").click()
    expect(page.locator("#progress")).to_be_hidden()
    wait_until(page, lambda: len(ids) == 2)
    page.locator("#evidence-run").click()
    page.locator("#evidence-frame").wait_for()


def test_a_gone_network_and_a_busy_server(server: Any, opened: Any) -> None:
    opened.allowed = ["ERR_INTERNET_DISCONNECTED", "429"]
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    page.context.set_offline(True)
    page.set_input_files("#file", server.clips[0])
    notice = page.locator("#notice")
    expect(notice).to_contain_text("The server does not answer")
    page.context.set_offline(False)
    busy = {"error": {"code": "busy", "message": "The queue is full."}}
    page.route(
        "**/v1/predict",
        lambda route: route.fulfill(status=429, json=busy, headers={"Retry-After": "1"}),
        times=1,
    )
    notice.get_by_role("button", name="Try again").click()
    expect(page.locator("#progress")).to_contain_text("busy; trying again in 1 s")
    page.locator(".verdict").wait_for()
    expect(notice).to_be_hidden()


def test_sending_can_be_cancelled(server: Any, opened: Callable[..., Any]) -> None:
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()
    page.route("**/v1/videos", lambda _: None)  # never gets there
    page.set_input_files("#file", server.clips[0])
    expect(page.locator("#progress")).to_contain_text("Sending")
    page.locator("#progress").get_by_role("button", name="Cancel").click()
    expect(page.locator("#notice")).to_contain_text("Cancelled")
    page.unroute("**/v1/videos")
    page.locator("#notice").get_by_role("button", name="Send it again").click()
    page.locator(".verdict").wait_for()


ANSWERS: list[tuple[dict[str, Any], str, str]] = [
    ({"abstained": True, "set": None}, "None of these", "No label is likely enough"),
    ({"abstained": False, "set": ["sitzt", "winkt"]}, "", "One of 2 labels"),
    ({"abstained": False, "set": ["sitzt"]}, "", "No other label"),
    ({"abstained": False, "present": ["sitzt", "winkt"]}, "sitzt and winkt", ""),
    ({"abstained": False, "present": []}, "Nothing it knows", ""),
]


@pytest.mark.parametrize(("changes", "verdict", "sentence"), ANSWERS)
def test_answers_in_words(
    server: Any, opened: Callable[..., Any], changes: dict[str, Any], verdict: str, sentence: str
) -> None:
    """Of kinds that one tiny run does not give: its answer, changed on the way."""
    page = opened(server.url)
    page.locator("#choose:enabled").wait_for()

    def changed(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=json.dumps({**answer.json(), **changes}))

    page.route("**/v1/predict", changed)
    page.route("**/v1/timeline", lambda _: None)  # never answered
    page.set_input_files("#file", server.clips[0])
    expect(page.locator(".verdict strong")).to_contain_text(verdict)
    expect(page.locator("#result")).to_contain_text(sentence)
    for word in verdict.split(" and "):
        expect(page.locator("#overlay")).to_contain_text(word.removesuffix("Nothing it knows"))
    if "present" in changes:
        expect(page.locator("#bars-whole small")).to_have_count(len(changes["present"]))


def test_several_models(
    make_server: Callable[..., Any], run_copy: Path, opened: Callable[..., Any]
) -> None:
    server = make_server(runs=[("first", run_copy), ("second", run_copy)])
    page = opened(server.url, path="/?model=second")
    select = page.locator("#model")
    expect(select).to_have_value("second")
    page.locator("#choose:enabled").wait_for()
    page.set_input_files("#file", server.clips[0])
    page.locator(".verdict").wait_for()
    with page.expect_response("**/v1/predict"):
        select.select_option("first")
    expect(page.locator("#claim b")).to_have_text("first")
    assert page.url.endswith("?model=first")
    page.locator(".verdict").wait_for()


def test_a_server_that_wants_a_token(
    make_server: Callable[..., Any], opened: Any, avi_clip: Path
) -> None:
    opened.allowed = ["401"]
    server = make_server(token="open-sesame")
    page = opened(server.url)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Token")).to_be_focused()
    dialog.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("was not taken")
    dialog.get_by_label("Token").fill("open-sesame")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#choose")).to_be_enabled()
    page.set_input_files("#file", avi_clip)
    page.locator(".verdict").wait_for()
    expect(page.locator("#seek")).to_be_enabled()  # a <video> cannot send a token
    page.get_by_role("tab", name="Model").click()
    frame = page.frame_locator("#model-page")
    expect(frame.get_by_role("heading", name="A tiny run")).to_be_visible()
    kept = page.evaluate("[localStorage.length, Object.values(sessionStorage)]")
    assert kept == [0, ["open-sesame"]]
