// The live page: controls, and the server that makes an image from what they say.

const live = {
  facts: null,
  asking: false,
  again: false, // something changed while the server was at work
  token: new URLSearchParams(location.hash.slice(1)).get("token"),
  controls: {},
};

/** Ask the server; a refusal is an Error with the server's reason. */
async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (live.token) headers.Authorization = `Bearer ${live.token}`;
  const options = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the program has stopped; its terminal says why");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw Object.assign(new Error(error ?? `status ${response.status}`), { status: response.status });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Wait for the model, build the controls, and show the first image. */
async function startLive() {
  notice("The model is loading …");
  for (;;) {
    live.facts = await (await ask("api/run")).json();
    if (live.facts.ready) break;
    await pause(100);
  }
  notice("");
  byId("about").textContent = live.facts.about;
  state.history = live.facts.history;
  byId("main").classList.add("live");
  buildControls(live.facts);
  byId("controls").hidden = false;
  listeners.step = (by) => setNumber("seed", live.controls.seed.valueAsNumber + by);
  listeners.region = showRegion;
  await refresh();
}

/** Ask for the image that the controls describe; while one is made, only the latest wish counts. */
async function refresh() {
  if (live.asking) {
    live.again = true;
    return;
  }
  live.asking = true;
  const busy = setTimeout(() => (byId("busy").textContent = "making it …"), 150);
  try {
    do {
      live.again = false;
      const began = performance.now();
      await makeImage();
      byId("busy").textContent = `made in ${Math.round(performance.now() - began)} ms`;
    } while (live.again);
  } finally {
    clearTimeout(busy);
    live.asking = false;
  }
}

async function makeImage() {
  for (;;) {
    try {
      const response = await ask("api/image", currentWish());
      showBundle(readBundle(await response.arrayBuffer()));
      notice("");
      return;
    } catch (error) {
      if (error.status === 429) await pause(300); // others are waiting too
      else {
        notice(error.message, true);
        return;
      }
    }
  }
}

/** What the controls say, as the server takes it. */
function currentWish() {
  const c = live.controls;
  const number = (name) => Number(c[name].value);
  const choice = (name) => (c[name] && c[name].value !== "" ? Number(c[name].value) : null);
  return {
    step: live.facts.checkpoints[number("checkpoint")].step,
    seed: number("seed"),
    label: choice("label"),
    truncation: number("truncation"),
    to_seed: number("to_seed"),
    to_label: choice("to_label"),
    between: number("between"),
    direction: c.direction ? c.direction.value : "sefa",
    amounts: c.amounts.map((slider) => Number(slider.value)),
    layer: c.layer.value || null,
    gamma_scale: number("gamma_scale"),
    uniform: c.uniform.checked,
    region: state.region && [state.region.left, state.region.top, state.region.right, state.region.bottom],
  };
}

function setNumber(name, value) {
  const control = live.controls[name];
  control.value = clamp(value || 0, Number(control.min), Number(control.max));
  control.dispatchEvent(new Event("input"));
}

/** A slider with its name and its value in words. */
function slider(name, title, { min, max, step, value, words = shortNumber }) {
  const output = make("output", {}, words(value));
  const input = make("input", { type: "range", min, max, step, value, id: `c-${name}` });
  input.addEventListener("input", () => {
    output.textContent = words(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
    refresh();
  });
  live.controls[name] = input;
  // htmlFor, since a label is otherwise of the first thing in it that can have one: the output
  return make("label", { className: "field", htmlFor: input.id }, make("span", {}, title, output), input);
}

function select(name, title, options, chosen) {
  const input = make(
    "select",
    { id: `c-${name}` },
    ...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)),
  );
  input.addEventListener("change", () => refresh());
  live.controls[name] = input;
  return make("label", { className: "field" }, make("span", {}, title), input);
}

function whole(name, title, { min, max, value }) {
  const input = make("input", { type: "number", min, max, step: 1, value, id: `c-${name}`, inputMode: "numeric" });
  input.setAttribute("aria-label", title);
  input.addEventListener("input", () => input.checkValidity() && input.value !== "" && refresh());
  input.addEventListener("change", () => {
    if (!input.checkValidity() || input.value === "") setNumber(name, Math.round(input.valueAsNumber));
  });
  live.controls[name] = input;
  return input;
}

function checkbox(name, title, changed) {
  const input = make("input", { type: "checkbox", id: `c-${name}` });
  input.addEventListener("change", () => changed(input.checked));
  live.controls[name] = input;
  return make("label", { className: "inline" }, input, title);
}

function button(id, text, pressed) {
  const element = make("button", { type: "button", id }, text);
  element.addEventListener("click", pressed);
  return element;
}

const group = (title, ...children) => make("fieldset", {}, make("legend", {}, title), ...children);

function folded(title, ...children) {
  return make("details", {}, make("summary", {}, title), make("fieldset", {}, ...children));
}

function buildControls(facts) {
  const form = byId("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(
    imageGroup(facts),
    trainingGroup(facts),
    attentionGroup(facts),
    betweenGroup(facts),
    ...directionGroups(facts),
    make("p", { id: "busy", role: "status" }),
  );
}

