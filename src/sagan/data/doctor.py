"""Examine a source: what is in it, what is wrong with it, and what would help."""

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagan.config.presets import FEW_IMAGES
from sagan.data.dataset import LeftOut
from sagan.data.decode import ENDINGS, ODD_KINDS, Picture, Unreadable, is_grey, to_square
from sagan.data.packed import Options
from sagan.data.sources.labels import check_class_names
from sagan.data.sources.source import Item, Source
from sagan.data.threads import read_all
from sagan.progress import Bar
from sagan.text import listed, shown

_TOO_FEW_A_CLASS = 50
_UNEQUAL = 5.0  # largest class to smallest
_EXAMPLES = 8  # of a class on the contact sheet


@dataclass(frozen=True)
class Sides:
    """Smallest, median and largest side in pixels."""

    min: int
    median: float
    max: int


@dataclass(frozen=True)
class Report:
    """What was found."""

    kind: str  # of the source
    pictures: int  # readable ones to train on
    channels: int  # in training
    widths_px: Sides  # of the upright pictures
    heights_px: Sides
    modes: dict[str, int]  # pictures by stored mode
    classes: dict[str, int]  # pictures by class, in label order; empty without classes
    odd: dict[str, int]  # pictures by odd kind
    duplicates: tuple[tuple[str, ...], ...]  # names, by group of the same decoded pixels
    duplicates_across_classes: int  # groups that span classes
    testing: int  # readable pictures kept for testing, not among `pictures`
    testing_in: str  # where those are
    duplicates_in_testing: int  # those that are among the training pictures too
    without_end: tuple[str, ...]  # names of JPEGs that lack only their end marker
    excluded: tuple[LeftOut, ...]
    problems: tuple[str, ...]  # reasons for which training would refuse the source
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON values."""
        values = asdict(self)
        values["excluded"] = [{"name": n, "reason": r} for n, r in self.excluded]
        values["odd"] = {k: {"count": c, "done": ODD_KINDS[k]} for k, c in self.odd.items()}
        return values


Examples = dict[str, list[NDArray[np.uint8]]]  # by class: uint8 `h w 3`


@dataclass(frozen=True)
class _Seen:
    """What is recorded of each picture."""

    size_px: tuple[int, int]
    mode: str
    format: str
    odd: tuple[str, ...]
    digest: bytes
    square: NDArray[np.uint8]
    grey: bool


def examine(
    source: Source, options: Options, *, strict: bool = False, progress: bool = False
) -> tuple[Report, Examples]:
    """Read a whole source once: the report, and examples of each class for the contact sheet."""
    # strict counts anything unreadable as a problem

    def look(picture: Picture) -> _Seen:
        image = picture.image
        digest = hashlib.sha256(f"{image.mode} {image.size}".encode())
        digest.update(image.tobytes())
        square = to_square(image, options.resolution, 3, options.background, options.crop)
        form = (picture.size_px, picture.stored_mode, picture.format, picture.odd)
        return _Seen(*form, digest.digest()[:16], square, is_grey(square))

    examination = _Examination(source, options)
    for side in filter(None, (source, source.test)):
        with Bar("checking", side.length, enabled=progress) as bar:
            for item, result in read_all(side, look):
                bar.advance()
                examination.add(item, result, for_testing=side is source.test)
    return examination.report(strict), examination.examples


class _Examination:
    """Counts the pictures as they are read."""

    def __init__(self, source: Source, options: Options) -> None:
        self.source, self.options = source, options
        self.excluded: list[LeftOut] = list(source.left_out)
        self.widths: list[int] = []
        self.heights: list[int] = []
        self.modes: Counter[str] = Counter()
        self.classes: Counter[str | None] = Counter()
        self.odd: Counter[str] = Counter()
        self.same: defaultdict[bytes, list[tuple[str, str | None]]] = defaultdict(list)
        self.examples: Examples = {}
        self.all_grey = True
        self.testing = 0
        self.duplicates_in_testing = 0
        self.without_end: list[str] = []

    def add(self, item: Item, result: _Seen | Unreadable, *, for_testing: bool) -> None:
        if isinstance(result, Unreadable):
            self.excluded.append((item.name, str(result)))
            return
        if "no end marker" in result.odd:
            self.without_end.append(item.name)
        if for_testing:
            self.testing += 1
            self.duplicates_in_testing += result.digest in self.same
            return
        width, height = result.size_px
        self.widths.append(width)
        self.heights.append(height)
        self.modes[result.mode] += 1
        self.classes[item.class_name] += 1
        self.odd.update(result.odd)
        self.odd["not square"] += width != height
        self.odd["too small"] += min(width, height) < self.options.resolution
        self.odd["wrong extension"] += _wrong_extension(item.name, result.format)
        self.same[result.digest].append((item.name, item.class_name))
        self.all_grey &= result.grey
        examples = self.examples.setdefault(item.class_name or "", [])
        if len(examples) < _EXAMPLES:
            examples.append(result.square)

    def report(self, strict: bool) -> Report:
        groups = [group for group in self.same.values() if len(group) > 1]
        names = self.source.class_names
        if names is None:
            names = tuple(sorted(name for name in self.classes if name is not None))
        classes = {name: self.classes[name] for name in names}
        pictures = len(self.widths)
        return Report(
            kind=self.source.kind,
            pictures=pictures,
            channels=self.options.channels or (1 if self.all_grey and pictures else 3),
            widths_px=_sides(self.widths),
            heights_px=_sides(self.heights),
            modes=dict(self.modes.most_common()),
            classes=classes,
            odd={kind: count for kind in ODD_KINDS if (count := self.odd[kind])},
            duplicates=tuple(tuple(name for name, _ in group) for group in groups),
            duplicates_across_classes=sum(len({c for _, c in group}) > 1 for group in groups),
            testing=self.testing,
            testing_in=self.source.test.kind if self.source.test else "",
            duplicates_in_testing=self.duplicates_in_testing,
            without_end=tuple(self.without_end),
            excluded=tuple(self.excluded),
            problems=tuple(self._problems(classes, strict)),
            advice=(*_advice(pictures, classes, groups), *self._leak()),
        )

    def _leak(self) -> Iterable[str]:
        if self.duplicates_in_testing:
            yield (
                f"{self.duplicates_in_testing:,} pictures kept for testing are among the training "
                "pictures too: remove them from one side, or scores will flatter"
            )

    def _problems(self, classes: dict[str, int], strict: bool) -> Iterable[str]:
        if not self.widths:
            yield "no picture is readable"
        empty = [name for name, count in classes.items() if not count]
        if empty and self.widths:
            yield f"no picture is readable in the class {listed(empty)}"
        unlabelled = self.classes[None]
        if classes and unlabelled:
            yield f"{unlabelled} of {len(self.widths)} pictures have no label"
        try:
            check_class_names(classes)
        except ValueError as error:
            yield str(error)
        if strict and self.excluded:
            yield f"{len(self.excluded)} files are left out, which --strict refuses"


def _sides(sides: list[int]) -> Sides:
    if not sides:
        return Sides(0, 0.0, 0)
    return Sides(min(sides), float(statistics.median(sides)), max(sides))


def _wrong_extension(name: str, form: str) -> bool:
    ending = PurePosixPath(name).suffix.removeprefix(".").lower()
    known = {e for endings in ENDINGS.values() for e in endings.split()}
    return form in ENDINGS and ending in known and ending not in ENDINGS[form].split()


def _advice(
    pictures: int, classes: dict[str, int], groups: list[list[tuple[str, str | None]]]
) -> Iterable[str]:
    if 0 < pictures < FEW_IMAGES:
        yield (
            f"{pictures:,} pictures are few, and in time the discriminator learns them by heart: "
            "--preset quick-few is made for minutes or hours with them, small (augmented) for days"
        )
    if len(classes) == 1:
        yield "there is only one class: train with --unconditional"
    counts = [count for count in classes.values() if count]
    if len(counts) > 1 and max(counts) >= _UNEQUAL * min(counts):
        yield (
            f"the classes are very unequal ({min(counts):,} to {max(counts):,}): train with "
            "--fake-labels data, so that generated classes come as often as real ones"
        )
    if len(counts) > 1 and min(counts) < _TOO_FEW_A_CLASS:
        small = [name for name, count in classes.items() if 0 < count < _TOO_FEW_A_CLASS]
        yield f"under {_TOO_FEW_A_CLASS} pictures: {listed(small)}; merge classes, or add pictures"
    if any(len({c for _, c in group}) > 1 for group in groups):
        yield "the same picture is in several classes: keep it in one"
    elif groups:
        yield "there are exact duplicates: keep one of each"


def describe(report: Report) -> str:
    """Format the report as text."""
    w, h = report.widths_px, report.heights_px
    lines = [
        f"{report.pictures:,} pictures ({report.kind}), {len(report.excluded):,} left out",
        f"widths   {w.min} to {w.max} px, median {w.median:g}",
        f"heights  {h.min} to {h.max} px, median {h.median:g}",
        f"modes    {', '.join(f'{mode} {count:,}' for mode, count in report.modes.items())}",
        f"channels {report.channels} in training",
    ]
    if report.classes:
        lines.append(f"classes  {len(report.classes)}")
        lines += _classes(report.classes)
    if report.testing_in:
        lines.append(
            f"testing  {report.testing:,} pictures ({report.testing_in}) are not trained on: "
            "sagan evaluate compares with them"
        )
    for kind, count in report.odd.items():
        lines.append(f"{kind}: {count:,} ({ODD_KINDS[kind]})")
    if report.without_end:
        lines.append("without their end marker:")
        lines += [f"  {shown(name)}" for name in report.without_end]
    if report.duplicates:
        across = report.duplicates_across_classes
        lines.append(
            f"exact duplicates: {len(report.duplicates):,} groups, {across} across classes"
        )
        lines += [f"  {listed(group)}" for group in report.duplicates[:_EXAMPLES]]
    if report.excluded:
        lines.append("left out:")
        lines += [f"  {shown(name)}: {shown(reason)}" for name, reason in report.excluded]
    lines += [f"problem: {shown(problem)}" for problem in report.problems]
    lines += [f"advice: {advice}" for advice in report.advice]
    return "\n".join(lines)


def _classes(classes: dict[str, int], most: int = 40) -> Iterable[str]:
    largest = max(1, *classes.values())
    for name, count in list(classes.items())[:most]:
        yield f"  {shown(name):<20} {count:>9,} {'#' * round(count / largest * 30)}"
    if len(classes) > most:
        yield f"  and {len(classes) - most} more"
