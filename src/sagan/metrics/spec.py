"""Metrics as users name them, with their features: `fd:pixel`, `cas`, `kid:own`, `fid`."""

from dataclasses import dataclass

from sagan.metrics.features.inception_features import HOW_TO_GET_WEIGHTS
from sagan.metrics.registry import METRICS, Metric

FEATURES = ("pixel", "own", "inception", "inception-clean")


@dataclass(frozen=True)
class Spec:
    """A metric's name and its features, one of `FEATURES`."""

    name: str
    features: str

    @property
    def metric(self) -> Metric:
        """Its record."""
        return METRICS[self.name]

    def key(self, part: str = "") -> str:
        """Name the metric, or a part of it (`recall` of `prdc`), as reports do.

        Example:
            >>> Spec("fid", "inception").key(), Spec("fid", "inception-clean").key()
            ('fid', 'clean-fid')
            >>> Spec("prdc", "own").key("recall")
            'recall:own'
        """
        # a Fréchet distance is called FID only on Inception features in the original protocol
        name = part or self.name
        if self.metric.features == "any":
            return f"{name}:{self.features}"
        return f"clean-{name}" if self.features == "inception-clean" else name

    def title(self, part: str = "") -> str:
        """The same in words: `fd (features pixel)`."""
        name, _, features = self.key(part).partition(":")
        return f"{name} (features {features})" if features else name


def parse_metrics(text: str, features: str = "own") -> tuple[Spec, ...]:
    """Parse metric names, as `fid,fd:pixel,cas`; one without features takes `features`."""
    found = [_parse(part.strip(), features) for part in text.split(",")]
    return tuple(dict.fromkeys(found))


def _parse(text: str, features: str) -> Spec:
    name, _, own = text.partition(":")
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}")
    if own and own not in FEATURES:
        raise ValueError(f"unknown features {own!r} in {text!r}; choose from {', '.join(FEATURES)}")
    needed = METRICS[name].features
    if needed == "pixel":
        if own not in ("", "pixel"):
            raise ValueError(f"{name} looks at pixels, not at {own} features; drop :{own}")
        return Spec(name, "pixel")
    chosen = own or features
    if chosen.startswith("inception") and not features.startswith("inception"):
        raise ValueError(f"{text}: {HOW_TO_GET_WEIGHTS}")
    if needed == "inception" and not chosen.startswith("inception"):
        if own:
            raise ValueError(f"{name} takes Inception features only; for {own} use fd:{own}")
        raise ValueError(f"{name}: {HOW_TO_GET_WEIGHTS}")
    if own.startswith("inception") and own != features:
        raise ValueError(f"{text}: --features opens {features} only; drop :{own}")
    return Spec(name, chosen)


def default_metrics(*, labelled: bool, held_out: bool, features: str = "own") -> tuple[Spec, ...]:
    """All metrics that the data and the features allow."""
    # Labelled: both sides have at least two classes. Held out: the data have a test split of their
    # own. Inception features add their metrics to those that need no weights.
    groups: list[tuple[str, ...]] = [("own", "pixel")]
    if features.startswith("inception"):
        groups.insert(0, ("inception",))
    return tuple(
        Spec(metric.name, features if kind == "inception" else kind)
        for group in groups
        for metric in METRICS.values()
        for kind in group
        if kind in metric.by_default
        and (labelled or not metric.labelled)
        and (held_out or not metric.wants_test_split)
    )
