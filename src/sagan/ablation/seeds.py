"""Which seeds an experiment has, and which of them to run now."""

_LARGEST_SEED = 2**31


def parse_seeds(seeds: int | str) -> range:
    """Read which seeds are run: so many from 0, or `8-23`.

    Example:
        >>> parse_seeds(8), parse_seeds("8-23")
        (range(0, 8), range(8, 24))
    """
    text = str(seeds).strip()
    numbers = parse_span(text)
    if numbers is None or numbers[-1] > _LARGEST_SEED:
        raise ValueError(f"--seeds must be how many, as 8, or which, as 8-23; not {seeds!r}")
    return numbers if "-" in text else range(numbers.start)


def parse_span(text: str) -> range | None:
    """Read `5` or `0-3`, the last one included; None for anything else.

    Example:
        >>> parse_span("0-3"), parse_span("5"), parse_span("3-1")
        (range(0, 4), range(5, 6), None)
    """
    first, dash, last = text.strip().partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        return None
    return range(int(first), int(last) + 1)


def parse_only(text: str | None, seeds: range) -> list[int]:
    """Read which seeds to run: `0-3`, `5` or `1,4-6`; None for all.

    Example:
        >>> parse_only("0-2,5", range(8))
        [0, 1, 2, 5]
    """
    if text is None:
        return list(seeds)
    found: set[int] = set()
    for part in text.split(","):
        numbers = parse_span(part)
        if numbers is None or numbers[0] not in seeds or numbers[-1] not in seeds:
            those = f"{seeds.start} to {seeds.stop - 1}"
            raise ValueError(f"--only {text!r} is not of the seeds {those}, as 0-3 or 5")
        found |= set(numbers)
    return sorted(found)
