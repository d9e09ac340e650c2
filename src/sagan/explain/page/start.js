// Hands, keys and theme; and the start of either mode.

/** Where an event of the pointer is on an element, in [0, 1). */
function placeIn(element, event) {
  const box = element.getBoundingClientRect();
  return {
    y: clamp((event.clientY - box.top) / box.height, 0, 0.999999),
    x: clamp((event.clientX - box.left) / box.width, 0, 0.999999),
  };
}

function listenToPointer() {
  const picture = byId("picture");
  let corner = null; // where a box was begun
  picture.addEventListener("pointermove", (event) => {
    if (corner) dragBox(corner, placeIn(picture, event));
    else if (event.pointerType === "mouse" || event.buttons) pointAt(placeIn(picture, event));
  });
  picture.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const place = placeIn(picture, event);
    if (state.boxing) {
      corner = place;
      picture.setPointerCapture(event.pointerId);
      return;
    }
    const layer = currentLayer();
    const same = queryAt(layer, place).index === queryAt(layer, state.place).index;
    pointAt(place);
    // a finger has no hover: its first tap points, a second one on the same cell pins
    if (event.pointerType === "mouse" || same) togglePin();
  });
  picture.addEventListener("pointerup", () => {
    if (corner) listeners.region(state.region, true);
    corner = null;
  });
  picture.addEventListener("pointercancel", () => (corner = null));
  const map = byId("map");
  map.addEventListener("pointermove", (event) => {
    const layer = currentLayer();
    const place = placeIn(map, event);
    const [row, column] = [Math.floor(place.y * layer.key_height), Math.floor(place.x * layer.key_width)];
    const weight = weightOf(mapOf(layer, queryAt(layer, state.place)), row * layer.key_width + column);
    byId("map-name").textContent = `key at row ${row + 1}, column ${column + 1}: ${percent(weight)}`;
  });
  map.addEventListener("pointerleave", () => redraw());
}

function dragBox(from, to) {
  const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
  const [left, right] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
  const { height, width } = state.bundle.images.picture; // out to whole pixels
  state.region = {
    top: Math.floor(top * height) / height,
    bottom: Math.ceil(bottom * height + 1e-9) / height,
    left: Math.floor(left * width) / width,
    right: Math.ceil(right * width + 1e-9) / width,
  };
  listeners.region(state.region, false);
  redraw();
}

function listenToKeys() {
  byId("picture").addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (move) {
      const layer = currentLayer();
      const { row, column } = queryAt(layer, state.place);
      const far = event.shiftKey ? 4 : 1;
      pointAt(placeOfQuery(layer, row + far * move[0], column + far * move[1]));
    } else if (event.key === "Enter" || event.key === " ") togglePin();
    else return;
    event.preventDefault();
    requestAnimationFrame(() => (byId("spoken").textContent = byId("sentence").textContent));
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input:not([type=range], [type=checkbox]), select");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !state.bundle) return;
    if (/^[1-9]$/.test(event.key)) chooseLayer(Number(event.key) - 1);
    else if (event.key === "Escape") {
      state.pins = [];
      redraw();
    } else if (event.key === "n" || event.key === "p") listeners.step(event.key === "n" ? 1 : -1);
    else if (event.key === "o") setOverlay(state.overlay > 0 ? 0 : 0.75);
  });
}

function setOverlay(value) {
  state.overlay = value;
  byId("overlay").value = value;
  redraw();
}

function listenToButtons() {
  byId("overlay").addEventListener("input", (event) => setOverlay(Number(event.target.value)));
  byId("fixed").addEventListener("change", (event) => {
    state.fixed = event.target.checked;
    redraw();
  });
  byId("help-button").addEventListener("click", (event) => {
    byId("help").hidden = !byId("help").hidden;
    event.target.setAttribute("aria-expanded", String(!byId("help").hidden));
  });
  byId("save").addEventListener("click", savePicture);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => (byId("theme").textContent = isDark() ? "Light" : "Dark");
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
    redraw();
  });
  dark.addEventListener("change", () => {
    name();
    redraw();
  });
  name();
  new ResizeObserver(() => redraw()).observe(byId("main"));
}

/** Save what is seen, picture and maps side by side, as a PNG. */
function savePicture() {
  const layer = currentLayer();
  const [side, gap, pin] = [512, 24, 160];
  const canvas = document.createElement("canvas");
  const rows = state.pins.length ? pin + gap : 0;
  canvas.width = 2 * side + 3 * gap;
  canvas.height = side + 3 * gap + 16 + rows;
  const context = canvas.getContext("2d");
  context.fillStyle = cssColour("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(byId("picture"), gap, gap, side, side);
  context.drawImage(byId("map"), side + 2 * gap, gap, side, side);
  [...byId("pins").querySelectorAll("canvas")].forEach((one, i) => {
    const step = (canvas.width - 2 * gap) / PIN_COLOURS.length;
    const [x, y, size] = [gap + i * step, side + 2 * gap, Math.min(pin, step - 8)];
    context.fillStyle = state.pins[i].colour;
    context.fillRect(x, y, size, size);
    context.drawImage(one, x + 3, y + 3, size - 6, size - 6);
  });
  context.fillStyle = cssColour("--ink");
  context.font = "16px system-ui, sans-serif";
  const words = `${state.bundle.caption} · ${layerName(layer)} · γ ${signed(layer.gamma)}`;
  context.fillText(words, gap, canvas.height - gap);
  canvas.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: "attention.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

/** Say something to the user above the page, or nothing any more. */
function notice(text, bad = false) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text;
  byId("notice").classList.toggle("bad", bad);
}

/** Show a report: its images are in the page. */
async function startReport(data) {
  const packed = [...document.querySelectorAll("script.bundle")].map((script) => script.textContent);
  const bundles = new Map();
  const unpacked = async (i) => {
    if (!bundles.has(i)) bundles.set(i, await unpackBundle(packed[i]));
    return bundles.get(i);
  };
  const strip = byId("images");
  let chosen = 0;
  const choose = async (i) => {
    chosen = (i + packed.length) % packed.length;
    checkRadio(strip, chosen);
    strip.children[chosen].scrollIntoView({ block: "nearest", inline: "nearest" });
    const mine = chosen;
    const bundle = await unpacked(mine);
    if (mine === chosen) showBundle(bundle);
  };
  state.history = data.history;
  byId("verdicts").hidden = !data.verdicts.length;
  byId("verdicts").append(...data.verdicts.map((sentence) => make("p", {}, sentence)));
  strip.hidden = packed.length < 2;
  fillRadios(strip, packed.map(() => [make("canvas"), make("span")]), 0, choose);
  listeners.step = (by) => choose(chosen + by);
  await choose(0);
  for (let i = 0; i < packed.length; i++) {
    const { images, caption } = await unpacked(i);
    const [canvas, name] = strip.children[i].children;
    [canvas.width, canvas.height] = [images.picture.width, images.picture.height];
    canvas.getContext("2d").drawImage(imageSheet("thumb", images.picture), 0, 0);
    name.textContent = caption;
    bundles.size > 4 && i !== chosen && bundles.delete(i);
  }
}

async function start() {
  const data = JSON.parse(byId("data").textContent);
  byId("about").textContent = data.about ?? "";
  listenToPointer();
  listenToKeys();
  listenToButtons();
  try {
    await (data.mode === "live" ? startLive() : startReport(data));
  } catch (error) {
    notice(`This page cannot go on: ${error.message}`, true);
    throw error;
  }
}

window.sagan = { state, live, draw, redraw, pointAt, queryAt, mapOf, weightOf, currentLayer }; // for the console, and tests
start();
