"""What the live page may ask for: numbers within ranges and names from lists, never a path.

No torch here: the server reads requests before torch is there.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

MOST_SEED = 2**31 - 1
MOST_DIRECTIONS = 5
_CHOSEN_LAYER_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One image, and what is to be changed in the attention that makes and judges it.

    Args:
        step: of the checkpoint; 0 is before training.
        seed: of the latent.
        label: the class; None in a run without classes.
        truncation: resample latent entries until |z| is at most this; 0 does not truncate.
        to_seed, to_label: another latent and class to go towards; the label None keeps the class.
        between: how far, from 0 to 1.
        direction: what found the directions to walk along.
        amounts: how far along each of the first directions.
        layer: whose attention is changed, as `G attention.0`; None changes all.
        gamma_scale: what gamma is multiplied with.
        uniform: replace the trained maps by even ones.
        region: keys to hide: left, top, right, bottom in [0, 1] of the picture; None hides none.

    Raises:
        ValueError: a value is out of its range; the message names it.

    Example:
        >>> ImageRequest(step=0, seed=-1)
        Traceback (most recent call last):
        ValueError: seed must be from 0 to 2147483647, not -1
    """

    # the server's: no other names, no "3" for 3
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}

    step: int
    seed: int
    label: int | None = None
    truncation: float = 0.0
    to_seed: int = 0
    to_label: int | None = None
    between: float = 0.0
    direction: Literal["sefa", "pca"] = "sefa"
    amounts: tuple[float, ...] = ()
    layer: str | None = None
    gamma_scale: float = 1.0
    uniform: bool = False
    region: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        _require_within("step", self.step, 0, 10**12)
        for name in ("seed", "to_seed"):
            _require_within(name, getattr(self, name), 0, MOST_SEED)
        for name in ("label", "to_label"):
            if getattr(self, name) is not None:
                _require_within(name, getattr(self, name), 0, 10**6)
        if self.truncation != 0:
            _require_within("truncation (0 is none)", self.truncation, 0.1, 10)
        _require_within("between", self.between, 0, 1)
        _require_within("the number of amounts", len(self.amounts), 0, MOST_DIRECTIONS)
        for amount in self.amounts:
            _require_within("an amount", amount, -10, 10)
        if self.layer is not None:
            _require_within("the layer's length", len(self.layer), 1, _CHOSEN_LAYER_CHARACTERS)
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
        """Whether the image may differ from the trained network's."""
        return self.gamma_scale != 1 or self.uniform or self.region is not None


def _require_within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # NaN is not
        shown = value if math.isfinite(value) else str(value)
        raise ValueError(f"{name} must be from {least} to {most}, not {shown}")
