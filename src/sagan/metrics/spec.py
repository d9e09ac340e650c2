"""Names of metrics, with the features that they look at: `fd:pixel`, `cas`, `kid:own`, `fid`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]

INCEPTION_ONLY = ("fid", "intra-fid", "is")
PIXEL_ONLY = ("cas",)
PAIRWISE = ("fd", "intra-fd", "kid", "prdc", "nn1", "memorisation", "duplicates")
NAMES = (*INCEPTION_ONLY, "fd", "intra-fd", "kid", "prdc", *PIXEL_ONLY, "nn1", "memorisation",
         "duplicates")  # fmt: skip
FEATURES = ("pixel", "own", "inception", "inception-clean")
_LABELLED = ("cas", "intra-fd", "intra-fid")
_OFFLINE = ("cas", "fd:own", "fd:pixel", "kid:pixel", "prdc:pixel", "nn1:pixel",
            "memorisation:pixel", "duplicates:pixel")  # fmt: skip
_INCEPTION = ("fid", "intra-fid", "is", "kid:inception", "prdc:inception")
BETTER: dict[str, Better] = {
    "fid": "lower",
    "intra-fid": "lower",
    "is": "higher",
    "fd": "lower",
    "intra-fd": "lower",
    "kid": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "higher",
    "coverage": "higher",
    "cas": "higher",
    "nn1": "lower",
    "memorisation": "lower",
    "duplicates": "lower",
}


@dataclass(frozen=True)
class Spec:
    """A metric and its features.

    Args:
        name: one of `NAMES`.
        features: one of `FEATURES`.
    """

    name: str
    features: str

    @property
    def labelled(self) -> bool:
        """Whether it needs classes."""
        return self.name in _LABELLED

    def key(self, part: str = "") -> str:
        """How the metric, or a part of it (`recall` of `prdc`), is called in reports.

        Fréchet distances are called FID only with Inception features in the original protocol.

        Example:
            >>> Spec("fid", "inception").key(), Spec("fid", "inception-clean").key()
            ('fid', 'clean-fid')
            >>> Spec("prdc", "own").key("recall")
            'recall:own'
        """
        clean = "clean-" if self.features == "inception-clean" else ""
        if self.name in INCEPTION_ONLY:
            return f"{clean}{self.name}"
        name = part or self.name
        return name if self.name in PIXEL_ONLY else f"{name}:{self.features}"

    def title(self, part: str = "") -> str:
        """The same in words: `fd (features pixel)`."""
        name, _, features = self.key(part).partition(":")
        return f"{name} (features {features})" if features else name


def parse_metrics(text: str, features: str = "own") -> tuple[Spec, ...]:
    """Read metric names with commas between them.

    Args:
        text: as `fid,fd:pixel,cas`; without features of its own a name takes `features`.
        features: one of `FEATURES`; `fid`, `intra-fid` and `is` take Inception's only.

    Raises:
        ValueError: there is no such metric or feature, they do not go together, or there are no
            Inception features for a metric that needs them.

    Example:
        >>> [spec.key() for spec in parse_metrics("fd:pixel, cas, kid")]
        ['fd:pixel', 'cas', 'kid:own']
    """
    found = [_parse(part.strip(), features) for part in text.split(",")]
    return tuple(dict.fromkeys(found))


def _parse(text: str, features: str) -> Spec:
    name, _, own = text.partition(":")
    if name not in NAMES:
        raise ValueError(f"unknown metric {name!r}; choose from {', '.join(NAMES)}")
    if own and own not in FEATURES:
        raise ValueError(f"unknown features {own!r} in {text!r}; choose from {', '.join(FEATURES)}")
    if name in PIXEL_ONLY:
        if own not in ("", "pixel"):
            raise ValueError(f"{name} looks at pixels, not at {own} features; leave :{own} out")
        return Spec(name, "pixel")
    chosen = own or features
    if chosen.startswith("inception") and not features.startswith("inception"):
        raise ValueError(f"{text}: {HOW_TO_GET_WEIGHTS}")
    if name in INCEPTION_ONLY and not chosen.startswith("inception"):
        if own:
            raise ValueError(
                f"{name} is of Inception features only; for {own} features there is fd:{own}"
            )
        raise ValueError(f"{name}: {HOW_TO_GET_WEIGHTS}")
    if own.startswith("inception") and own != features:
        raise ValueError(f"{text}: --features opens {features} only; leave :{own} out")
    return Spec(name, chosen)


HOW_TO_GET_WEIGHTS = (
    "the standard Inception weights are needed: give their file (pytorch-fid's "
    "pt_inception-2015-12-05-6726825d.pth) with --features inception:FILE, or allow downloading it "
    "(96 MB) with --features inception:download; fd:own and kid:own need none"
)


def default_metrics(*, labelled: bool, held_out: bool, features: str = "own") -> tuple[Spec, ...]:
    """All metrics that the data and the features allow.

    Args:
        labelled: both sides have classes, at least two.
        held_out: there are real images that the generator was not trained on.
        features: one of `FEATURES`; Inception's add theirs.
    """
    names: Sequence[str] = _OFFLINE
    if features.startswith("inception"):
        names = [*(n.replace(":inception", f":{features}") for n in _INCEPTION), *_OFFLINE]
    specs = parse_metrics(",".join(names), features)
    return tuple(
        spec
        for spec in specs
        if (labelled or not spec.labelled) and (held_out or spec.name != "memorisation")
    )
