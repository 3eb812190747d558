"""The paces that the processes of one user on one machine share: a file each, in the runtime directory.

A file holds two lines: what it is, with the version, the boot of the machine and until when all may send
nothing; and the state. It is replaced as a whole by renaming, so whoever reads without the lock reads
one state or the next. Who changes it holds a lock on the file beside it, which the system takes away
from a process that ends. One who is stopped while they hold it stops nobody: the others go without.

Time is `time.monotonic()`, the same for all processes from one boot to the next.
"""

from __future__ import annotations

import math
import os
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fanin.clock import Clock
from fanin.sharing import codec
from fanin.sharing.joint import Joint
from fanin.sharing.store import Found, Key, Step, Store, StoreError, T

LOCK_TRIES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04)
"""The lock is tried again after each of these; a look takes a few milliseconds."""
STALE_S = 600.0
"""A file that nobody has touched for so long, and that cannot be read, is none."""
SAME_BOOT_S = 60.0
"""Where the system does not name its boots: by when it booted, give or take a clock that was set."""

_MAGIC = "fanin-pace"


def runtime_folder() -> Path:
    """Where the files are: `fanin` in the user's runtime directory, as platformdirs finds it.

    Raises StoreError.
    """
    from platformdirs import user_runtime_path

    try:
        with warnings.catch_warnings():  # it warns where there is no XDG_RUNTIME_DIR, and falls back
            warnings.simplefilter("ignore")
            return user_runtime_path("fanin", appauthor=False)
    except OSError as error:
        raise StoreError(f"there is no runtime directory: {error}", for_good=True) from None


