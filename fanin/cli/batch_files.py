"""Which files a batch writes, and whether it may."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.batching.inflow import Inflow
    from fanin.batching.sinks import FileSink, StreamSink
    from fanin.batching.writers import OutputFormat

STANDARD_OUTPUT = "-"


@attrs.frozen
class Files:
    """What a batch writes to."""

    output: str
    """The file of rows as it was named; `-` is standard output."""
    written: OutputFormat
    """How the rows are written."""
    journal: Path | None
    """Where its calls are kept; None: nowhere."""
    anew: bool
    """The output is made anew, in place of one that may be there."""
    streams: bool
    """The output is no file of its own: standard output, a pipe, a device."""

    @property
    def read_along(self) -> bool:
        """Whether rows may stand on the terminal as they come: a line that lives would run into them."""
        if self.output != STANDARD_OUTPUT:
            return self.streams
        try:
            return not stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
        except (OSError, ValueError):
            return True

    def sink(self, *, durable: bool) -> FileSink | StreamSink:
        """Where the rows go, opened. Raises FaninError where it cannot be written."""
        from fanin.batching.sinks import FileSink, StreamSink

        if self.output == STANDARD_OUTPUT:
            # Without its buffer: what a full disk did not take must not be tried again when Python ends.
            sys.stdout.flush()
            stream = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
            return StreamSink(stream, "standard output")
        if self.streams:
            try:
                return StreamSink(Path(self.output).open("wb", buffering=0), self.output, own=True)
            except OSError as error:
                raise FaninError(f"{self.output}: it cannot be written: {error.strerror}") from None
        # A Parquet file can be read only when it is whole, so it is put in its place when it is.
        return FileSink(self.output, anew=self.anew or self.written == "parquet", durable=durable)


def files_of(options: dict[str, Any], inflow: Inflow) -> Files:
    """The files that the options ask for. Raises FaninError where one of them stands in the way."""
    from fanin.batching.inflow import is_same_file
    from fanin.batching.writers import output_format_of

    if options["resume"] and options["overwrite"]:
        raise click.UsageError("--resume and --overwrite exclude one another")
    output = options["output"]
    written = options["format"] or output_format_of(output)
    journal = None if options["journal"] is None else Path(options["journal"])
    anew = options["resume"] or options["overwrite"]
    if output == STANDARD_OUTPUT or _is_stream(output):
        if written == "parquet":
            raise click.UsageError("--format parquet needs a file: -o FILE")
        if anew and journal is None:
            raise click.UsageError("there is nothing to resume or overwrite: name a file (-o) or a --journal")
        _check_journal(journal, inflow)
        return Files(output, written, journal, anew, streams=True)
    if is_same_file(output, inflow):
        raise FaninError(
            f"{output}: the rows would be written over the questions", mend="Name another output."
        )
    _check_folder(Path(output))
    if journal is not None and Path(output).resolve() == journal.resolve():
        raise FaninError(f"{output}: the rows and the journal cannot be one file")
    files = Files(output, written, journal or _beside(output), anew, streams=False)
    _check_journal(files.journal, inflow)
    _check_kept(Path(output), files, options)
    return files


def _check_journal(journal: Path | None, inflow: Inflow) -> None:
    from fanin.batching.inflow import is_same_file

    if journal is not None and is_same_file(str(journal), inflow):
        problem = f"{journal}: the journal would be written over the questions"
        raise FaninError(problem, mend="Name another --journal.")


def _is_stream(output: str) -> bool:
    path = Path(output)
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except (OSError, ValueError):
        return False


def _beside(output: str) -> Path:
    path = Path(output)
    return path.with_name(f"{path.name}.journal")


def _check_folder(path: Path) -> None:
    try:
        if path.is_dir():
            raise FaninError(f"{path}: it is a directory", mend="Name the file that the rows go to.")
        if not path.parent.is_dir():
            raise FaninError(f"{path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise FaninError(f"{path}: its folder {path.parent} cannot be written to")
    except (OSError, ValueError) as error:
        raise FaninError(f"{path}: it cannot be written: {error}") from None


def _check_kept(path: Path, files: Files, options: dict[str, Any]) -> None:
    if not path.exists():
        return
    if not files.anew:
        raise FaninError(
            f"{path}: it is there already",
            mend="--resume goes on with that batch; --overwrite pays for all of it again.",
        )
    if options["resume"] and path.stat().st_size and not (files.journal and files.journal.exists()):
        raise FaninError(
            f"{path}: it holds rows, but their journal {files.journal} is gone",
            mend="Without it every call would be paid for again, which --overwrite does.",
        )


def resume_command(files: Files, words: list[str]) -> str | None:
    """The command that goes on with this batch, `words` being those of this one; None without a journal."""
    if files.journal is None:
        return None
    kept = [word for word in words if word not in ("--overwrite", "--resume")]
    return f"fanin {shlex.join(kept)} --resume"
