"""What is trained where only the pictures are named: preset, size and time, by the device.

A CPU does in a day what a GPU does in minutes, so it gets other networks, not only less time.
"""

from sagan.config import TrainingConfig
from sagan.config.plans import largest_px
from sagan.config.presets import FEW_IMAGES

DEFAULT_PRESETS = ("quick", "quick-few", "small", "best")  # what `default_preset` may answer
_TIME = {"cpu": "1h"}
_TIME_ELSEWHERE = "24h"


def default_time(device: str) -> str:
    """How long to train on a `cpu`, or another device, as `--time` is written.

    Example:
        >>> default_time("cpu"), default_time("cuda")
        ('1h', '24h')
    """
    return _TIME.get(device, _TIME_ELSEWHERE)


def default_px(native_px: int, device: str, time_sec: float | None) -> int:
    """The side for images whose own is `native_px`, in pixels: smaller if a CPU has little time.

    Example:
        >>> default_px(64, "cpu", 1_200), default_px(64, "cpu", 3_600), default_px(8, "cpu", 60)
        (32, 64, 8)
        >>> default_px(64, "cuda", 60), default_px(64, "cpu", None)
        (64, 64)
    """
    if device != "cpu" or time_sec is None:
        return native_px
    return min(native_px, largest_px(time_sec))


def fitting_batch(training: TrainingConfig, num_images: int) -> int:
    """The batch size, or where so many images cannot fill it, the largest power of two they can.

    Example:
        >>> fitting_batch(TrainingConfig(batch_size=64), 36)
        32
    """
    num = max(1, num_images - training.held_out(num_images))
    return training.batch_size if num >= training.batch_size else 2 ** (num.bit_length() - 1)


def default_preset(num_images: int, source: str, device: str) -> tuple[str, str]:
    """The preset for a source with this many training images, and the reason on one line.

    The bundled digits have their own. Other images take `quick` on a CPU, or `quick-few` if they
    are few. Elsewhere they take `small` if they are few, else `best`, whose constants scored best
    of all published ones at the same cost.

    Example:
        >>> default_preset(800, "holidays", "cpu")[0], default_preset(800, "holidays", "cuda")[0]
        ('quick-few', 'small')
        >>> default_preset(200_000, "flowers.zip", "cuda")[0]
        'best'
    """
    if source == "digits":  # which is not among `DEFAULT_PRESETS`
        return "digits", "the bundled digits have a preset of their own"
    few = f"{num_images:,} images are few (under {FEW_IMAGES:,})"
    if device == "cpu":
        sizes_first = "there is no GPU here, so small sizes come first"
        if num_images < FEW_IMAGES:
            return "quick-few", f"{sizes_first}; {few}: augmented once they are learnt by heart"
        return "quick", sizes_first
    if num_images < FEW_IMAGES:
        return "small", f"{few}: augmented, half width"
    return "best", f"{num_images:,} images are enough for the best published constants"