def boot() -> str:
    """Which boot of the machine this is."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{time.time() - time.monotonic():.0f}"


def _same_boot(one: str, other: str) -> bool:
    try:
        return abs(int(one) - int(other)) <= SAME_BOOT_S
    except ValueError:
        return one == other


class FileStore(Store):
    """One file an account and model in `folder` (default: `runtime_folder()`)."""

    name = "the pace file"
    patience_s = 1.0
    strikes = 3  # on a busy machine its user may just be slow

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self._where = folder
        self._boot = boot()
        self._seen: dict[Key, tuple[tuple[bytes, bytes], Joint]] = {}

    def now_s(self) -> float:
        return time.monotonic()

    async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
        for wait_s in LOCK_TRIES_S:
            with self._locked(key) as held:
                if held:
                    return self._exchanged(key, fresh, step, clock.now_s())
            await clock.sleep(wait_s)
        raise StoreError(f"{self._path(key)} is in use, and its user does not move")

    def _exchanged(self, key: Key, fresh: Joint, step: Step[T], now_s: float) -> Found[T]:
        joint, result = step(self._read(key) or fresh, now_s)
        self._write(key, joint)
        return Found(joint, result)

    def closed_until_s(self, key: Key) -> float:
        try:
            head, _ = self._lines(self._path(key), 200)
            _, _, at, until = head.decode("ascii").split(" ")
            return float(until) if _same_boot(at, self._boot) else -math.inf
        except (OSError, StoreError, ValueError):
            return -math.inf

    def entries(self) -> list[Joint]:
        found = []
        for path in self._paths():
            with suppress(OSError, StoreError, ValueError):
                joint = self._joint(path, *self._lines(path))
                if joint is not None:
                    found.append(joint)
        return sorted(found, key=lambda joint: (joint.account, joint.model))

    def forget(self, key: Key | None) -> int:
        if key is None:
            paths = self._paths()
            for path in paths:
                self._forget(path)
            return len(paths)
        path = self._path(key)
        if not path.exists():
            return 0
        self._forget(path)
        return 1

    def _forget(self, path: Path) -> None:
        """Leaves an empty state, so that whoever shares it forgets too."""
        try:
            known = self._joint(path, *self._lines(path))
            assert known is not None
            self._replace(path, Joint(known.account, known.model))
        except (StoreError, ValueError, AssertionError):
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self._folder().glob("*.pace"))

    def _path(self, key: Key) -> Path:
        return self._folder() / f"{key.digest}.pace"

    def _folder(self) -> Path:
        """The folder, made where there is none. Raises StoreError for one that others could write to."""
        folder = self._where = self._where or runtime_folder()
        with _said("cannot be used", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(folder, os.lstat(folder), stat.S_ISDIR)
            if stat.S_IMODE(os.lstat(folder).st_mode) & 0o077:
                folder.chmod(0o700)
        return folder

    @contextmanager
    def _locked(self, key: Key) -> Iterator[bool]:
        """Whether the lock was free; it is held until the end."""
        try:
            import fcntl
        except ImportError:
            raise StoreError("this system has no file locks", for_good=True) from None
        path = self._path(key).with_suffix(".lock")
        with _said("cannot be locked", path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with _said("cannot be locked", path):
                _check_owner(path, os.fstat(descriptor), stat.S_ISREG)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    free = True
                except BlockingIOError:
                    free = False
            yield free
        finally:
            os.close(descriptor)  # which gives the lock back

    def _read(self, key: Key) -> Joint | None:
        """What the file holds; None where there is none that counts."""
        path = self._path(key)
        with _said("cannot be read", path):
            try:
                head, body = self._lines(path)
            except FileNotFoundError:
                return None
        seen = self._seen.get(key)
        if seen is not None and seen[0] == (head, body):
            return seen[1]
        try:
            return self._joint(path, head, body)
        except StoreError:
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    return None
            raise

    def _joint(self, path: Path, head: bytes, body: bytes) -> Joint | None:
        """What these lines say; None where it is of another boot. Raises StoreError."""
        magic, _, rest = head.decode("ascii", "replace").partition(" ")
        version, _, rest = rest.partition(" ")
        if magic != _MAGIC:
            raise StoreError(f"{path} is no pace file", for_good=True)
        if version != codec.version():
            raise StoreError(f"{path} is of another version of fanin", for_good=True)
        if not _same_boot(rest.partition(" ")[0], self._boot):
            return None
        try:
            return codec.decode(body)
        except ValueError:
            raise StoreError(f"{path} is damaged", for_good=True) from None

    def _lines(self, path: Path, most: int = 1 << 24) -> tuple[bytes, bytes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            _check_owner(path, os.fstat(descriptor), stat.S_ISREG)
            head, _, body = (file.read(most) or b"").partition(b"\n")
        return head, body.rstrip(b"\n")

    def _write(self, key: Key, joint: Joint) -> None:
        self._seen[key] = (self._replace(self._path(key), joint), joint)

    def _replace(self, path: Path, joint: Joint) -> tuple[bytes, bytes]:
        """Puts the state in the file's place, as a whole; its two lines."""
        head = f"{_MAGIC} {codec.version()} {self._boot} {joint.booked.pace.gate.until_s!r}".encode("ascii")
        body = codec.encode(joint)
        fresh = path.with_suffix(f".{os.getpid()}")
        with _said("cannot be written", path):
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(fresh, flags, 0o600)
                with os.fdopen(descriptor, "wb", buffering=0) as file:
                    _write_all(file.write, head + b"\n" + body + b"\n")
                fresh.replace(path)
            except BaseException:
                with suppress(OSError):
                    fresh.unlink()
                raise
        return head, body


def _write_all(write: Callable[[bytes], int], data: bytes) -> None:
    while data:
        data = data[write(data) :]


@contextmanager
def _said(what: str, path: Path) -> Iterator[None]:
    """Makes of the system's errors a StoreError that says what could not be done to which file."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} {what}: {error.strerror or error}", for_good=True) from None


def _check_owner(path: Path, found: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    """Raises StoreError for what is not the user's own, or not of that kind."""
    if not is_kind(found.st_mode):
        raise StoreError(f"{path} is not what it should be: a link, or something else", for_good=True)
    if found.st_uid != os.getuid():
        raise StoreError(f"{path} belongs to another user", for_good=True)
