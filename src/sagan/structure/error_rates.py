"""How often the checkers are wrong, on pictures whose truth is known."""

from dataclasses import dataclass

import numpy as np

from sagan.data.procedural.sets import RESOLUTIONS_PX
from sagan.progress import Bar
from sagan.structure.checker import abstained
from sagan.structure.checkers import CHECKERS, checker_of, read_parts
from sagan.structure.planted import LEVELS, VIOLATIONS, paint, perturbed

SOUND = ""


@dataclass(frozen=True)
class ErrorRates:
    """A checker's errors on one kind of pictures."""

    name: str  # of the set
    resolution: int  # in pixels
    level: str  # clean; medium or strong, where pictures are blurred, warped and noisy
    violation: str  # what was planted; empty for sound pictures
    n: int  # pictures
    abstain_rate: float  # share that the checker could not read
    error_rate: float  # of those read: sound ones that failed, violations that passed; NaN if none


def error_rates(
    name: str, *, num: int = 2000, resolution: int = 32, seed: int = 2, progress: bool = False
) -> list[ErrorRates]:
    """Measure a checker's errors on `num` pictures of each kind, for each level and kind."""
    # seeds 0 and 1 are those of the training and test sets
    checker = checker_of(name)
    if num < 1:
        raise ValueError(f"the number of pictures must be at least 1, not {num}")
    if seed < 0:
        raise ValueError(f"the seed must be 0 or more, not {seed}")
    if resolution not in RESOLUTIONS_PX:
        raise ValueError(f"resolution must be one of {RESOLUTIONS_PX} px, not {resolution}")
    kinds = {SOUND: None, **VIOLATIONS[name]}
    rows = []
    with Bar(f"{name} {resolution} px", len(kinds) * len(LEVELS), enabled=progress) as bar:
        for violation, plant in kinds.items():
            images = paint(name, num, resolution=resolution, seed=seed, plant=plant)
            for level, strength in LEVELS.items():
                parts = read_parts(checker, [perturbed(images, strength=strength, seed=seed)])
                unread = abstained(parts)
                passed = checker.passes(parts[~unread])
                wrong = passed if violation else ~passed
                rate = float(wrong.mean()) if len(wrong) else float("nan")
                rows.append(
                    ErrorRates(name, resolution, level, violation, num, float(unread.mean()), rate)
                )
                bar.advance()
    return rows


def error_table(rows: list[ErrorRates]) -> str:
    """Lay rates out as a Markdown table, a line for each set, resolution and level."""
    lines = [
        "| set | px | pictures | false-fail | false-pass | abstained |",
        "|---|---|---|---|---|---|",
    ]
    for name in CHECKERS:
        for resolution in sorted({row.resolution for row in rows if row.name == name}):
            for level in LEVELS:
                chosen = [
                    row
                    for row in rows
                    if (row.name, row.resolution, row.level) == (name, resolution, level)
                ]
                (sound,) = (row for row in chosen if row.violation == SOUND)
                planted = [row for row in chosen if row.violation != SOUND]
                passed = ", ".join(f"{row.violation} {_percent(row.error_rate)}" for row in planted)
                unread = max(row.abstain_rate for row in chosen)
                lines.append(
                    f"| {name} | {resolution} | {level} | {_percent(sound.error_rate)} | {passed} "
                    f"| {_percent(unread)} |"
                )
    return "\n".join(lines)


def _percent(rate: float) -> str:
    return "-" if np.isnan(rate) else f"{100 * rate:.1f} %"
