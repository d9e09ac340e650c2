"""Reading pictures by the written rule: every row of docs/data.md's table."""

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_corpus import (
    RAMP,
    READABLE,
    SIDE,
    UNREADABLE,
    encoded,
    exif,
    floats,
    gradient,
    noise,
    palette_with_hole,
    rgb,
    rgba,
)
from PIL import Image, ImageOps

from sagan.data.decode import (
    ODD_KINDS,
    Unreadable,
    is_picture,
    parse_background,
    quiet_pillow,
    read_picture,
    scale,
    to_square,
    value_range,
)

WHITE = (255, 255, 255)
RED = {  # what becomes of the red ramp, and how exactly
    "ramp": (RAMP, 1),
    "about": (RAMP, 20),
    "half": (255 + (RAMP - 255) * 128 / 255, 1),  # alpha 128 over white
    "step": (np.where(RAMP >= 120, 255.0, 0.0), 0),
    "stretched": (RAMP * 255 / RAMP.max(), 1),
}


def red_of(content: bytes) -> np.ndarray:
    with quiet_pillow():
        return to_square(read_picture(content).image, SIDE, 3, WHITE)[:, :, 0].astype(float)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.fault(26)
def test_every_readable_kind_keeps_its_brightness(name: str, counted: Any) -> None:
    content, what = READABLE[name]
    expected, tolerance = RED[what]
    assert np.abs(red_of(content) - expected).max() <= tolerance
    assert is_picture(content)
    counted({"kinds of image file": 1})


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.fault(26)
def test_every_unreadable_kind_has_a_reason_of_one_line(name: str, counted: Any) -> None:
    content, said = UNREADABLE[name]
    with pytest.raises(Unreadable) as error:
        red_of(content)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "0x" not in str(error.value)  # no address of an object
    counted({"kinds of image file": 1})


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_agrees_with_pillows_own(orientation: int) -> None:
    with Image.open(io.BytesIO(exif(orientation))) as stored:
        theirs = np.asarray(ImageOps.exif_transpose(stored))
    ours = np.asarray(read_picture(exif(orientation)).image)
    assert np.array_equal(ours, theirs)
    assert np.array_equal(ours, gradient())


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored_and_told(orientation: int) -> None:
    data = Image.Exif()
    data[0x0112] = orientation
    picture = read_picture(encoded(rgb(), "PNG", exif=data.tobytes()))
    assert np.array_equal(np.asarray(picture.image), gradient())
    assert picture.odd == ("broken EXIF",)


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("rgb.png", ()),
        ("rgba.png", ("transparency",)),
        ("la.png", ("transparency",)),
        ("cmyk.tif", ("CMYK",)),
        ("palette.png", ("palette",)),
        ("one-bit.png", ("1-bit",)),
        ("sixteen.png", ("16-bit grey",)),
        ("float-1.tif", ("32-bit or float",)),
        ("animated.gif", ("animation", "palette")),
        ("exif-6.png", ("EXIF rotation",)),
        ("icon.ico", ()),
        ("no-end.jpg", ("no end marker",)),
        ("half-end.jpg", ("no end marker",)),
    ],
)
@pytest.mark.fault(26)
def test_odd_kinds_are_told(name: str, odd: tuple[str, ...]) -> None:
    assert read_picture(READABLE[name][0]).odd == odd
    assert set(odd) <= set(ODD_KINDS)


