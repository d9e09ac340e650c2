"""Read a source's pictures in several threads, in order.

Pillow releases the interpreter's lock while it decodes and resizes, so threads are enough.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from sagan.data.decode import Picture, Unreadable, quiet_pillow, read_picture
from sagan.data.sources.source import Item, Source
from sagan.text import one_line

Result = TypeVar("Result")
_OF_THE_FILE = (  # errors that lie in the file itself, not in the machine; None: an archive's own
    *(None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR),
    *(errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EOVERFLOW),
)
_MOST_THREADS = 32
_AT_ONCE = 8  # items per task, so that queueing costs little
_AHEAD = 3  # tasks queued per thread


def threads_here() -> int:
    """Count the threads that decode: one per core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(_MOST_THREADS, cores or 1))


def read_all(
    source: Source, use: Callable[[Picture], Result], *, least_px: int = 0
) -> Iterator[tuple[Item, Result | Unreadable]]:
    """Call `use` on each picture in threads; yield items in order with results, or `Unreadable`."""

    def task(items: list[Item]) -> list[tuple[Item, Result | Unreadable]]:
        return [(item, _read(item, use, least_px, source.rules)) for item in items]

    items = source.items()
    threads = threads_here()
    waiting: deque[Future[list[tuple[Item, Result | Unreadable]]]] = deque()
    with quiet_pillow(), ThreadPoolExecutor(threads) as pool:
        try:
            while part := list(islice(items, _AT_ONCE)):
                waiting.append(pool.submit(task, part))
                if len(waiting) > _AHEAD * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(
    item: Item, use: Callable[[Picture], Result], least_px: int, rules: int
) -> Result | Unreadable:
    try:
        content = item.read()
    except Unreadable as error:
        return error
    except MemoryError:
        raise
    except OSError as error:
        if error.errno not in _OF_THE_FILE:  # it may be readable another time
            raise
        return Unreadable(f"cannot be read: {one_line(error)}")
    except Exception as error:  # from the file system, an archive or a decompressor
        return Unreadable(f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}")
    try:
        return use(read_picture(content, least_px=least_px, rules=rules))
    except Unreadable as error:
        return error
    except MemoryError:
        return Unreadable("not enough memory to decode it")
