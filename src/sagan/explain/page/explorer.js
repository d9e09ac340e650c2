// The explorer: one image, one layer, the query under the pointer, and pinned ones.

const byId = (id) => document.getElementById(id);

const state = {
  bundle: null,
  layerKey: "", // of the layer that is shown, as "G attention.0"
  place: { y: 0.5, x: 0.5 }, // pointed at, in [0, 1) of the picture
  pins: [], // { y, x, colour }
  overlay: 0.75,
  fixed: false, // one colour scale for all queries of the layer
  region: null, // of hidden keys: { left, top, right, bottom } in [0, 1]
  boxing: false, // dragging draws a region
  history: [],
};
const listeners = { region: () => {}, step: () => {} }; // what live and report do of their own

/** Make an element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Fill a group of radio buttons; the arrow keys move in it. */
function fillRadios(group, contents, chosen, choose) {
  group.replaceChildren(
    ...contents.map((content, i) => {
      const button = make("button", { type: "button", role: "radio" }, ...content);
      button.addEventListener("click", () => choose(i));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = (i + step + contents.length) % contents.length;
        choose(next);
        group.children[next].focus();
      });
      return button;
    }),
  );
  checkRadio(group, chosen);
}

function checkRadio(group, chosen) {
  [...group.children].forEach((button, i) => {
    button.setAttribute("aria-checked", String(i === chosen));
    button.tabIndex = i === chosen ? 0 : -1;
  });
}

const layers = () => state.bundle.layers;
const currentLayer = () => layers().find((layer) => layer.key === state.layerKey) ?? layers()[0];

/** Show another image: its bundle takes the place of the one before. */
function showBundle(bundle) {
  const first = !state.bundle;
  state.bundle = bundle;
  if (first && bundle.points?.length) [state.place.y, state.place.x] = bundle.points[0];
  imageSheet("picture", bundle.images.picture);
  imageSheet("grey", bundle.images.picture, true);
  byId("picture-name").textContent = bundle.caption || "Picture";
  byId("main").hidden = false;
  state.layerKey = currentLayer().key;
  fillLayers();
  showChange();
  redraw();
}

function fillLayers() {
  const contents = layers().map((layer) => [
    make("span", {}, layerName(layer)),
    make("span", { className: "small" }, `${layer.key_height}×${layer.key_width} keys · γ ${signed(layer.gamma)}`),
  ]);
  const group = byId("layers");
  const focused = group.contains(document.activeElement);
  fillRadios(group, contents, layers().indexOf(currentLayer()), chooseLayer);
  if (focused) group.querySelector('[aria-checked="true"]').focus();
}

function chooseLayer(i) {
  if (!layers()[i]) return;
  state.layerKey = layers()[i].key;
  checkRadio(byId("layers"), i);
  redraw();
}

/** Point at a place of the picture, in [0, 1). */
function pointAt(place) {
  state.place = { y: clamp(place.y, 0, 0.999999), x: clamp(place.x, 0, 0.999999) };
  redraw({ query: true });
}

/** Pin the query that is pointed at, or take its pin away. */
function togglePin() {
  const layer = currentLayer();
  const { index, place } = queryAt(layer, state.place);
  const there = state.pins.findIndex((pin) => queryAt(layer, pin).index === index);
  if (there >= 0) state.pins.splice(there, 1);
  else if (state.pins.length < PIN_COLOURS.length) {
    const colour = PIN_COLOURS.find((one) => state.pins.every((pin) => pin.colour !== one));
    state.pins.push({ ...place, colour });
  }
  redraw();
}

let wanted = null; // what the next frame draws: null nothing, else whether only the query moved

/** Draw in the next frame; many calls before it are one drawing. */
function redraw({ query = false } = {}) {
  if (!state.bundle) return;
  if (wanted === null) requestAnimationFrame(draw);
  wanted = query && wanted !== false;
}

/** Draw all that depends on the query; and, unless only the query moved, the rest. */
function draw() {
  const onlyQuery = wanted === true;
  wanted = null;
  const layer = currentLayer();
  const query = queryAt(layer, state.place);
  const map = mapOf(layer, query);
  const most = state.fixed ? layer.peaks.reduce((a, b) => Math.max(a, b)) : map.peak;
  drawPicture(byId("picture"), layer, query, map, most);
  drawMap(byId("map"), layer, query, map, most);
  drawLegend(byId("legend"), most, 1 / layer.keys);
  const pieces = sentencePieces(layer, query, map);
  byId("sentence").replaceChildren(...pieces.map((text, i) => (i % 2 ? make("b", {}, text) : text)));
  fillNumbers(layer, query);
  if (onlyQuery) return;
  byId("map-name").textContent = `${layer.key_height}×${layer.key_width} keys`;
  drawPins(layer);
  drawHistory(layer);
}

function drawPicture(canvas, layer, query, map, most) {
  const view = prepare(canvas);
  const { context, width, height } = view;
  context.drawImage(sheets.get("picture"), 0, 0, width, height);
  if (state.overlay > 0) {
    context.globalAlpha = state.overlay;
    context.drawImage(sheets.get("grey"), 0, 0, width, height);
    context.drawImage(mapSheet("veil", layer, map, most, true), 0, 0, width, height);
    context.globalAlpha = 1;
  }
  drawMarks(view, layer, query, map);
}

