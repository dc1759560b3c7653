"""Who may ask, from where; every error in one form; headers on every answer."""

import http.client
from collections.abc import Callable
from typing import Any

import httpx
import pytest

TOKEN = "geheim-123"


@pytest.fixture(scope="module")
def guarded(make_server: Callable[..., Any]) -> Any:
    return make_server(token=TOKEN)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/model", "/v1/jobs/x", "/metrics"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff"},
    ],
)
def test_without_the_token_nothing_is_told(guarded: Any, path: str, headers: Any) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = httpx.get(guarded.url + path, headers=encoded)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_it_is(guarded: Any) -> None:
    assert guarded.http.get("/v1/models").json()["auth"] is True
    assert guarded.http.get("/metrics").status_code == 200
    bearer = {"Authorization": f"bearer {TOKEN}"}  # the scheme's case does not matter
    assert httpx.get(f"{guarded.url}/v1/models", headers=bearer).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
def test_some_things_need_no_token(guarded: Any, path: str) -> None:
    assert httpx.get(guarded.url + path).status_code == 200


def test_a_post_without_the_token_is_not_even_read(guarded: Any) -> None:
    clip = guarded.clips[0].read_bytes()
    answer = httpx.post(f"{guarded.url}/v1/videos", files={"file": ("a.mp4", clip)})
    assert answer.status_code == 401
    assert guarded.service.uploads.count == 0


@pytest.mark.parametrize("expect", [False, True])
def test_who_sends_much_still_hears_why_not(guarded: Any, expect: bool) -> None:
    """Were the connection closed on what is being sent, the answer would be lost."""
    host, port = guarded.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("POST", "/v1/videos")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(12 << 20))
    if expect:  # as curl does: it asks before it sends
        connection.putheader("Expect", "100-continue")
    connection.endheaders()
    if not expect:
        for _ in range(12):
            connection.send(b"x" * (1 << 20))
    answer = connection.getresponse()
    assert answer.status == 401
    assert b"unauthorized" in answer.read()
    connection.close()
    assert guarded.http.get("/v1/models").status_code == 200


def test_an_upload_plays_by_its_secret_id_alone(guarded: Any) -> None:
    """A player cannot send a token."""
    video = guarded.send(guarded.clips[0])
    path = f"{guarded.url}/v1/videos/{video['id']}"
    assert httpx.get(f"{path}/file").content == guarded.clips[0].read_bytes()
    assert httpx.get(f"{path}/preview").status_code in (200, 202)
    assert httpx.delete(path).status_code == 401
    assert httpx.get(f"{guarded.url}/v1/videos/{'x' * 22}/file").status_code == 404


def test_the_card_opens_by_token_or_key(guarded: Any) -> None:
    (model,) = guarded.http.get("/v1/models").json()["models"]
    for page in ("card", "report"):
        assert httpx.get(f"{guarded.url}/{model[page]}").status_code == 200
        assert guarded.http.get(f"/v1/model/{page}").status_code == 200
        for query in ("", "?key=", "?key=wrong", "?key=%C3%A4"):
            answer = httpx.get(f"{guarded.url}/v1/model/{page}{query}")
            assert answer.status_code == 401, query


# From other sites -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("LOCALHOST", 200),
        ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example:80", 403),
        ("", 403),
    ],
)  # fmt: skip
def test_only_own_names_are_answered(server: Any, host: str, status: int) -> None:
    """A page that points its name at this machine asks with that name."""
    answer = httpx.get(f"{server.url}/v1/models", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "wrong_host"


def test_a_further_name_can_be_allowed(make_server: Callable[..., Any]) -> None:
    server = make_server(hosts=("video.example",))
    headers = {"Host": "Video.example"}
    assert httpx.get(f"{server.url}/healthz", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),  # a program
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),  # another port of this machine
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "OWN"}, True),
    ],
)
def test_pages_of_other_sites_send_nothing(
    server: Any, headers: dict[str, str], taken: bool
) -> None:
    own = {name: server.url if value == "OWN" else value for name, value in headers.items()}
    answer = server.http.post("/v1/predict", data={"topk": "1"}, headers=own)
    code = answer.json()["error"]["code"]
    assert code == ("invalid" if taken else "cross_site")


def test_no_other_site_may_read(server: Any) -> None:
    answer = server.http.get("/v1/models", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    answer = server.http.options(
        "/v1/predict",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert answer.status_code == 405


# Errors and headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not_found"),
        ("GET", "/v1/predict", 405, "method_not_allowed"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/x", 404, "unknown_job"),
        ("GET", "/v1/jobs/x/timeline.exe", 422, "invalid"),
        ("GET", "/v1/model?model=none", 404, "unknown_model"),
        ("DELETE", "/v1/videos/x", 404, "unknown_video"),
        ("POST", "/v1/samples/x", 404, "unknown_sample"),
        ("POST", "/v1/predict", 415, None),  # no form at all
    ],
)
def test_every_error_has_one_form(
    server: Any, method: str, path: str, status: int, code: str | None
) -> None:
    answer = server.http.request(method, path)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert code is None or error["code"] == code
    assert error["message"].endswith((".", "?"))
    assert set(error) <= {"code", "message", "cure"}
    check_headers(answer)


def check_headers(answer: httpx.Response) -> None:
    policy = answer.headers["content-security-policy"]
    assert "default-src" in policy
    assert "frame-ancestors 'self'" in policy or policy.startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers
    assert "no-" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v1/model/card"]
)
def test_every_answer_has_its_headers(server: Any, path: str) -> None:
    answer = server.http.get(path)
    check_headers(answer)
    expected = "no-store" if path.startswith(("/v1", "/metrics")) else "no-cache"
    assert answer.headers["cache-control"] == expected


def test_the_page_runs_no_script_but_its_files(server: Any) -> None:
    policy = server.http.get("/").headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


def test_a_fault_of_ours_shows_no_inside(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from frameflow.serving.samples import Samples

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(Samples, "get", broken)
    answer = server.http.post("/v1/samples/s0")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "internal")
    assert "secret" not in answer.text
    check_headers(answer)
    number = error["message"].removesuffix(".").rsplit(" ", 1)[1]
    assert any(number in r.getMessage() and "secret" in r.getMessage() for r in caplog.records)