@pytest.mark.parametrize("background", ["white", "black", "#0a141e"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_alpha_lies_over_the_background_or_stays(background: str, channels: int) -> None:
    colour = parse_background(background)
    square = to_square(read_picture(encoded(rgba())).image, SIDE, channels, colour).astype(float)
    over = np.array(colour) + (gradient() - np.array(colour, float)) * 128 / 255
    if channels == 4:
        assert np.array_equal(square, gradient(4))
    elif channels == 3:
        assert np.abs(square - over).max() <= 1
    else:
        assert np.abs(square[:, :, 0] - over @ [0.299, 0.587, 0.114]).max() <= 2


def test_a_transparent_palette_entry_shows_the_background() -> None:
    image = read_picture(palette_with_hole()).image
    for background in ((255, 255, 255), (0, 0, 9)):
        assert tuple(to_square(image, SIDE, 3, background)[0, 0]) == background
    assert to_square(image, SIDE, 4, WHITE)[0, 0, 3] == 0


@pytest.mark.parametrize("name", ["grey.png", "rgb.png", "sixteen.png"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_kind_goes_into_any_number_of_channels(channels: int, name: str) -> None:
    image = read_picture(READABLE[name][0]).image
    for resolution in (1, 7, SIDE, 64):
        square = to_square(image, resolution, channels, WHITE)
        assert square.shape == (resolution, resolution, channels)
        assert square.dtype == np.uint8
    if channels == 4:
        assert (square[:, :, 3] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 10), (10, 41)])
def test_the_centre_square_is_kept(size: tuple[int, int]) -> None:
    width, height = size
    columns = np.tile(np.arange(width), (height, 1)) + 100 * (height > width)
    rows = np.tile(np.arange(height)[:, None], (1, width))
    array = np.stack([columns, rows, rows], axis=2).astype(np.uint8)
    side = min(size)
    square = to_square(read_picture(encoded(Image.fromarray(array))).image, side, 3, WHITE)
    left, top = (width - side) // 2, (height - side) // 2
    assert np.array_equal(square, array[top : top + side, left : left + side])


def test_other_crops_of_a_tall_picture() -> None:
    rows = np.repeat(np.uint8([10, 20, 30, 40])[:, None], 2, axis=1)  # 2 wide, 4 high
    tall = Image.fromarray(np.stack([rows] * 3, axis=2))

    def column(crop: Any, background: tuple[int, int, int] = WHITE, channels: int = 3) -> Any:
        return to_square(tall, 2 if crop == "top" else 4, channels, background, crop)

    assert column("top")[:, 0, 0].tolist() == [10, 20]
    stretched = column("stretch")
    assert stretched.shape == (4, 4, 3)
    assert (stretched == np.uint8([10, 20, 30, 40])[:, None, None]).all()
    fitted = column("fit", (1, 2, 3))
    assert fitted[:, 1, 0].tolist() == [10, 20, 30, 40]
    assert (fitted[:, [0, 3]] == (1, 2, 3)).all()
    assert column("fit", channels=4)[:, [0, 3], 3].max() == 0  # nothing is there
    assert column("fit", channels=1)[:, :, 0].tolist() == [
        [255, v, v, 255] for v in (10, 20, 30, 40)
    ]


@pytest.mark.parametrize("crop", ["center", "top", "fit", "stretch"])
def test_a_square_picture_is_the_same_under_each_crop(crop: Any) -> None:
    assert np.array_equal(to_square(noise(), 16, 3, WHITE, crop), to_square(noise(), 16, 3, WHITE))


def test_a_grey_picture_on_a_coloured_background_is_coloured() -> None:
    square = to_square(Image.new("L", (2, 4), 7), 4, 3, (0, 255, 0), "fit")
    assert square[0].tolist() == [[0, 255, 0], [7, 7, 7], [7, 7, 7], [0, 255, 0]]


@pytest.mark.parametrize("crop", ["fit", "stretch"])
def test_a_line_of_a_picture_needs_no_square_of_its_length(crop: Any) -> None:
    tracemalloc.start()
    assert to_square(Image.new("RGB", (30_000, 1)), 8, 3, WHITE, crop).shape == (8, 8, 3)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_resizing_is_lanczos() -> None:
    square = to_square(noise(), 16, 3, WHITE)
    assert np.array_equal(square, noise().resize((16, 16), Image.Resampling.LANCZOS))


def test_a_large_jpeg_decoded_smaller_is_almost_the_same() -> None:
    from sklearn.datasets import load_sample_image

    content = encoded(Image.fromarray(load_sample_image("china.jpg")), "JPEG", quality=95)
    whole, small = (read_picture(content, least_px=px).image for px in (0, 64))
    assert whole.size == (640, 427)
    assert min(small.size) >= 64
    a, b = (to_square(image, 16, 3, WHITE).astype(int) for image in (whole, small))
    assert np.abs(a - b).mean() < 2


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("bool", 0, 1, (0, 1)),
        ("uint8", 3, 4, (0, 255)),
        ("uint16", 0, 255, (0, 65535)),
        ("float32", 0, 1, (0, 1)),
        ("float64", -0.5, 0.5, (-1, 1)),
        ("float32", 0, 200, (0, 255)),
        ("int32", 0, 255, (0, 255)),
        ("int64", 0, 256, (0, 65535)),
        ("int32", -5, 5, (-5, 5)),
        ("float32", 0, 1e6, (0, 1e6)),
        ("int8", -7, -7, (-7, -6)),
    ],
)
def test_the_range_follows_type_and_extent(
    dtype: str, low: float, high: float, expected: Any
) -> None:
    assert value_range(np.dtype(dtype), low, high) == expected


