"""The page in a real browser: what it draws is what Python computed, and hands and keys work."""

import base64
import io
import os
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from attention_run import NETWORK, STEPS, make_run
from PIL import Image

import sagan
from sagan.explain.history import read_history
from sagan.explain.html_report import write_report
from sagan.explain.live.request import ImageRequest
from sagan.explain.live.server import Gate, RenderQueue, make_app, open_socket, serve
from sagan.explain.live.studio import Studio
from sagan.explain.maps import QueryMaps, explain_latents
from sagan.explain.page import assemble
from sagan.gallery import unpack
from sagan.images import to_uint8
from sagan.nn.attention import AttentionMap
from sagan.randomness import sample_latents

sync_api = pytest.importorskip("playwright.sync_api", reason="no browser tests: no playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
if PROGRAM is None:
    pytest.skip("no browser tests of the page: no chromium here", allow_module_level=True)
ARGUMENTS = [
    "--no-sandbox",  # which root may not have
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
TOKEN = "a-token-for-the-tests"
SCREENSHOT_OF = os.environ.get("SAGAN_SCREENSHOT_OF")  # a run: make the README's picture of it
README_PICTURE = Path(__file__).parents[2] / "docs/images/explore.png"
FIRST = ImageRequest(step=STEPS[-1], seed=0, label=0)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return Studio(make_run(tmp_path_factory.mktemp("page") / "run"))


def serving(studio):
    """Serve a studio on a free port from a thread; yields its address."""
    queue = RenderQueue()
    queue.open(studio)
    listening = open_socket("127.0.0.1", 0)
    app = make_app(queue, assemble({"mode": "live"}, title="tiny"), Gate("127.0.0.1", TOKEN))
    stops, ready = [], threading.Event()
    thread = threading.Thread(
        target=serve,
        args=[app, listening],
        kwargs={"started": lambda stop: (stops.append(stop), ready.set())},
    )
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/#token={TOKEN}"
    stops[0]()
    thread.join(20)
    listening.close()


@pytest.fixture(scope="module")
def address(studio, browser):
    yield from serving(studio)


@pytest.fixture(scope="module")
def report(studio, tmp_path_factory, browser):
    """The address of a report of three images."""
    run = studio._run.path
    generator, discriminator = sagan.load(run), sagan.load_discriminator(run)
    examples = []
    for label in range(3):
        z, y = sample_latents([label], NETWORK.latent_dim), torch.tensor([label])
        image, layers = explain_latents(generator, discriminator, z, y)
        examples.append((f"class {label}", image, layers))
    path = tmp_path_factory.mktemp("report") / "index.html"
    history = read_history(run / "log.jsonl")
    write_report(path, examples, title="tiny", about="made for a test", history=history)
    return path.as_uri()


@pytest.fixture
def visit(browser):
    """Open pages; afterwards none has complained, nor asked anyone but 127.0.0.1 for anything."""
    contexts, complaints, requests = [], [], []

    def open_page(url, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#main:not([hidden])")
        settle(page)
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    for request in requests:
        assert re.match(r"http://127\.0\.0\.1:\d+/|file://|data:|blob:", request), request


def settle(page):
    """Wait until the server has answered and the last frame is drawn."""
    wait_until(page, "!window.sagan.live.asking")


def wait_until(page, condition):
    """Wait for a condition and two frames. (Playwright waits by eval, which the page bars.)"""
    page.evaluate(
        f"""async () => {{
            const frame = () => new Promise((done) => requestAnimationFrame(done));
            while (!({condition})) await frame();
            await frame();
            await frame();
        }}"""
    )


def point(page, y, x):
    """Move the mouse to a place of the picture, in [0, 1)."""
    page.locator("#picture").scroll_into_view_if_needed()
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    settle(page)


def pixels(page, name):
    """What a canvas shows."""
    url = page.evaluate("(name) => document.getElementById(name).toDataURL()", name)
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def check_drawn(shown, weights):
    """Every key's cell has the colour of its weight, at a point at least that no mark covers."""
    from matplotlib import colormaps

    levels = (255 * weights / weights.max()).round().long().numpy()
    colours = (255 * colormaps["magma"](levels)[..., :3]).round()
    h, w = weights.shape
    best = np.full((h, w), 255.0)
    for dy, dx in ((0.5, 0.5), (0.15, 0.15), (0.15, 0.85), (0.85, 0.15), (0.85, 0.85)):
        rows = ((np.arange(h) + dy) / h * shown.shape[0]).astype(int)
        columns = ((np.arange(w) + dx) / w * shown.shape[1]).astype(int)
        error = np.abs(shown[rows][:, columns] - colours).max(-1)
        best = np.minimum(best, error)
    assert best.max() <= 10, best.round()


def set_control(page, name, value):
    """Give a control of the live page a value, as a hand would, and wait for the image."""
    control = page.locator(f"#c-{name}")
    if control.evaluate("(e) => e.tagName") == "SELECT":
        control.select_option(str(value))
    elif control.get_attribute("type") == "checkbox":
        control.set_checked(value)
    else:
        control.fill(str(value))
    settle(page)


def shown_number(page):
    """The number of the change, as the page says it."""
    return float(page.locator("#change-number").inner_text().split()[0])


def true_change(studio, request):
    before, after = studio.make(FIRST), studio.make(request)
    return (after.image - before.image).abs().mean().item() / 2 * 255


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_map_drawn_is_the_one_computed(visit, address, studio, layer):
    """Of layers of other size than the picture, whose keys are pooled."""
    page = visit(address)
    page.locator("#layers button").nth(layer).click()
    attention = studio.make(FIRST).layers[layer].attention
    side = attention.height
    for place in ((0.03, 0.03), (0.49, 0.72), (0.97, 0.97)):
        point(page, *place)
        row, column = (int(part * side) for part in place)
        check_drawn(pixels(page, "map"), attention.grid()[0, row, column])
        said = page.locator("#sentence").inner_text().replace("\xa0", " ")
        assert f"row {row + 1}, column {column + 1} of the {side}×{side} map" in said
        peak = 100 * attention.grid()[0, row, column].max().item()
        assert f"{peak:.0f} %" in said or f"{peak:.1f} %" in said


def test_a_click_pins_and_a_second_one_takes_away(visit, address):
    page = visit(address)
    for i in range(9):
        page.locator("#layers button").nth(1).click()
        point(page, 0.1 + 0.08 * i, 0.5)
        page.mouse.down()
        page.mouse.up()
    settle(page)
    assert page.locator(".pin").count() == 8  # as many as there are colours
    assert len(set(page.evaluate("window.sagan.state.pins.map((pin) => pin.colour)"))) == 8
    page.get_by_label("Take pin 1 away").click()
    point(page, 0.18, 0.5)
    page.mouse.down()
    page.mouse.up()
    settle(page)
    assert page.locator(".pin").count() == 6
    page.locator("#layers button").nth(2).click()
    settle(page)
    assert page.locator(".pin").count() == 6
    page.keyboard.press("Escape")
    settle(page)
    assert page.locator(".pin").count() == 0


def test_the_keyboard_does_all_of_it(visit, address):
    page = visit(address)
    page.locator("#picture").focus()
    for _ in range(9):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settle(page)
    assert "row 2, column 5 of the 8×8" in page.locator("#sentence").inner_text()
    assert "row 2, column 5" in page.locator("#spoken").text_content()
    assert page.locator(".pin").count() == 1
    page.keyboard.press("2")
    settle(page)
    assert page.evaluate("window.sagan.currentLayer().key") == "G attention.1"
    page.keyboard.press("o")
    assert page.evaluate("window.sagan.state.overlay") == 0
    page.keyboard.press("n")
    settle(page)
    assert page.locator("#picture-name").inner_text() == "class cat, seed 1"
    page.locator("#layers [aria-checked=true]").focus()
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.evaluate("window.sagan.currentLayer().key") == "D attention.0"
    assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"


def test_every_control_has_a_name(visit, address):
    nameless = visit(address).evaluate(
        """[...document.querySelectorAll("input, select, button, canvas")]
            .filter((e) => !(e.labels?.length || e.ariaLabel || e.ariaDescribedByElements?.length
                             || e.textContent.trim()))
            .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_the_picture_is_the_run_s_own(visit, address, studio):
    page = visit(address)
    page.keyboard.press("o")
    set_control(page, "seed", 41)
    set_control(page, "label", 1)
    expected = sagan.sample(sagan.load(studio._run.path), 1, classes=[1], seed=41)[0]
    shown = pixels(page, "picture")
    places = ((np.arange(16) + 0.2) / 16 * len(shown)).astype(int)
    same = (shown[places][:, places] == expected.permute(1, 2, 0).numpy()).all(-1)
    assert same.mean() > 0.9  # the marks cover a few
    assert page.locator("#picture-name").inner_text() == "class dog </script>, seed 41"
    page.locator("#new-seed").click()
    settle(page)
    name = re.fullmatch(r"class dog </script>, seed (\d+)", page.inner_text("#picture-name"))
    assert name[1] != "41"  # one in ninety others begins with it


def test_gamma_and_even_maps_change_the_picture_by_the_number_shown(visit, address, studio):
    page = visit(address)
    assert page.locator("#change").is_hidden()
    set_control(page, "gamma_scale", 0)
    expected = true_change(studio, replace(FIRST, gamma_scale=0.0))
    assert expected > 0.1
    assert shown_number(page) == pytest.approx(expected, rel=0.01)
    assert "γ 0" in page.locator("#layers button").first.inner_text()
    assert "changes nothing" in page.locator("#sentence").inner_text()
    page.locator("#as-trained").click()
    settle(page)
    assert page.locator("#change").is_hidden()
    set_control(page, "uniform", True)
    expected = true_change(studio, replace(FIRST, uniform=True))
    assert shown_number(page) == pytest.approx(expected, rel=0.01)
    assert "everywhere alike" in page.locator("#sentence").inner_text()
    set_control(page, "layer", "D attention.0")
    assert shown_number(page) == 0


def test_a_box_that_is_dragged_hides_its_keys(visit, address, studio):
    page = visit(address)
    set_control(page, "boxing", True)
    point(page, 0.27, 0.02)
    page.mouse.down()
    point(page, 0.6, 0.2)
    point(page, 0.74, 0.49)
    page.mouse.up()
    settle(page)
    fields = [page.locator(f"#c-{n}").input_value() for n in ("left", "top", "right", "bottom")]
    assert fields == ["0", "4", "8", "12"]
    region = (0.0, 0.25, 0.5, 0.75)
    expected = true_change(studio, replace(FIRST, region=region))
    assert shown_number(page) == pytest.approx(expected, rel=0.01)
    set_control(page, "boxing", False)
    point(page, 0.9, 0.9)
    grid = studio.make(replace(FIRST, region=region)).layers[0].attention.grid()[0, 7, 7]
    assert grid[1:3, :2].abs().max() == 0
    check_drawn(pixels(page, "map"), grid)
    page.locator("#show-keys").click()
    settle(page)
    assert page.locator("#change").is_hidden()


def test_a_box_can_be_typed_and_a_refusal_is_said(visit, address):
    page = visit(address)
    for name, value in (("left", 0), ("top", 0), ("right", 16), ("bottom", 16)):
        set_control(page, name, value)
    assert "hides all" in page.locator("#notice").inner_text()
    (browsers_own_line,) = visit.complaints
    assert "422" in browsers_own_line
    visit.complaints.clear()
    set_control(page, "bottom", 8)
    assert page.locator("#notice").is_hidden()
    assert page.locator("#change").is_visible()


def test_walking_through_training(visit, address, studio):
    page = visit(address)
    gammas = []
    for i, step in enumerate((0, *STEPS)):
        set_control(page, "checkpoint", i)
        assert page.get_by_text("before training", exact=True).is_visible() == (i == 0)
        gammas.append(page.evaluate("window.sagan.currentLayer().gamma"))
        point(page, 0.4, 0.4)
        made = studio.make(replace(FIRST, step=step))
        check_drawn(pixels(page, "map"), made.layers[0].attention.grid()[0, 3, 3])
    assert gammas == pytest.approx([0, 1, 2])
    assert page.locator("#history").is_visible()


def test_what_was_trained_elsewhere_is_not_called_untrained(visit, browser, tmp_path):
    served = serving(Studio(unpack("clothes", tmp_path / "run").path))
    page = visit(next(served))
    assert page.get_by_text("as it came", exact=True).is_visible()
    assert next(served, None) is None


def test_directions_and_ways_between_images(visit, address, studio):
    page = visit(address)
    page.locator("#controls summary").first.click()
    page.locator("#controls summary").last.click()
    set_control(page, "to_seed", 5)
    set_control(page, "to_label", 2)
    set_control(page, "between", 0.5)
    set_control(page, "direction", "pca")
    set_control(page, "amount-1", 2)
    way = {"to_seed": 5, "to_label": 2, "between": 0.5}
    wanted = replace(FIRST, **way, direction="pca", amounts=(0.0, 2.0))
    given = "[...window.sagan.state.bundle.images.picture.pixels]"
    expected = to_uint8(studio.make(wanted).image[0]).permute(1, 2, 0).flatten().tolist()
    assert page.evaluate(given) == expected
    page.locator("#no-directions").click()
    set_control(page, "between", 0)
    expected = to_uint8(studio.make(FIRST).image[0]).permute(1, 2, 0).flatten().tolist()
    assert page.evaluate(given) == expected


def test_without_the_token_the_page_says_what_to_do(address, browser):
    page = browser.new_page()
    page.goto(address.partition("#")[0])
    page.wait_for_selector("#notice.bad")
    assert "open the address that was printed" in page.locator("#notice").inner_text()
    page.close()


def test_a_report_from_a_file_draws_every_image_s_maps(visit, report, studio):
    page = visit(report)
    assert page.locator("#images button").count() == 3
    assert page.locator("#controls").is_hidden()
    for label in (1, 2):
        page.keyboard.press("n")
        wait_until(page, f"window.sagan.state.bundle.caption === 'class {label}'")
        point(page, 0.6, 0.3)
        attention = studio.make(replace(FIRST, seed=label, label=label)).layers[0].attention
        check_drawn(pixels(page, "map"), attention.grid()[0, 4, 2])
    page.locator("#images button").first.click()
    wait_until(page, "window.sagan.state.bundle.caption === 'class 0'")
    page.locator("#map").hover(position={"x": 3, "y": 3})
    settle(page)
    weight = studio.make(FIRST).layers[0].attention.grid()[0, 4, 2, 0, 0].item()
    said = page.locator("#map-name").inner_text()
    assert "row 1, column 1" in said
    assert float(said.split(": ")[1].split()[0]) == pytest.approx(100 * weight, abs=0.6)


def test_on_a_phone_it_fits_and_taps_point_then_pin(visit, report):
    page = visit(report, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator("#picture").bounding_box()
    assert box["width"] > 300
    at = box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"]
    page.touchscreen.tap(*at)
    settle(page)
    assert "row 7, column 3 of the 8×8" in page.locator("#sentence").inner_text()
    assert page.locator(".pin").count() == 0
    page.touchscreen.tap(*at)
    settle(page)
    assert page.locator(".pin").count() == 1


def test_light_and_dark(visit, report):
    def is_light(page):
        shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("L")
        return np.asarray(shot)[:, :20].mean() > 128  # the margin

    for scheme, other in (("light", "Dark"), ("dark", "Light")):
        page = visit(report, color_scheme=scheme, reduced_motion="reduce")
        assert is_light(page) == (scheme == "light")
        assert page.locator("#theme").inner_text() == other
        page.locator("#theme").click()
        settle(page)
        assert is_light(page) == (scheme == "dark")


def test_the_picture_can_be_saved(visit, report):
    page = visit(report)
    with page.expect_download() as download:
        page.locator("#save").click()
    with Image.open(download.value.path()) as saved:
        assert (saved.format, saved.width) == ("PNG", 1096)
        assert len(saved.convert("RGB").getcolors(100_000)) > 20


def test_hovering_is_smooth_with_maps_of_1024_queries_and_256_keys(visit, tmp_path):
    weights = torch.rand(1, 1024, 256)
    attention = AttentionMap(weights / weights.sum(-1, keepdim=True), 32, 32, 2, 0.5)
    maps = QueryMaps("G", "attention.0", attention, ((0.5, 0.5),), weights[0, :1])
    picture = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    write_report(tmp_path / "r.html", [("random", picture, [maps])], title="t")
    page = visit((tmp_path / "r.html").as_uri())
    times = page.evaluate(
        """Array.from({ length: 100 }, (_, i) => {
            window.sagan.pointAt({ y: (i % 10) / 10, x: i / 100 });
            const began = performance.now();
            window.sagan.draw();
            return performance.now() - began;
        })"""
    )
    print(f"a frame takes {np.median(times):.2f} ms (median of 100)")
    assert np.median(times) < 16


def test_the_picture_for_the_readme(visit, address, tmp_path):
    """Made of the run that SAGAN_SCREENSHOT_OF names, if any (runs/trained), into docs/images."""
    served = serving(Studio(Path(SCREENSHOT_OF))) if SCREENSHOT_OF else iter([address])
    page = visit(next(served))
    page.set_viewport_size({"width": 1280, "height": 980})
    if SCREENSHOT_OF:
        set_control(page, "label", 3)
    for y, x in ((0.2, 0.3), (0.55, 0.7), (0.85, 0.4)):
        point(page, y, x)
        page.mouse.down()
        page.mouse.up()
    point(page, 0.4, 0.6)
    out = README_PICTURE if SCREENSHOT_OF else tmp_path / "explore.png"
    page.screenshot(path=out, animations="disabled")
    with Image.open(out) as picture:
        assert picture.size == (1280, 980)
    assert next(served, None) is None
