"""Room for as many open files as calls in flight need."""

from __future__ import annotations

from fanin.errors import FaninError

_BESIDE = 32
"""Files that are open beside the connections: input, output, journal, the event loop's own."""


def make_room_for(connections: int) -> None:
    """Raises this process's limit of open files as far as that many connections need and the system lets it.

    Raises FaninError where it does not let it so far.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system: there is no such limit
        return
    wanted = connections + _BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise FaninError(
            f"{connections} calls in flight need {wanted} open files, and this process may have {hard}",
            mend=f"Ask with -j {max(1, hard - _BESIDE)} at most, or allow it more (ulimit -n).",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
