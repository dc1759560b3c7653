"""Where the video of a request comes from: sent with it, sent before, or a path of the server."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow.serving.faults import invalid, missing
from frameflow.serving.limits import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

    from frameflow.serving.service import Service
    from frameflow.serving.uploads import Form
    from frameflow.video.probe import VideoInfo


@dataclass(frozen=True, slots=True)
class Source:
    """A video, held while it is in use.

    Attributes:
        path: of the file; never told to clients.
        name: what the client calls it.
        info: what is known of it from before.
    """

    path: Path
    name: str
    info: "VideoInfo | None" = None


@contextlib.asynccontextmanager
async def source_of(
    service: "Service", request: "Request", *, held: contextlib.ExitStack | None = None
) -> "AsyncIterator[tuple[Form, Source]]":
    """Receive a form and find its video; what was sent is deleted in the end.

    Args:
        service: of the server.
        request: multipart, with one of ``file``, ``video`` (an id) and ``path``.
        held: given for work that outlives the request: closing it lets go of the video.

    Raises:
        Refused: no video or several, one that is not there, or see `Uploads.receive`.
    """
    _ = service.models  # while they are being loaded, nothing is received
    form = await service.uploads.receive(request)
    stack = contextlib.ExitStack() if held is None else held
    try:
        if form.upload is not None:
            stack.callback(service.uploads.discard, form.upload)
        yield form, _source(service, form, stack)
    except BaseException:
        stack.close()
        raise
    else:
        if held is None:
            stack.close()


def _source(service: "Service", form: "Form", stack: contextlib.ExitStack) -> Source:
    given = [name for name in ("video", "path") if form.fields.get(name)]
    given += ["file"] if form.upload is not None else []
    if len(given) != 1:
        said = "Several videos are named" if given else "No video is named"
        raise invalid(f"{said}: send one of file, video and path.")
    if form.upload is not None:
        return Source(form.upload.path, form.upload.name)
    if given == ["video"]:
        upload = stack.enter_context(service.uploads.using(form.fields["video"]))
        return Source(upload.path, upload.name, upload.info)
    text = form.fields["path"]
    return Source(confined(service.settings.allow_paths, text), text)


def confined(root: Path | None, text: str) -> Path:
    """The file that a client names by a path below the root.

    Raises:
        Refused: 403 where no root is open or the path leads out of it, by ``..``, from the top
            or through a link; 404 where there is no such file.
    """
    if root is None:
        raise Refused(
            403, "paths_off", "This server takes no paths.",
            "Send the video itself, or start the server with --allow-paths ROOT.",
        )  # fmt: skip
    outside = Refused(403, "outside", "The path leads out of the folder that is open to clients.")
    absent = missing("no_file", "There is no such file below the folder that is open to clients.")
    if "\0" in text or len(text) > 4096:
        raise absent
    given = Path(text)
    if given.is_absolute() or ".." in given.parts or "\\" in text:
        raise outside
    root = root.resolve()
    try:
        found = (root / given).resolve()
        inside = found.is_relative_to(root)
        regular = inside and found.is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links
        raise absent from None
    if not inside:
        raise outside
    if not regular:
        raise absent
    return found
