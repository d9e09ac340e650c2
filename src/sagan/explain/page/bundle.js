// Reading a bundle: one image with all its maps. explain/bundle.py says how it is laid out.

/** Read the bytes of a bundle; the arrays are views on them, so nothing is copied. */
function readBundle(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const images = {};
  for (const [name, image] of Object.entries(header.images)) {
    const count = image.channels * image.height * image.width;
    images[name] = { ...image, pixels: new Uint8Array(buffer, start + image.offset, count) };
  }
  return { ...header, images, layers: header.layers.map((layer) => readLayer(layer, buffer, start)) };
}

function readLayer(layer, buffer, start) {
  const stride = layer.query_stride;
  const first = stride >> 1;
  const rows = Math.ceil((layer.height - first) / stride);
  const columns = Math.ceil((layer.width - first) / stride);
  const keys = layer.key_height * layer.key_width;
  const floats = (offset) => new Float32Array(buffer, start + offset, rows * columns);
  return {
    ...layer,
    key: `${layer.network} ${layer.name}`,
    rows, // of the queries that are kept
    columns,
    keys,
    peaks: floats(layer.peaks),
    entropies: floats(layer.entropies),
    distances: floats(layer.distances),
    farMasses: floats(layer.far_masses),
    weights: new Uint8Array(buffer, start + layer.weights, rows * columns * keys),
  };
}

/** Unpack a bundle of a report: base64, then zlib, by what the browser brings. */
async function unpackBundle(text) {
  const packed = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return readBundle(await new Response(stream).arrayBuffer());
}

const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

/** Find the query of a layer that stands for a place in the picture, given in [0, 1). */
function queryAt(layer, place) {
  const row = clamp(Math.floor((place.y * layer.height) / layer.query_stride), 0, layer.rows - 1);
  const column = clamp(Math.floor((place.x * layer.width) / layer.query_stride), 0, layer.columns - 1);
  const first = layer.query_stride >> 1;
  const y = row * layer.query_stride + first; // in the layer's feature map
  const x = column * layer.query_stride + first;
  return {
    index: row * layer.columns + column,
    row,
    column,
    y,
    x,
    place: { y: (y + 0.5) / layer.height, x: (x + 0.5) / layer.width },
  };
}

/** The place of a kept query, by its row and column among them. */
function placeOfQuery(layer, row, column) {
  const stride = layer.query_stride;
  return {
    y: (clamp(row, 0, layer.rows - 1) * stride + (stride >> 1) + 0.5) / layer.height,
    x: (clamp(column, 0, layer.columns - 1) * stride + (stride >> 1) + 0.5) / layer.width,
  };
}

/** One query's map: its row of bytes, of which 255 is its peak. */
function mapOf(layer, query) {
  const start = query.index * layer.keys;
  const row = layer.weights.subarray(start, start + layer.keys);
  return { row, peak: layer.peaks[query.index], at: row.indexOf(255) };
}

/** The weight of one key in a map, up to half a step of 1/255 of the peak. */
const weightOf = (map, key) => (map.row[key] * map.peak) / 255;

/** A key's row, column, and centre in [0, 1). */
function keyPlace(layer, key) {
  const row = Math.floor(key / layer.key_width);
  const column = key % layer.key_width;
  return { row, column, y: (row + 0.5) / layer.key_height, x: (column + 0.5) / layer.key_width };
}

/** What an even map of a query would be in numbers: all keys weigh the same. */
function evenNumbers(layer, query) {
  let distance = 0;
  let far = 0;
  for (let key = 0; key < layer.keys; key++) {
    const at = keyPlace(layer, key);
    const away = Math.hypot(
      (at.y - query.place.y) * layer.height,
      (at.x - query.place.x) * layer.width,
    );
    distance += away / layer.keys;
    far += away > layer.height / 2 ? 1 / layer.keys : 0;
  }
  return { entropy: Math.log(layer.keys), distance, far };
}
