// What the map shows, unpacked. In: the JSON in #map-data. Out: `points`: arrays by row, colours, a search by place.
// Drawing and moving are left to map.js, which follows in the same script.
"use strict";
const points = (() => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const count = data.images.length;

  // --- Unpacking: base64 of little-endian integers ---
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const wide = (text) => new Uint16Array(bytes(text).buffer);
  const places = wide(data.places);
  const xs = Float32Array.from({ length: count }, (_, i) => places[2 * i] / 65535);
  const ys = Float32Array.from({ length: count }, (_, i) => 1 - places[2 * i + 1] / 65535);
  const splits = bytes(data.split);
  const targets = data.targets.map((target) => ({
    name: target.name, classes: target.classes,
    true: wide(target.true), predicted: wide(target.predicted), score: bytes(target.score),
  }));
  const pictures = new Map(data.pictures.row.map((row, i) => [row, data.pictures.webp[i]]));
  const pictureOf = (row) => (pictures.has(row) ? `data:image/webp;base64,${pictures.get(row)}` : "");

  // --- Colours: ABGR, as a little-endian ImageData has it ---
  const FIRST = ["4e79a7", "f28e2b", "3f9a5f", "d6494f", "9467bd", "b08a1e", "17a2b8", "d66aa8", "8a6d5a", "7f8c3a"];
  const abgr = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const css = (c) => `rgb(${c & 255} ${(c >> 8) & 255} ${(c >> 16) & 255})`;
  const GREY = abgr(140, 136, 130);

  function classColour(number) {
    if (number < FIRST.length) return abgr(...FIRST[number].match(/../g).map((part) => parseInt(part, 16)));
    const hue = (number * 137.508) % 360, light = [0.42, 0.55, 0.66][number % 3], part = 0.55 * Math.min(light, 1 - light);
    const channel = (n) => {
      const k = (n + hue / 30) % 12;
      return Math.round(255 * (light - part * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return abgr(channel(0), channel(8), channel(4));
  }

  function scoreColour(score) { // from the grey of the wall to a strong red
    const t = score / 255;
    return abgr(...[[150, 214], [160, 58], [158, 22]].map(([from, to]) => Math.round(from + (to - from) * t)));
  }

  // --- Finding: points sorted into a grid once ---
  const GRID = 256;
  const cellOf = (value) => Math.max(0, Math.min(GRID - 1, Math.floor(value * GRID)));
  const starts = new Uint32Array(GRID * GRID + 1);
  const sorted = new Uint32Array(count);
  for (let i = 0; i < count; i++) starts[cellOf(ys[i]) * GRID + cellOf(xs[i]) + 1]++;
  for (let cell = 0; cell < GRID * GRID; cell++) starts[cell + 1] += starts[cell];
  const next = starts.slice();
  for (let i = 0; i < count; i++) sorted[next[cellOf(ys[i]) * GRID + cellOf(xs[i])]++] = i;

  // The nearest row that is wanted within `far`, or -1.
  function nearest(x, y, far, wanted) {
    let best = -1, least = far * far;
    for (let row = cellOf(y - far); row <= cellOf(y + far); row++) {
      const end = starts[row * GRID + cellOf(x + far) + 1];
      for (let k = starts[row * GRID + cellOf(x - far)]; k < end; k++) {
        const i = sorted[k], distance = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
        if (distance < least && wanted(i)) [best, least] = [i, distance];
      }
    }
    return best;
  }

  // --- Facts about an image; names are set as text, never as HTML ---
  function facts(i, layerShown) {
    const rows = [text("bdi", data.images[i], "map-name")];
    const pairs = layerShown ? [["outlier score", (layerShown.score[i] / 255).toFixed(2)]] : [];
    pairs.push(["split", data.splits[splits[i]] ?? "–"]);
    for (const layer of targets) {
      const own = layer.classes[layer.true[i]] ?? "unlabelled", other = layer.classes[layer.predicted[i]] ?? "–";
      pairs.push([layer.name.replaceAll("_", " "), own === other ? own : `${own} → ${other}`]);
    }
    const list = document.createElement("dl");
    for (const [name, value] of pairs) {
      const pair = document.createElement("div");
      const fact = document.createElement("dd");
      fact.append(text("bdi", value));
      pair.append(text("dt", name), fact);
      list.append(pair);
    }
    return [...rows, list];
  }

  function show(picture, row) {
    const source = pictureOf(row);
    picture.style.backgroundImage = source ? `url("${source}")` : "";
    picture.textContent = source ? "" : "no picture on this page";
    picture.classList.toggle("none", !source);
  }

  function text(tag, content, name = "") {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = content;
    return made;
  }

  return {
    data, count, xs, ys, splits, targets, pictures, pictureOf, classColour, scoreColour, css, GREY, nearest, text, facts, show,
  };
})();
