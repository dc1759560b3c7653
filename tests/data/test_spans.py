"""Each format, as the program itself writes it, gives the same spans."""

import json
from pathlib import Path

import pytest

from frameflow.data.spans import Span, read_spans
from frameflow.errors import UsageError

EXPECTED = [("match.mp4", 1.0, 2.5, "serve"), ("match.mp4", 3.25, 4.0, "lob, hoch")]


def plain(spans: list[Span]) -> list[tuple[str, float, float, str]]:
    return [(span.video, span.start, span.end, span.label) for span in spans]


@pytest.fixture
def write(tmp_path: Path):
    def put(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return put


class TestText:
    def test_lines(self, write) -> None:
        found = read_spans(
            write(
                "match.txt",
                "# what I saw\nmatch.mp4\r\n00:00:01 - 00:00:02.5 serve\r\n\r\n"
                "0:03,25 – 0:04  lob, hoch\n",
            )
        )
        assert plain(found.spans) == EXPECTED
        assert [span.place for span in found.spans] == ["match.txt, line 3", "match.txt, line 5"]
        assert not found.faults

    @pytest.mark.parametrize(
        "line",
        [
            "01:20:05 - 01:20:34 serve",
            "01:20:05-01:20:34 serve",
            "1:20:05 --> 1:20:34: serve",
            "01:20:05\t01:20:34\tserve",
            "4805 4834 serve",
            "4805,0 - 4834,0; serve",
            "4805,4834,serve",
            "80:05 to 80:34 - serve",
        ],
    )
    def test_ways_to_write_a_line(self, line: str, write) -> None:
        assert plain(read_spans(write("m.txt", line)).spans) == [("", 4805, 4834, "serve")]

    def test_lines_that_are_none(self, write) -> None:
        lines = "01:20:05 serve\n00:00:01 - 00:00:75 serve\nserve\n1 - 2\n3 - 4 good"
        found = read_spans(write("m.txt", lines))
        assert [fault.place for fault in found.faults] == [f"m.txt, line {n}" for n in (1, 2, 3, 4)]
        assert "is not like 01:20:05 - 01:20:34 label" in found.faults[0].message
        assert "below 60" in found.faults[1].message
        assert len(found.spans) == 1


class TestTables:
    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_columns_by_name(self, separator: str, write) -> None:
        rows = [
            ["video", "start", "end", "label"],
            ["match.mp4", "00:00:01", "2.5", "serve"],
            ["match.mp4", "3.25", "4", '"lob, hoch"'],
        ]
        text = "\n".join(separator.join(row) for row in rows)
        found = read_spans(write("m.csv", "\ufeff" + text))
        assert plain(found.spans) == EXPECTED

    def test_other_names_and_no_video(self, write) -> None:
        found = read_spans(write("m.csv", "Begin,Stop,Action\n1,2.5,serve\n"))
        assert plain(found.spans) == [("", 1, 2.5, "serve")]

    def test_faults_name_their_lines(self, write) -> None:
        text = "start,end,label\n1,2,serve\n1,x,serve\n1,2\n1,2,\n"
        found = read_spans(write("m.csv", text))
        assert [(f.place, f.message) for f in found.faults] == [
            ("m.csv, line 3", "'x' is no time: write hh:mm:ss, mm:ss or seconds"),
            ("m.csv, line 4", "has 2 cells where the header has 3"),
            ("m.csv, line 5", "the label is empty"),
        ]

    def test_a_missing_column(self, write) -> None:
        with pytest.raises(UsageError, match="no column 'end'"):
            read_spans(write("m.csv", "start,label\n1,serve\n"))


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T10:00:00+01:00" FORMAT="3.0" VERSION="3.0"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <HEADER MEDIA_FILE="" TIME_UNITS="{units}">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/films/match.mp4" MIME_TYPE="video/mp4"
        RELATIVE_MEDIA_URL="{media}"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3250"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000"/>
    <TIME_SLOT TIME_SLOT_ID="ts5"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="stroke">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>serve</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>lob, hoch</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="sub" PARENT_REF="stroke" TIER_ID="player">{more}</TIER>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true"/>
</ANNOTATION_DOCUMENT>
"""
PLAYER = """<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a2">
  <ANNOTATION_VALUE>left</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
  <ANNOTATION_VALUE>right</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"""


def eaf(*, more: str = "", units: str = "milliseconds", media: str = "match.mp4") -> str:
    return EAF.format(more=more, units=units, media=media)


class TestElan:
    def test_the_only_tier_with_annotations(self, write) -> None:
        found = read_spans(write("m.eaf", eaf()))
        assert plain(found.spans) == EXPECTED
        assert found.spans[0].place == "m.eaf, annotation a1"

    def test_a_tier_that_refers_to_another(self, write) -> None:
        path = write("m.eaf", eaf(more=PLAYER))
        found = read_spans(path, tier="player")
        assert plain(found.spans) == [("match.mp4", 3.25, 4.0, "left")]
        assert [f.place for f in found.faults] == ["m.eaf, annotation a4"], "it has no end"

    def test_which_tier(self, write) -> None:
        path = write("m.eaf", eaf(more=PLAYER))
        with pytest.raises(UsageError, match=r"2 tiers with annotations \(stroke, player\)"):
            read_spans(path)
        with pytest.raises(UsageError, match=r"no tier 'strokes'.*Did you mean 'stroke'"):
            read_spans(path, tier="strokes")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("<a", "no readable XML"),
            ("<TEI/>", "outermost element is 'TEI'"),
            (eaf(units="NTSC-frames"), "counts time in NTSC-frames"),
            (
                '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT/>',
                "defines a document type or entities",
            ),
        ],
    )
    def test_what_is_refused(self, text: str, says: str, write) -> None:
        with pytest.raises(UsageError, match=says):
            read_spans(write("m.eaf", text))


ATTRIBUTES = {
    "1": {
        "aname": "stroke",
        "anchor_id": "FILE1_Z2_XY0",
        "type": 4,
        "desc": "",
        "options": {"0": "serve", "1": "lob, hoch"},
        "default_option_id": "",
    }
}
NOTE = {"2": {"aname": "note", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}}


def via_project(**extra: object) -> str:
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "pname": "match", "vid_list": ["1"]},
        "config": {"file": {"loc_prefix": {}}},
        "attribute": ATTRIBUTES | NOTE,
        "file": {"1": {"fid": "1", "fname": "match.mp4", "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {
            "1_a": {"vid": "1", "flg": 0, "z": [1, 2.5], "xy": [], "av": {"1": "0"}},
            "1_b": {"vid": "1", "flg": 0, "z": [3.25, 4], "xy": [], "av": {"1": "1"}},
            "1_c": {"vid": "1", "flg": 0, "z": [], "xy": [2, 1, 1, 4, 4], "av": {"2": "box"}},
        }
        | extra,
    }
    return json.dumps(project)


def quoted(value: object) -> str:
    return '"' + json.dumps(value, separators=(",", ":")).replace('"', '""') + '"'


class TestVia:
    def test_a_project(self, write) -> None:
        assert plain(read_spans(write("m.json", via_project())).spans) == EXPECTED

    def test_an_export_of_everything(self, write) -> None:
        lines = [
            "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
            "# SHAPE_ID = " + json.dumps({"POINT": 1}),
            "# ATTRIBUTE = " + json.dumps(ATTRIBUTES),
            "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,"
            "metadata",
        ]
        for number, (video, start, end, _) in enumerate(EXPECTED):
            values = [[video], [start, end], [], {"1": str(number)}]
            cells = [quoted(value) for value in values]
            lines.append(f'"1_{number}",{cells[0]},0,{cells[1]},{cells[2]},{cells[3]}')
        assert plain(read_spans(write("m.csv", "\n".join(lines))).spans) == EXPECTED

    def test_an_export_of_segments(self, write) -> None:
        lines = [
            "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
            "# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,"
            "metadata",
            *(
                f'"1_{n}",{quoted([video])},{start},{end},{quoted({"TEMPORAL-SEGMENTS": label})}'
                for n, (video, start, end, label) in enumerate(EXPECTED)
            ),
            '"1_x","[""match.mp4""]",1,2',
        ]
        found = read_spans(write("m.csv", "\n".join(lines)))
        assert plain(found.spans) == EXPECTED
        assert [fault.place for fault in found.faults] == ["m.csv, line 5"]

    def test_which_attribute(self, write) -> None:
        more = {"vid": "1", "z": [5, 6], "xy": [], "av": {"1": "0", "2": "late"}}
        path = write("m.json", via_project(**{"1_d": more}))
        with pytest.raises(UsageError, match=r"2 attributes \(stroke, note\)"):
            read_spans(path)
        assert len(read_spans(path, tier="stroke").spans) == 3
        with pytest.raises(UsageError, match="Did you mean 'note'"):
            read_spans(path, tier="notes")

    def test_what_is_broken(self, write) -> None:
        broken = {
            "1_d": {"vid": "9", "z": [5, 6], "xy": [], "av": {"1": "0"}},
            "1_e": {"vid": "1", "z": [5, 6, 7], "xy": [], "av": {"1": "0"}},
            "1_f": {"vid": "1", "z": [5, 6], "xy": [], "av": {}},
        }
        found = read_spans(write("m.json", via_project(**broken)))
        assert plain(found.spans) == EXPECTED
        assert [f.place.split()[-1] for f in found.faults] == ["1_d", "1_e", "1_f"]
        for text in ("[]", "{}", "{"):
            with pytest.raises(UsageError, match="no project of VIA 3"):
                read_spans(write("m.json", text))


AGGREGATED = (
    "Observation id,Observation date,Description,Observation type,Source,Time offset (s),"
    "Media duration (s),FPS (frame/s),Subject,Behavior,Behavioral category,Behavior type,"
    "Start (s),Stop (s),Duration (s),Media file name,Comment start,Comment stop\n"
    "o1,2026-01-01 10:00:00,,Media file,player #1:/films/match.mp4,0.0,5.0,25.0,A,serve,,STATE,"
    "1.000,2.500,1.500,match.mp4,,\n"
    'o1,2026-01-01 10:00:00,,Media file,player #1:/films/match.mp4,0.0,5.0,25.0,A,"lob, hoch",,'
    "STATE,3.250,4.000,0.750,match.mp4,,\n"
)
TABULAR = (
    "Observation id\tObservation date\tSource\tSubject\tBehavior\tBehavior type\tTime\t"
    "Media file name\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tserve\tSTART\t1.0\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tB\tserve\tSTART\t2.0\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tserve\tSTOP\t2.5\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tlob, hoch\tSTART\t3.25\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tlob, hoch\tSTOP\t4.0\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tlob, hoch\tSTOP\t4.5\tmatch.mp4\n"
    "o1\t2026-01-01\tplayer #1:match.mp4\tA\tbounce\tPOINT\t4.6\tmatch.mp4\n"
)
OLDER = (
    "Observation id\to1\n\nMedia file(s)\nPlayer #1\t/films/match.mp4\n\n"
    "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category\tComment\t"
    "Status\n"
    "1.0\tmatch.mp4\t5.0\t25\t\tserve\t\t\tSTART\n"
    "2.5\tmatch.mp4\t5.0\t25\t\tserve\t\t\tSTOP\n"
)


class TestBoris:
    def test_aggregated_events(self, write) -> None:
        assert plain(read_spans(write("m.csv", AGGREGATED)).spans) == EXPECTED

    def test_the_source_where_no_file_is_named(self, write) -> None:
        text = AGGREGATED.replace(",match.mp4,,", ",,,")
        assert {s.video for s in read_spans(write("m.csv", text)).spans} == {"/films/match.mp4"}

    def test_tabular_events_are_paired(self, write) -> None:
        found = read_spans(write("m.tsv", TABULAR))
        assert plain(found.spans)[:2] == EXPECTED
        assert plain(found.spans)[2:] == [("match.mp4", 4.6, 4.6, "bounce")]
        assert [(f.place, f.message) for f in found.faults] == [
            ("m.tsv, line 7", "'lob, hoch' stops and did not start"),
            ("m.tsv, line 3", "'serve' starts and does not stop"),
        ]

    def test_the_older_form_with_lines_above_the_table(self, write) -> None:
        assert plain(read_spans(write("m.tsv", OLDER)).spans) == EXPECTED[:1]

    def test_without_start_and_stop(self, write) -> None:
        text = "Time\tBehavior\n1.0\tserve\n"
        with pytest.raises(UsageError, match="does not say which events start and stop"):
            read_spans(write("m.tsv", text))


@pytest.mark.parametrize("name", ["gone.txt", "gone.eaf", "gone.csv"])
def test_files_that_are_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_spans(tmp_path / name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_spans(tmp_path / "m.txt")
