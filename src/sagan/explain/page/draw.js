// Drawing on canvases. Nothing here knows of controls or of the server.

const sheets = new Map(); // small canvases to draw from, by what is on them

function sheet(name, width, height) {
  let canvas = sheets.get(name);
  if (!canvas) sheets.set(name, (canvas = document.createElement("canvas")));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  return canvas;
}

/** Give a canvas as many pixels as it has on the screen, and its context, cleared. */
function prepare(canvas) {
  const density = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * density));
  const height = Math.max(1, Math.round(canvas.clientHeight * density));
  const context = canvas.getContext("2d");
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  } else {
    context.clearRect(0, 0, width, height);
  }
  context.imageSmoothingEnabled = false;
  return { context, width, height, density };
}

/** Put an image's pixels on a canvas of the image's own size. */
function imageSheet(name, image, grey = false) {
  const canvas = sheet(name, image.width, image.height);
  const context = canvas.getContext("2d");
  const data = context.createImageData(image.width, image.height);
  const { channels, pixels } = image;
  for (let i = 0, from = 0; i < data.data.length; i += 4, from += channels) {
    const red = pixels[from];
    const green = channels > 1 ? pixels[from + 1] : red;
    const blue = channels > 1 ? pixels[from + 2] : red;
    const mean = (red + green + blue) / 3;
    data.data[i] = grey ? mean : red;
    data.data[i + 1] = grey ? mean : green;
    data.data[i + 2] = grey ? mean : blue;
    data.data[i + 3] = channels === 4 ? pixels[from + 3] : 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}

/**
 * Put a map on a canvas with a pixel a key. `most` is the weight of the brightest colour; with
 * `veil` a key is the more transparent the less it weighs, to lie over the picture.
 */
function mapSheet(name, layer, map, most, veil = false) {
  const canvas = sheet(name, layer.key_width, layer.key_height);
  const context = canvas.getContext("2d");
  const data = context.createImageData(layer.key_width, layer.key_height);
  const out = data.data;
  const factor = map.peak / most;
  for (let key = 0, to = 0; key < layer.keys; key++, to += 4) {
    const level = Math.round(map.row[key] * factor);
    out[to] = SCALE[4 * level];
    out[to + 1] = SCALE[4 * level + 1];
    out[to + 2] = SCALE[4 * level + 2];
    out[to + 3] = veil ? Math.min(255, 40 + 1.1 * level) : 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}

/** Draw a ring at a place in [0, 1), dark and light so that it is seen on anything. */
function ring(view, place, colour, radius = 7) {
  const { context, width, height, density } = view;
  context.beginPath();
  context.arc(place.x * width, place.y * height, radius * density, 0, 2 * Math.PI);
  context.lineWidth = 5 * density;
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.stroke();
  context.lineWidth = 2.5 * density;
  context.strokeStyle = colour;
  context.stroke();
}

/** Draw a diagonal cross where a map peaks. */
function cross(view, place, colour) {
  const { context, width, height, density } = view;
  const arm = 5 * density;
  const [x, y] = [place.x * width, place.y * height];
  for (const [line, stroke] of [[5, "rgba(0, 0, 0, 0.75)"], [2.2, colour]]) {
    context.beginPath();
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x + arm, y - arm);
    context.lineTo(x - arm, y + arm);
    context.lineWidth = line * density;
    context.strokeStyle = stroke;
    context.stroke();
  }
}

/** Outline a box given by two corners in [0, 1]. */
function outline(view, box, colour, dashed = false) {
  const { context, width, height, density } = view;
  const [x, y] = [box.left * width, box.top * height];
  const [w, h] = [(box.right - box.left) * width, (box.bottom - box.top) * height];
  context.lineWidth = 3.5 * density;
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.strokeRect(x, y, w, h);
  context.setLineDash(dashed ? [6 * density, 4 * density] : []);
  context.lineWidth = 1.5 * density;
  context.strokeStyle = colour;
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
}

/** Draw a line of dashes between two places. */
function thread(view, from, to) {
  const { context, width, height, density } = view;
  context.beginPath();
  context.moveTo(from.x * width, from.y * height);
  context.lineTo(to.x * width, to.y * height);
  context.setLineDash([2 * density, 5 * density]);
  context.lineCap = "round";
  context.lineWidth = 2 * density;
  context.strokeStyle = "rgba(255, 255, 255, 0.85)";
  context.stroke();
  context.setLineDash([]);
}

/** Draw the scale with its numbers: 0, an even share, and the most. */
function drawLegend(canvas, most, even) {
  const view = prepare(canvas);
  const { context, width, density } = view;
  const bar = 10 * density;
  const colours = sheet("legend", 256, 1);
  colours.getContext("2d").putImageData(new ImageData(SCALE, 256, 1), 0, 0);
  context.drawImage(colours, 0, 0, width, bar);
  context.font = `${11.5 * density}px system-ui, sans-serif`;
  context.fillStyle = cssColour("--soft");
  context.textBaseline = "top";
  const line = bar + 6 * density;
  context.textAlign = "left";
  context.fillText("0", 0, line);
  context.textAlign = "right";
  const right = `${shortNumber(most)}`;
  context.fillText(right, width, line);
  const at = (even / most) * width;
  context.fillRect(at - density, 0, 2 * density, bar + 4 * density);
  const words = `even share ${shortNumber(even)}`;
  const half = context.measureText(words).width / 2;
  const least = 14 * density + half;
  context.textAlign = "center";
  const last = width - context.measureText(right).width - 10 * density - half;
  context.fillText(words, clamp(at, least, last), line);
}

/** Draw how a number went over training: images along, one line a layer, and where we are. */
function drawChart(canvas, lines, now, zero) {
  const view = prepare(canvas);
  const { context, width, height, density } = view;
  const values = lines.flatMap((line) => line.points.map((point) => point.value));
  const low = Math.min(zero ? 0 : Infinity, ...values);
  const high = Math.max(zero ? 0 : -Infinity, ...values);
  const last = Math.max(...lines.flatMap((line) => line.points.map((point) => point.images)), 1);
  const pad = 8 * density;
  const x = (images) => pad + (images / last) * (width - 2 * pad);
  const y = (value) => height - pad - ((value - low) / (high - low || 1)) * (height - 2 * pad);
  context.lineWidth = density;
  context.strokeStyle = cssColour("--line");
  for (const value of zero ? [0] : [low, high]) {
    context.beginPath();
    context.moveTo(0, y(value));
    context.lineTo(width, y(value));
    context.stroke();
  }
  if (now !== null) {
    context.strokeStyle = cssColour("--soft");
    context.setLineDash([3 * density, 3 * density]);
    context.beginPath();
    context.moveTo(x(now), 0);
    context.lineTo(x(now), height);
    context.stroke();
    context.setLineDash([]);
  }
  for (const line of lines) {
    context.beginPath();
    line.points.forEach((point, i) => {
      context[i ? "lineTo" : "moveTo"](x(point.images), y(point.value));
    });
    context.lineWidth = (line.chosen ? 2.6 : 1.3) * density;
    context.lineJoin = "round";
    context.strokeStyle = cssColour(line.chosen ? "--accent" : "--even");
    context.stroke();
  }
}
