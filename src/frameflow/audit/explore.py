"""A data set as a page and a datasheet."""

import logging
from dataclasses import dataclass
from pathlib import Path

from frameflow._files import write_text
from frameflow.audit._explore_page import render_explore
from frameflow.audit.datasheet import Written, write_datasheet
from frameflow.audit.survey import Survey, survey
from frameflow.config import Recipe
from frameflow.data.labels import check_label_sets
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.features.engines import EngineKind

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Explored:
    """What was written, and what is known of the data.

    Attributes:
        page: the HTML file.
        datasheet: the datasheet beside it.
        survey: everything that was found.
    """

    page: Path
    datasheet: Written
    survey: Survey

    def lines(self) -> list[str]:
        """What a person should know at once, in sentences."""
        found, sheet = self.survey, self.datasheet
        size = self.page.stat().st_size / 1e6
        lines = [f"Wrote {self.page} ({size:.1f} MB): {found.manifest.describe()}"]
        if sheet.reason:
            lines.append(f"Wrote {sheet.path} beside the datasheet that is there: {sheet.reason}.")
        else:
            verb = "Renewed the facts of" if sheet.kept else "Wrote"
            lines.append(f"{verb} {sheet.path}: {sheet.open} open questions.")
        if found.errors.reason:
            lines.append(f"Label errors were not looked for: {found.errors.reason}.")
        else:
            errors = found.errors
            scenes = f", and {len(errors.scenes)} scenes look like another" if errors.scenes else ""
            lines.append(
                f"About {errors.likely} of {errors.judged} labels are likely wrong{scenes}: see "
                "the page."
            )
        if found.health.troubles:
            told = (
                "1 sample"
                if len(found.health.troubles) == 1
                else f"{len(found.health.troubles)} samples"
            )
            lines.append(f"{told} cannot be used: see the page.")
        return lines


def explore(
    manifest: Manifest,
    recipe: Recipe | None,
    page: Path,
    *,
    engine: EngineKind = "auto",
    content: bool = True,
    multilabel: bool = False,
) -> Explored:
    """Write a page of a data set, and ``DATASHEET.md`` beside it.

    Args:
        manifest: the samples; videos may be missing or broken.
        recipe: whose features make the map and the list of likely label errors; None for neither.
        page: the HTML file to write.
        engine: see `frameflow.features.engines.make_engine`.
        content: whether to look for clips that show one scene.
        multilabel: a label cell holds several, joined by ``|``.

    Raises:
        UsageError: the page's folder is not there, or its name ends in no ``.html``.
        FrameFlowError: no clip can be read.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{page} must end in .html: it is a page.")
    if not page.parent.is_dir():
        raise UsageError(f"The folder {page.parent} does not exist: make it first.")
    if multilabel:
        check_label_sets(manifest)
    found = survey(manifest, recipe, engine=engine, content=content, multilabel=multilabel)
    name = manifest.source.stem if manifest.source else manifest.root.name
    if name == "manifest":
        name = manifest.root.name
    log.info("Drawing the page.")
    write_text(page, render_explore(found, name=name))
    sheet = write_datasheet(page.parent / "DATASHEET.md", found, name=name)
    return Explored(page, sheet, found)
