"""A multipart form as it arrives, piece by piece."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from frameflow.serving.limits import Limits, Refused, size_text

if TYPE_CHECKING:
    pass

FILE = "file"  # the one field that holds one
OVERHEAD = 64 << 10  # bytes of a form beside its file and fields


def bad_form(message: str) -> Refused:
    """The answer for a form that is none."""
    return Refused(400, "bad_form", message, "Send multipart/form-data, as curl -F does.")


def too_large(limits: Limits) -> Refused:
    """The answer for an upload that is over the limit."""
    return Refused(
        413,
        "too_large",
        f"The file is larger than {size_text(limits.bytes)}.",
        "Cut it into shorter ones, or send it in a lower resolution.",
    )


def check_type(content_type: str | None) -> tuple[str, bytes]:
    """("multipart", boundary) or ("urlencoded", b"") of a request.

    Raises:
        Refused: 415 for another type, 400 without a boundary.
    """
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type or "")
    if kind == b"application/x-www-form-urlencoded":
        return "urlencoded", b""
    if kind != b"multipart/form-data":
        message = "The request holds no form."
        raise Refused(415, "not_a_form", message, "Send multipart/form-data, as curl -F does.")
    if not options.get(b"boundary"):
        raise bad_form("The form has no boundary.")
    return "multipart", options[b"boundary"]


class FormReader:
    """Takes the bytes of a form; gives its fields, and the bytes of its file as they come.

    Args:
        boundary: between the parts.
        limits: of the form.

    Attributes:
        fields: by name, as far as they have arrived.
        file_name: of the file, as the client says; None until one has begun.
        size: bytes of the file so far.
        ended: whether the whole form has arrived.

    Raises:
        Refused: 400.
    """

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self.size = 0
        self.ended = False
        self._limits, self._error = limits, FormParserError
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # else any nonsense is told
        self._file: list[bytes] = []
        self._parts = 0
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._name: str | None = None  # of the field whose bytes arrive; None: of the file
        self._field = bytearray()
        try:
            self._parser: MultipartParser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers,
                    "on_end": self._finished,
                },
            )
        except FormParserError:
            raise bad_form("The form's boundary cannot be used.") from None

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes of the form; what of them belongs to the file.

        Raises:
            Refused: 400 for what is no form, 413 for a file over the limit.
        """
        try:
            self._parser.write(piece)
        except self._error:
            raise bad_form("The form cannot be read.") from None
        found, self._file = b"".join(self._file), []
        return found

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.form_fields:
            raise bad_form(f"The form has more than {self._limits.form_fields} fields.")
        self._disposition, self._name = b"", None
        self._field.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        name = _text(options.get(b"name"))
        if name is None:
            raise bad_form("A field of the form has no name.")
        if b"filename" not in options:
            if name in self.fields:
                raise bad_form(f"The form has two fields {name[:40]!r}.")
            self._name = name
            return
        if name != FILE or self.file_name is not None:
            raise bad_form(f"The form holds a file that is not the one field {FILE!r}.")
        self.file_name = _text(options[b"filename"]) or ""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name is None:
            self.size += end - start
            if self.size > self._limits.bytes:
                raise too_large(self._limits)
            self._file.append(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > self._limits.field_bytes:
            raise bad_form(f"The field {self._name[:40]!r} is too long.")

    def _end(self) -> None:
        if self._name is not None:
            self.fields[self._name] = _field_text(bytes(self._field))

    def _finished(self) -> None:
        self.ended = True


def read_urlencoded(body: bytes, limits: Limits) -> Mapping[str, str]:
    """The fields of a form without a file.

    Raises:
        Refused: 400.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=limits.form_fields,
            errors="strict",
        )  # fmt: skip
    except ValueError:
        raise bad_form("The form cannot be read.") from None
    if len(dict(pairs)) < len(pairs):
        raise bad_form("The form has a field twice.")
    return dict(pairs)


def _field_text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_form("A field of the form is not UTF-8.") from None


def _text(raw: bytes | None) -> str | None:
    """A name in a header, whatever its encoding."""
    if raw is None:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
