"""All that `frameflow predict` writes of a video, as soon as it is predicted."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from frameflow._places import path_of
from frameflow.errors import UsageError, VideoError
from frameflow.inference._rows import Closing, check_target
from frameflow.inference._targets import Targets
from frameflow.inference.prediction import Prediction, Result
from frameflow.inference.results import Columns, CsvResults, JsonlResults
from frameflow.inference.show import Form, write_shown
from frameflow.progress import progress
from frameflow.video.probe import probe

if TYPE_CHECKING:
    from frameflow.inference.predictor import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written.

    Attributes:
        csv: a table with a row a video.
        jsonl: the same as JSON lines.
        per_frame: a table with a row a frame.
        rolling: frames over which probabilities are averaged, in the table and in pictures.
        window: seconds around a frame that are looked at.
        gif: a file, or a folder for one each; so are the next two.
        video: the video with labels.
        strip: a contact sheet.
        resume: keep what ``csv`` and ``jsonl`` have.
    """

    csv: Path | None = None
    jsonl: Path | None = None
    per_frame: Path | None = None
    rolling: int | None = None
    window: float | None = None
    gif: Path | None = None
    video: Path | None = None
    strip: Path | None = None
    resume: bool = False

    def check(self, videos: Sequence[Path], *, elsewhere: bool = False) -> list[Targets]:
        """Refuse what cannot be written, before any work is done for it.

        Args:
            videos: all of them.
            elsewhere: other processes predict, and frames are not looked at.

        Returns:
            Where the pictures go.

        Raises:
            UsageError: a file that cannot be written, or options that say nothing together.
        """
        files = [path for path in (self.csv, self.jsonl, self.per_frame) if path is not None]
        for path in files:
            check_target(path)
        if len({path.absolute() for path in files}) < len(files):
            raise UsageError(f"{files[-1]} is named for two tables: give each its own file.")
        asked: list[tuple[str, Path | None, Form]] = [
            ("--gif", self.gif, "gif"), ("--video", self.video, "video"),
            ("--strip", self.strip, "strip"),
        ]  # fmt: skip
        if self.resume and self.csv is None and self.jsonl is None:
            raise UsageError("--resume goes on with a file: name it with --csv or --jsonl.")
        if self.resume and self.per_frame is not None:
            raise UsageError("--resume goes on with --csv and --jsonl, not with --per-frame.")
        shown = self.per_frame or self.gif or self.video or self.strip
        if elsewhere and shown:
            raise UsageError(
                "Tables of frames and pictures are made in this process: leave --runner ray away, "
                "or --per-frame, --gif, --video and --strip."
            )
        if not shown and (self.rolling is not None or self.window is not None):
            name = "--window" if self.rolling is None else "--rolling"
            raise UsageError(f"{name} is for frames: add --per-frame, --gif, --video or --strip.")
        return [Targets(option, path, form, videos) for option, path, form in asked if path]


class Outputs(Closing):
    """The files of one prediction run; ``with`` closes them.

    Args:
        wanted: what is to be written.
        targets: what ``wanted.check`` gave.
        predictor: of the run.
        topk: how many labels are ranked.
        watch: show a progress bar of the frames, for a single video.

    Attributes:
        predicted: how many videos were.
        failed: how many were not.

    Raises:
        UsageError: a file cannot be resumed.
        FrameFlowError: a file cannot be written.
    """

    def __init__(
        self,
        wanted: Wanted,
        targets: Sequence[Targets],
        predictor: "Predictor",
        *,
        topk: int,
        watch: bool = False,
    ) -> None:
        from frameflow.inference.per_frame import PerFrameCsv

        self._wanted, self._targets, self._predictor = wanted, targets, predictor
        self._topk, self._watch = topk, watch
        self.predicted = self.failed = 0
        with ExitStack() as stack:
            files: list[CsvResults | JsonlResults] = []
            columns = Columns.of(predictor, topk=topk) if wanted.csv or wanted.jsonl else None
            if wanted.csv and columns:
                files.append(
                    stack.enter_context(CsvResults(wanted.csv, columns, resume=wanted.resume))
                )
            if wanted.jsonl and columns:
                files.append(
                    stack.enter_context(JsonlResults(wanted.jsonl, columns, resume=wanted.resume))
                )
            self._files = files
            self._frames: PerFrameCsv | None = None
            if wanted.per_frame:
                self._frames = stack.enter_context(PerFrameCsv(wanted.per_frame, predictor))
            self._stack = stack.pop_all()

    def left(self, videos: Sequence[Path]) -> list[Path]:
        """Those that are not in every table yet."""
        if not self._wanted.resume:
            return list(videos)
        return [video for video in videos if not all(file.has(video) for file in self._files)]

    def write(self, result: Result) -> Result:
        """Write all that is wanted of a result.

        Returns:
            The result; the `VideoError` where the video could be predicted, and not be read again
            for its frames.

        Raises:
            FrameFlowError: a file cannot be written.
        """
        if isinstance(result, Prediction):
            try:
                self._look(result)
            except VideoError as error:
                result = VideoError(result.video, error.reason)
        if isinstance(result, Prediction):
            self.predicted += 1
        else:
            self.failed += 1
        video = result.path if isinstance(result, VideoError) else result.video
        for file in self._files:
            if not file.has(video):
                file.write(result)
        return result

    def told(self) -> list[str]:
        """What was written, in a line for each file or folder."""
        wanted = self._wanted
        lines = [
            f"Wrote {file.path}: {self.predicted} predicted, {self.failed} failed"
            + (f", {file.kept} there before." if file.kept else ".")
            for file in self._files
        ]
        if self._frames is not None:
            lines.append(f"Wrote {self._frames.path}: {self._frames.rows} frames.")
        shown = [path for path in (wanted.gif, wanted.video, wanted.strip) if path is not None]
        if self.predicted:
            lines += [f"Wrote {path}." for path in shown]
        return lines

    def _look(self, prediction: Prediction) -> None:
        """Frames and pictures of a video."""
        from frameflow.inference.per_frame import FrameLabels, iter_frame_rows

        wanted, video = self._wanted, prediction.video
        by_frame = self._frames is not None or wanted.rolling is not None
        drawn = bool(self._targets) and by_frame
        labels = FrameLabels(self._predictor, video, topk=self._topk) if drawn else None
        with labels or nullcontext():
            if by_frame:
                path, rolling = path_of(video), wanted.rolling or 1
                rows = iter_frame_rows(self._predictor, path, rolling=rolling, window=wanted.window)
                with self._bar("Reading frames", video) as advance:
                    for row in rows:
                        if self._frames is not None:
                            self._frames.write(video, row)
                        if labels is not None:
                            labels.add(row)
                        advance()
            for target in self._targets:
                path = target.file(path_of(video))
                with self._bar("Drawing", video, target.form == "video") as advance:
                    write_shown(path, prediction, form=target.form, frames=labels, advance=advance)

    def _bar(
        self, what: str, video: str, wanted: bool = True
    ) -> AbstractContextManager[Callable[..., None]]:
        """A bar of the video's frames, where it is the only one."""
        return progress(what, total=probe(video).frames * (self._watch and wanted), unit="frames")

    def close(self) -> None:
        self._stack.close()
