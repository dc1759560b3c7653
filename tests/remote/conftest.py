"""Storage elsewhere: fsspec's memory, and an S3 server on the loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has fetched nothing yet."""
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bucket(own_home: Path) -> str:
    """The URL of an empty folder in the memory of this process."""
    assert own_home
    return f"memory://{uuid4().hex}"


@pytest.fixture
def memory() -> Any:
    return fsspec.filesystem("memory")


@pytest.fixture(scope="session")
def _server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(_server: str, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of an S3 server; options reach it through the environment."""
    assert own_home
    _without_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", _server)
    name = f"bucket-{uuid4().hex[:8]}"
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()  # of another environment
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def no_credentials(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_home
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    _without_credentials(monkeypatch)


def _without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def upload() -> Callable[[Path, str], None]:
    """Put a file, or a folder with all that is in it, at a URL."""

    def put(source: Path, url: str) -> None:
        fs, path = fsspec.core.url_to_fs(url)
        for file in [source] if source.is_file() else sorted(source.rglob("*")):
            if file.is_file():
                target = path if source.is_file() else f"{path}/{file.relative_to(source)}"
                fs.put_file(str(file), target)

    return put
