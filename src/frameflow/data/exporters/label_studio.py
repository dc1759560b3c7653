"""Tasks for Label Studio: one for each video, its labels to be corrected, and the interface.

Whole videos get ``Choices``, spans ``TimelineLabels`` in frames counted from 1.
https://labelstud.io/guide/tasks and https://labelstud.io/tags/timelinelabels
"""

from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from frameflow._files import write_json, write_text
from frameflow.data.exporters._shared import Facts, has_span, refuse_parts
from frameflow.data.manifest import Manifest, Sample

# How Label Studio serves files below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
LOCAL_FILES = "/data/local-files/?d="


def export_label_studio(
    manifest: Manifest,
    out: Path,
    facts: Facts,
    *,
    url: str = LOCAL_FILES,
    predictions: bool = False,
    multilabel: bool = False,
) -> list[Path]:
    """Write the tasks as JSON and, beside it, the labelling interface as XML.

    Args:
        manifest: whole videos or spans.
        out: the JSON; the interface has the same name and ends in ``.xml``.
        facts: length and rate of a video, asked for where there are spans.
        url: what stands before a video's path; the default is for local files.
        predictions: labels are suggestions to be accepted, not annotations.
        multilabel: a label cell holds several.

    Returns:
        The two files.

    Raises:
        UsageError: samples are single frames.
    """
    refuse_parts(manifest, "a task of Label Studio", spans=True)
    spans = any(has_span(sample) for sample in manifest)
    by_video: dict[str, list[Sample]] = defaultdict(list)
    for sample in manifest:
        by_video[sample.video].append(sample)
    tasks = []
    for video, members in by_video.items():
        first = members[0]
        known = facts(manifest.path(first)) if spans else None
        data: dict[str, Any] = {"video": url + quote(video)}
        if known is not None:
            data["rate"] = known.rate
        told = {"split": first.split, "group": first.group, **first.extra}
        data |= {name: value for name, value in told.items() if value and name not in data}
        task: dict[str, Any] = {"data": data}
        results = [
            _result(index, sample, known.rate, known.seconds, multilabel=multilabel)
            if known is not None
            else _choice(index, sample, multilabel=multilabel)
            for index, sample in enumerate(members)
            if sample.label
        ]
        if results:
            entry: dict[str, Any] = {"result": results}
            if predictions:
                entry["model_version"] = "frameflow"
            task["predictions" if predictions else "annotations"] = [entry]
        tasks.append(task)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, tasks)
    labels = manifest.label_names(multilabel=multilabel)
    interface = out.with_suffix(".xml")
    write_text(interface, _interface(labels, spans=spans, multilabel=multilabel))
    return [out, interface]


def _choice(index: int, sample: Sample, *, multilabel: bool) -> dict[str, Any]:
    chosen = list(sample.label_names(multilabel=multilabel))
    return _region(index, "choices", {"choices": chosen})


def _result(
    index: int, sample: Sample, rate: float, seconds: float, *, multilabel: bool
) -> dict[str, Any]:
    end = seconds if sample.end is None else sample.end
    first = round((sample.start or 0.0) * rate) + 1
    last = max(first, round(end * rate))
    names = list(sample.label_names(multilabel=multilabel))
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": names}
    return _region(index, "timelinelabels", value)


def _region(index: int, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"r{index}",
        "from_name": "label",
        "to_name": "video",
        "type": kind,
        "value": value,
    }


def _interface(labels: list[str], *, spans: bool, multilabel: bool) -> str:
    rate = ' framerate="$rate"' if spans else ""
    tag, child = ("TimelineLabels", "Label") if spans else ("Choices", "Choice")
    kind = "" if spans else f' choice="{"multiple" if multilabel else "single"}"'
    lines = [
        "<View>",
        f'  <{tag} name="label" toName="video"{kind}>',
        *(f"    <{child} value={quoteattr(label)}/>" for label in labels),
        f"  </{tag}>",
        f'  <Video name="video" value="$video"{rate}/>',
        "</View>",
    ]
    return "\n".join(lines) + "\n"