function imageGroup(facts) {
  const seed = whole("seed", "Seed", { min: 0, max: facts.most_seed, value: 0 });
  const row = make("div", { className: "row" }, seed, button("new-seed", "New seed", () => setNumber("seed", Math.floor(Math.random() * 100000))));
  const parts = [make("div", { className: "field" }, make("label", { htmlFor: "c-seed" }, "Seed"), row)];
  if (facts.classes.length) parts.push(select("label", "Class", facts.classes.map((name, i) => [String(i), name]), "0"));
  const words = (value) => (value ? `|z| ≤ ${value.toFixed(1)}` : "none");
  parts.push(slider("truncation", "Truncation", { min: 0, max: 3, step: 0.1, value: 0, words }));
  return group("Image", ...parts);
}

function trainingGroup(facts) {
  const last = facts.checkpoints.length - 1;
  const words = (i) => {
    const { images } = facts.checkpoints[i];
    if (images) return `${images.toLocaleString("en")} images`;
    return last ? "before training" : "as it came"; // an imported run has but one
  };
  const chosen = facts.checkpoints.findIndex((checkpoint) => checkpoint.step === facts.step);
  return group(
    "Training so far",
    slider("checkpoint", "Checkpoint", { min: 0, max: last, step: 1, value: chosen, words }),
  );
}

function attentionGroup(facts) {
  const options = [["", "all layers"], ...facts.layers.map((layer) => [layer.key, layerName(layer)])];
  const corners = ["left", "top", "right", "bottom"];
  const box = make("div", { className: "box" }, ...corners.map(boxCorner));
  return group(
    "Attention changed",
    select("layer", "Of", options, ""),
    slider("gamma_scale", "γ times", { min: -1, max: 3, step: 0.05, value: 1 }),
    checkbox("uniform", "even maps instead of its own", () => refresh()),
    checkbox("boxing", "hide keys: drag a box on it", (on) => {
      state.boxing = on;
      byId("picture").style.touchAction = on ? "none" : "";
    }),
    make("div", { className: "field" }, make("span", {}, "Box in px: left, top, right, bottom"), box),
    make(
      "div",
      { className: "row" },
      button("show-keys", "Hide nothing", () => {
        state.region = null;
        showRegion(null, true);
      }),
      button("as-trained", "As trained", asTrained),
    ),
  );
}

function boxCorner(name) {
  const side = live.facts.resolution;
  const input = make("input", { type: "number", min: 0, max: side, step: 1, id: `c-${name}`, inputMode: "numeric" });
  input.setAttribute("aria-label", `Hidden box, ${name}, in pixels`);
  input.addEventListener("input", () => {
    const [left, top, right, bottom] = ["left", "top", "right", "bottom"].map((one) =>
      live.controls[one].value === "" ? NaN : clamp(Number(live.controls[one].value), 0, side) / side,
    );
    state.region = left < right && top < bottom ? { left, top, right, bottom } : null;
    redraw();
    refresh();
  });
  live.controls[name] = input;
  return input;
}

/** Write a region that was dragged into its four fields; ask for its image once it is done. */
function showRegion(region, done) {
  for (const name of ["left", "top", "right", "bottom"]) {
    live.controls[name].value = region ? Math.round(region[name] * live.facts.resolution) : "";
  }
  redraw();
  if (done) refresh();
}

function asTrained() {
  state.region = null;
  live.controls.uniform.checked = false;
  live.controls.layer.value = "";
  showRegion(null, false);
  setNumber("gamma_scale", 1);
}

function betweenGroup(facts) {
  const seed = whole("to_seed", "Seed to go to", { min: 0, max: facts.most_seed, value: 1 });
  const parts = [make("label", { className: "field" }, make("span", {}, "To seed"), seed)];
  if (facts.classes.length) {
    const options = [["", "the same class"], ...facts.classes.map((name, i) => [String(i), name])];
    parts.push(select("to_label", "To class", options, ""));
  }
  const words = (value) => percent(value);
  parts.unshift(slider("between", "Way gone", { min: 0, max: 1, step: 0.01, value: 0, words }));
  return folded("Between two images", ...parts);
}

const NAMES_OF_DIRECTIONS = { sefa: "SeFa (first layer)", pca: "PCA (first block)" };

function directionGroups(facts) {
  live.controls.amounts = [];
  if (!facts.directions.length) return [];
  const sliders = Array.from({ length: facts.most_directions }, (_, i) =>
    slider(`amount-${i}`, `Direction ${i + 1}`, { min: -4, max: 4, step: 0.1, value: 0 }),
  );
  live.controls.amounts = sliders.map((_, i) => live.controls[`amount-${i}`]);
  const options = facts.directions.map((name) => [name, NAMES_OF_DIRECTIONS[name]]);
  const choice = select("direction", "Found by", options, facts.directions[0]);
  const reset = button("no-directions", "Back to 0", () => {
    for (let i = 0; i < sliders.length; i++) setNumber(`amount-${i}`, 0);
  });
  return [folded("Directions", choice, ...sliders, reset)];
}
