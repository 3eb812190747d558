"""From bytes as they come to numbered lines of text; no I/O here.

gzip is known by its first bytes (RFC 1952), UTF-16 by its byte order mark or by the zero bytes that every
JSON text in it has (RFC 4627, section 3); all else is UTF-8. A line ends at a line feed, and a carriage
return before it belongs to the end.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterator

import attrs

MAX_LINE_BYTES = 10 * 1024 * 1024
"""A line that is longer, as UTF-8, is not read."""

_PIECE = 256 * 1024
_GZIP = b"\x1f\x8b"
_SNIFFED = 4
_TORN = b"\xff"  # no UTF-8: marks the line that it stands in as unreadable


@attrs.frozen
class Line:
    """One line of the input, or what is wrong with it."""

    number: int
    """The line as an editor counts it, from 1."""
    text: str
    """Without its end; empty where it could not be read."""
    problem: str | None = None
    """Why it could not be read."""


class Lines:
    """Cuts a stream into lines. The same lines come out however the bytes are cut on their way in."""

    def __init__(self) -> None:
        self._unpacking = _Unpacking()
        self._decoding = _Decoding()
        self._number = 0
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._too_long = False
        self._over = False
        self._came = 0
        self._went = 0

    @property
    def share(self) -> float:
        """How much of what was fed has come out as lines, 0.0 to 1.0."""
        return self._went / self._came if self._came else 0.0

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that end in this piece of the stream."""
        return self._cut(self._unpacking.feed(data))

    def end(self) -> Iterator[Line]:
        """The lines that are left at the end of the stream: the last one needs no line feed."""
        yield from self._cut(self._unpacking.end())
        if self._over:
            return
        yield from self._lines(self._decoding.end())
        if self._open_bytes or self._too_long:
            yield self._closed(b"")

    def _cut(self, pieces: Iterator[bytes]) -> Iterator[Line]:
        if self._over:
            return
        try:
            for piece in pieces:
                yield from self._lines(self._decoding.feed(piece))
        except _BrokenGzip as broken:
            self._over = True
            yield Line(self._number + 1, "", f"from here on nothing can be read: {broken}")

    def _lines(self, data: bytes) -> Iterator[Line]:
        self._came += len(data)
        *whole, rest = data.split(b"\n")
        for line in whole:
            yield self._closed(line)
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._open_bytes += len(part)
        if self._open_bytes > MAX_LINE_BYTES:
            self._too_long = True
            self._open.clear()
        elif part:
            self._open.append(part)

    def _closed(self, part: bytes) -> Line:
        self._keep(part)
        raw, too_long, size = b"".join(self._open), self._too_long, self._open_bytes
        self._open.clear()
        self._open_bytes, self._too_long = 0, False
        self._number += 1
        self._went += size + 1
        if too_long:
            return Line(self._number, "", f"it is {size:,} bytes long; {MAX_LINE_BYTES:,} are the most")
        try:
            return Line(self._number, raw.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            return Line(self._number, "", f"it is no valid text (byte {error.start + 1} of the line)")


class _BrokenGzip(Exception):
    """The packed stream is damaged or cut short; says which."""


class _Unpacking:
    """Unpacks a stream that begins as gzip does, and hands every other one on as it is."""

    def __init__(self) -> None:
        self._start = b""
        self._begun = False
        self._gzip: zlib._Decompress | None = None
        self._inside = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._begun:
            self._start += data
            if len(self._start) < len(_GZIP):
                return
            data, self._start, self._begun = self._start, b"", True
            if data.startswith(_GZIP):
                self._gzip = _member()
        if self._gzip is None:
            yield data
        else:
            yield from self._unpacked(self._gzip, data)

    def _unpacked(self, gzip: zlib._Decompress, data: bytes) -> Iterator[bytes]:
        """Piece by piece, so that a small file that unpacks to a giant one is no danger."""
        while data:
            if not self._inside:
                data = data.lstrip(b"\0")  # zeros may stand between members and at the end
                self._inside = bool(data)
                continue
            try:
                piece = gzip.decompress(data, _PIECE)
                while len(piece) == _PIECE:
                    yield piece
                    piece = gzip.decompress(gzip.unconsumed_tail, _PIECE)
            except zlib.error:
                raise _BrokenGzip("the gzip file is damaged") from None
            yield piece
            data = gzip.unused_data
            if gzip.eof:
                self._gzip = gzip = _member()
                self._inside = False

    def end(self) -> Iterator[bytes]:
        if not self._begun:
            yield self._start
        elif self._inside:
            raise _BrokenGzip("the gzip file is cut short")


def _member() -> zlib._Decompress:
    """What unpacks one member; a gzip file may have several, one after the other."""
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


class _Decoding:
    """Makes UTF-8 without a byte order mark of the stream; what is UTF-8 already is not looked at."""

    def __init__(self) -> None:
        self._start = b""
        self._begun = False
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> bytes:
        if not self._begun:
            self._start += data
            return self._begin() if len(self._start) >= _SNIFFED else b""
        return self._utf_8(data)

    def end(self) -> bytes:
        rest = b"" if self._begun else self._begin()
        torn = self._decoder is not None and self._decoder.getstate()[0]
        return rest + _TORN if torn else rest

    def _begin(self) -> bytes:
        data, self._start, self._begun = self._start, b"", True
        name, mark = _encoding(data)
        if name != "utf-8":
            self._decoder = codecs.getincrementaldecoder(name)("surrogatepass")
        return self._utf_8(data[mark:])

    def _utf_8(self, data: bytes) -> bytes:
        if self._decoder is None:
            return data
        # Half a surrogate pair comes out as bytes that are no UTF-8: its line cannot be read, alone.
        return self._decoder.decode(data).encode("utf-8", "surrogatepass")


def _encoding(start: bytes) -> tuple[str, int]:
    """The encoding of a stream, and how many bytes its mark has."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8", 3
    if start.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if start.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    zeros = tuple(byte == 0 for byte in start[:_SNIFFED])
    if zeros == (False, True, False, True):
        return "utf-16-le", 0
    return ("utf-16-be", 0) if zeros == (True, False, True, False) else ("utf-8", 0)
