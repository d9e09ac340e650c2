"""Whether there is memory enough to begin at all, seen before a library crashes for want of it."""

from pathlib import Path

_LEAST_SPACE_BYTES = 1_500_000_000  # of addresses: importing torch takes 600 MB, each thread some
_LEAST_FREE_BYTES = 300_000_000


def too_little_memory(meminfo: Path = Path("/proc/meminfo")) -> str:
    """Say why the program cannot begin, by what the system tells; else an empty string."""
    limit = _limit_bytes()
    if limit is not None and limit < _LEAST_SPACE_BYTES:
        return (
            f"this shell allows a program {limit / 1e9:.2g} GB of memory (ulimit -v), and about "
            f"{_LEAST_SPACE_BYTES / 1e9:.2g} GB are needed to begin"
        )
    if meminfo.is_file():
        lines = (line.split() for line in meminfo.read_text(encoding="ascii").splitlines())
        kibibytes = {words[0]: int(words[1]) for words in lines}
        free = 1024 * (kibibytes.get("MemAvailable:", 2**40) + kibibytes.get("SwapFree:", 0))
        if free < _LEAST_FREE_BYTES:
            return (
                f"{free / 1e6:.0f} MB of memory are free, and about {_LEAST_FREE_BYTES / 1e6:.0f} "
                "MB are needed to begin: end another program"
            )
    return ""


def _limit_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