function drawMap(canvas, layer, query, map, most) {
  const view = prepare(canvas);
  view.context.drawImage(mapSheet("map", layer, map, most), 0, 0, view.width, view.height);
  drawMarks(view, layer, query, map);
}

/** Draw the query's cell, where its map peaks, the pins, and the region of hidden keys. */
function drawMarks(view, layer, query, map) {
  const peak = keyPlace(layer, map.at);
  thread(view, query.place, peak);
  cross(view, peak, "#ffffff");
  const half = { y: 0.5 / layer.height, x: 0.5 / layer.width };
  const { y, x } = query.place;
  outline(view, { left: x - half.x, right: x + half.x, top: y - half.y, bottom: y + half.y }, "#ffffff");
  for (const pin of state.pins) ring(view, queryAt(layer, pin).place, pin.colour);
  ring(view, query.place, "#ffffff", 5);
  if (state.region) outline(view, state.region, "#7fd4ff", true);
}

function drawPins(layer) {
  byId("pins").replaceChildren(
    ...state.pins.map((pin, i) => {
      const query = queryAt(layer, pin);
      const map = mapOf(layer, query);
      const canvas = make("canvas", { width: 240, height: 240, role: "img" });
      canvas.setAttribute("aria-label", `Map of the query at row ${query.y + 1}, column ${query.x + 1}`);
      canvas.style.borderColor = pin.colour;
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      const most = state.fixed ? layer.peaks.reduce((a, b) => Math.max(a, b)) : map.peak;
      context.drawImage(sheets.get("grey"), 0, 0, 240, 240);
      context.globalAlpha = 0.85;
      context.drawImage(mapSheet("pin", layer, map, most, true), 0, 0, 240, 240);
      context.globalAlpha = 1;
      const view = { context, width: 240, height: 240, density: 2 };
      cross(view, keyPlace(layer, map.at), "#ffffff");
      ring(view, query.place, pin.colour, 5);
      const remove = make("button", { type: "button", title: "Take this pin away" }, "×");
      remove.setAttribute("aria-label", `Take pin ${i + 1} away`);
      remove.addEventListener("click", () => {
        state.pins = state.pins.filter((one) => one !== pin);
        redraw();
      });
      const words = make("span", {}, `row ${query.y + 1}, col ${query.x + 1}: peak ${percent(map.peak)}`);
      return make("div", { className: "pin" }, canvas, make("p", {}, words, remove));
    }),
  );
}

function fillNumbers(layer, query) {
  const body = byId("numbers").tBodies[0];
  numberRows(layer, query).forEach(([name, remark, ...numbers], i) => {
    const row = body.rows[i] ?? body.insertRow();
    if (!row.cells.length) {
      row.append(make("th", { scope: "row" }), ...numbers.map(() => make("td")));
    }
    row.cells[0].replaceChildren(`${name} `, make("span", {}, remark));
    numbers.forEach((number, j) => {
      row.cells[j + 1].textContent = number;
    });
  });
}

function drawHistory(layer) {
  byId("history").hidden = !state.history.length;
  if (!state.history.length) return;
  const last = Math.max(0, ...state.history.flatMap((line) => line.gamma.map(([images]) => images)));
  byId("history-title").textContent = `Over training, to ${last.toLocaleString("en")} images`;
  const charts = [["gamma", "γ", true], ["entropy", "Entropy, nats", false]];
  charts.forEach(([number, title, zero], i) => {
    const box = byId("charts").children[i] ?? byId("charts").appendChild(
      make("div", { className: "chart" }, make("p", {}, make("span"), make("span")), make("canvas", { role: "img" })),
    );
    const lines = state.history.map((line) => ({
      chosen: line.key === layer.key,
      points: line[number].map(([images, value]) => ({ images, value })),
    }));
    lines.sort((a, b) => a.chosen - b.chosen); // the chosen one on top
    const own = lines.find((line) => line.chosen)?.points;
    const [name, span] = box.querySelectorAll("span");
    name.textContent = `${title} of ${layerName(layer)}${lines.length > 1 ? " (thin: other layers)" : ""}`;
    span.textContent = own?.length ? `${shortNumber(own[0].value)} → ${shortNumber(own.at(-1).value)}` : "";
    const canvas = box.querySelector("canvas");
    canvas.setAttribute("aria-label", `${name.textContent} over training: ${span.textContent}`);
    drawChart(canvas, lines, state.bundle.images_seen ?? null, zero);
  });
}

/** Show the picture as trained beside the changed one, and their difference, if there is one. */
function showChange() {
  const { images, change } = state.bundle;
  byId("change").hidden = !change;
  if (!change) return;
  const { before, picture: after } = images;
  const away = { ...after, pixels: after.pixels.map((value, i) => Math.abs(value - before.pixels[i])) };
  if (away.channels === 4) away.pixels.forEach((_, i) => i % 4 === 3 && (away.pixels[i] = 255));
  for (const [id, image] of [["before", before], ["after", after], ["difference", away]]) {
    const canvas = byId(id);
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(imageSheet(id, image), 0, 0);
  }
  byId("change-words").replaceChildren(
    "Pixels change by ",
    make("b", { id: "change-number" }, `${shortNumber(change.pixels)} of 255`),
    " on average",
    change.logit_before === null ? "." : `; D's logit goes from ${signed(change.logit_before)} to ${signed(change.logit)}.`,
  );
}
