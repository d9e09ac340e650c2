// Colours: a perceptual scale for weights, one for differences, and the pins'.

// matplotlib's magma at 17 places (in the public domain); between them it is read off linearly
const MAGMA = (
  "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 " +
  "cf4070 e55064 f4695c fb8761 fea571 fec287 fde0a1 fcfdbf"
).split(" ");

// 256 colours as four bytes each
const SCALE = (() => {
  const stops = MAGMA.map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const scale = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    for (let c = 0; c < 3; c++) {
      scale[4 * i + c] = stops[low][c] + (stops[low + 1][c] - stops[low][c]) * (place - low);
    }
    scale[4 * i + 3] = 255;
  }
  return scale;
})();

// distinct in light and dark and to the colour-blind (after Okabe and Ito 2008)
const PIN_COLOURS = [
  "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#9a9a9a",
];

const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