@given(st.lists(st.integers(0, 65535), min_size=1))
def test_sixteen_bits_divide_by_257(values: list[int]) -> None:
    scaled = scale(np.array(values, np.uint16), 0, 65535)
    assert scaled.tolist() == [round(value / 257) for value in values]


def test_the_transparent_value_of_sixteen_bit_grey_shows_the_background() -> None:
    values = np.array([[0, 300], [300, 65535]], np.uint16)
    data = encoded(Image.fromarray(values), transparency=300)
    picture = read_picture(data)
    assert picture.odd == ("16-bit grey", "transparency")
    assert to_square(picture.image, 2, 1, WHITE)[..., 0].tolist() == [[0, 255], [255, 255]]
    old = read_picture(data, rules=2)
    assert old.odd == ("16-bit grey",)
    assert to_square(old.image, 2, 1, WHITE)[..., 0].tolist() == [[0, 1], [1, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_makes_a_picture_unreadable(value: float) -> None:
    values = np.full((4, 4), 0.5)
    values[1, 2] = value
    with pytest.raises(Unreadable, match="NaN or infinite"):
        read_picture(floats(values))


@pytest.mark.parametrize("text", ["nonsense", "#12", "#11223344", "", "transparent"])
def test_a_background_that_is_no_opaque_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="opaque colour"):
        parse_background(text)


def test_pillows_limit_on_pixels_is_an_error_and_not_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE * SIDE - 1)
    with quiet_pillow(), pytest.raises(Unreadable, match="more than 575 pixels"):
        read_picture(encoded(rgb()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE * SIDE)
    assert read_picture(encoded(rgb())).image.size == (SIDE, SIDE)


@pytest.mark.parametrize("form", ["JPEG", "MPO"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_over_the_limit_is_decoded_at_an_eighth(
    monkeypatch: pytest.MonkeyPatch, form: str, orientation: int
) -> None:
    data = Image.Exif()
    data[0x0112] = orientation
    large = rgb().resize((480, 240))
    content = encoded(large, form, exif=data.tobytes())
    whole = read_picture(content)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 480 * 240 - 1)
    for least_px in (0, 200):
        with quiet_pillow():
            picture = read_picture(content, least_px=least_px)
        assert sorted(picture.image.size) == [30, 60]
        assert picture.size_px == whole.size_px == whole.image.size
        assert "huge JPEG" in picture.odd
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 480 * 240 // 2 - 1)
    with quiet_pillow(), pytest.raises(Unreadable, match="pixels"):  # twice the limit
        read_picture(content)


def test_a_progressive_jpeg_over_the_limit_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE * SIDE - 1)
    with quiet_pillow(), pytest.raises(Unreadable, match="more than 575 pixels"):
        read_picture(encoded(rgb(), "JPEG", progressive=True))


@pytest.mark.parametrize("name", ["icon.ico", "no-end.jpg", "half-end.jpg"])
def test_by_the_first_rules_they_are_unreadable_as_they_were(name: str) -> None:
    with pytest.raises(Unreadable, match=r"not a picture|truncated"):
        read_picture(READABLE[name][0], rules=1)
    assert is_picture(READABLE[name][0], rules=1) is (name != "icon.ico")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_only_a_jpeg_without_its_end_marker_is_read(options: dict[str, Any]) -> None:
    content = encoded(noise(), "JPEG", quality=90, **options)
    whole = np.asarray(read_picture(content).image)
    for cut in range(1, len(content) - 200):
        try:
            picture = read_picture(content[:-cut])
        except Unreadable:
            assert cut > 2
        else:
            assert picture.odd == ("no end marker",)
            change = np.abs(np.asarray(picture.image, int) - whole).max()
            assert change == 0 or "progressive" in options  # cut between two scans


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_random_bytes_are_unreadable_and_nothing_worse(content: bytes) -> None:
    with quiet_pillow(), pytest.raises(Unreadable):
        read_picture(content)


SEEDS = [READABLE[name][0] for name in READABLE if not name.startswith("exif")]


@settings(max_examples=500)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 4000),
)
@pytest.mark.fault(26)
def test_damaged_files_are_read_or_unreadable_and_nothing_worse(
    content: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(content)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        with quiet_pillow():
            image = read_picture(bytes(damaged[: max(cut, 50)])).image
    except Unreadable:
        return
    assert to_square(image, 8, 3, WHITE).shape == (8, 8, 3)
