// Numbers in words.

/** A number with about three figures, and a true minus sign. */
function shortNumber(value) {
  const size = Math.abs(value);
  const figures = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.001 || size === 0 ? 3 : 5;
  return value.toFixed(figures).replace("-", "−");
}

const signed = (value) => (value === 0 ? "0" : (value > 0 ? "+" : "") + shortNumber(value));

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`; // never broken

const NETWORKS = { G: "Generator", D: "Discriminator" };

/** What a layer is called where there may be several. */
function layerName(layer) {
  return `${NETWORKS[layer.network]} ${layer.height}×${layer.width}`;
}

/** Which way one place lies from another, in words. */
function direction(from, to) {
  const [dy, dx] = [to.y - from.y, to.x - from.x];
  const across = Math.abs(dx) > 0.4 * Math.abs(dy) ? (dx > 0 ? "right" : "left") : "";
  const along = Math.abs(dy) > 0.4 * Math.abs(dx) ? (dy > 0 ? "lower" : "upper") : "";
  if (along && across) return `to the ${along} ${across}`;
  if (across) return `to the ${across}`;
  return along === "lower" ? "below" : "above";
}

/** Say what one sees: pieces of text, of which every second one is to stand out. */
function sentencePieces(layer, query, map) {
  const at = keyPlace(layer, map.at);
  const away = Math.hypot(
    (at.y - query.place.y) * layer.height,
    (at.x - query.place.x) * layer.width,
  );
  const keys = Math.exp(layer.entropies[query.index]);
  const times = map.peak * layer.keys;
  const where = `The query at row ${query.y + 1}, column ${query.x + 1} of the ${layer.height}×${layer.width} map`;
  if (times < 1.05) return [`${where} looks `, "everywhere alike", `: each of its ${layer.keys} keys weighs ${percent(1 / layer.keys)}.`];
  const own = away < 0.75 * (layer.height / layer.key_height);
  const place = own ? "its own place" : `a place ${shortNumber(away)} px of the map ${direction(query.place, at)}`;
  return [
    `${where} looks most at `,
    place,
    ` (row ${at.row + 1}, column ${at.column + 1} of the keys): `,
    percent(map.peak),
    ` of its attention goes there, ${shortNumber(times)} times an even share. In all it spreads over about `,
    `${keys < 10 ? keys.toFixed(1) : Math.round(keys)} of ${layer.keys} keys`,
    `. What it gathers is multiplied by γ = ${signed(layer.gamma)} and added${layer.gamma === 0 ? ": so it changes nothing" : ""}.`,
  ];
}

/** The rows of the table: name, remark, and the number of this query, of all, and of an even map. */
function numberRows(layer, query) {
  const even = evenNumbers(layer, query);
  const entropy = layer.entropies[query.index];
  const keys = (value) => shortNumber(Math.exp(value));
  return [
    ["γ", "of the layer", "", signed(layer.gamma), ""],
    ["Entropy", "nats", shortNumber(entropy), shortNumber(layer.entropy), shortNumber(even.entropy)],
    ["Keys in effect", `of ${layer.keys}`, keys(entropy), keys(layer.entropy), keys(even.entropy)],
    ["Mean distance", "px of its map", shortNumber(layer.distances[query.index]), shortNumber(layer.distance), shortNumber(even.distance)],
    ["Farther than half the map", "share", percent(layer.farMasses[query.index]), percent(layer.far_mass), percent(even.far)],
    ["Query dependence", "nats", "", shortNumber(layer.query_dependence), "0"],
    ["Peak", "share", percent(layer.peaks[query.index]), "", percent(1 / layer.keys)],
  ];
}
