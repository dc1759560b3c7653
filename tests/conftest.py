"""Fixtures every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips, named by FRAMEFLOW_TEST_DATA (default ../shared/data)."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("FRAMEFLOW_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real clips: {folder} is absent (name a folder in FRAMEFLOW_TEST_DATA)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' features and engines never mix with the user's own."""
    before = os.environ.get("FRAMEFLOW_HOME")
    os.environ["FRAMEFLOW_HOME"] = str(tmp_path_factory.mktemp("frameflow-home"))
    yield
    if before is None:
        del os.environ["FRAMEFLOW_HOME"]
    else:
        os.environ["FRAMEFLOW_HOME"] = before
