"""What the live page may ask for: numbers within ranges and names from lists, never a path.

No torch here: the server reads requests before torch is loaded.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

MAX_SEED = 2**31 - 1
MAX_DIRECTIONS = 5
_MAX_LAYER_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One image, and how to change its attention; a value out of range raises ValueError."""

    # for the server: no other names, and no "3" for 3
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    step: int  # of the checkpoint; 0 is before training
    seed: int
    label: int | None = None  # None in a run without classes
    truncation: float = 0.0  # resample latent entries until |z| is at most this; 0 does not
    to_seed: int = 0  # interpolate towards this seed ...
    to_label: int | None = None  # ... and class; None keeps the class
    between: float = 0.0  # how far, from 0 to 1
    direction: Literal["sefa", "pca"] = "sefa"
    amounts: tuple[float, ...] = ()  # how far to walk along each of the first directions
    layer: str | None = None  # the layer to change, as `G attention.0`; None changes all
    gamma_scale: float = 1.0
    uniform: bool = False
    region: tuple[float, float, float, float] | None = None  # left, top, right, bottom in [0, 1]

    def __post_init__(self) -> None:
        _require_within("step", self.step, 0, 10**12)
        for name in ("seed", "to_seed"):
            _require_within(name, getattr(self, name), 0, MAX_SEED)
        for name in ("label", "to_label"):
            if getattr(self, name) is not None:
                _require_within(name, getattr(self, name), 0, 10**6)
        if self.truncation != 0:
            _require_within("truncation (0 for none)", self.truncation, 0.1, 10)
        _require_within("between", self.between, 0, 1)
        _require_within("the number of amounts", len(self.amounts), 0, MAX_DIRECTIONS)
        for amount in self.amounts:
            _require_within("an amount", amount, -10, 10)
        if self.layer is not None:
            _require_within("the layer's length", len(self.layer), 1, _MAX_LAYER_CHARACTERS)
        _require_within("gamma_scale", self.gamma_scale, -10, 10)
        if self.region is not None:
            left, top, right, bottom = self.region
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError(
                    "region must be left, top, right, bottom in [0, 1] with something inside, "
                    f"not {list(self.region)}"
                )

    @property
    def changes_attention(self) -> bool:
        """Whether attention differs from the trained network's."""
        return self.gamma_scale != 1 or self.uniform or self.region is not None


def _require_within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN fails too
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")
