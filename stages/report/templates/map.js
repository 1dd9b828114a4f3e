// Draws the map of the collection and moves in it. In: the JSON in #map-data. Out: pixels, a legend, a list of neighbours.
//
// Points are written into an ImageData, not by a WebGL library: 81,446 points take 2 to 3 ms a frame this way, on any
// machine. deck.gl took two seconds a frame where there is no graphics card; regl-based ones need `unsafe-eval`.
"use strict";
(() => {
  const element = (id) => document.getElementById(id);
  const data = JSON.parse(element("map-data").textContent);
  const canvas = element("canvas");
  const context = canvas.getContext("2d");
  const form = element("controls");
  const count = data.images.length;
  if (!context || !count) return;

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

  // --- What is shown ---
  const view = { x: 0.5, y: 0.5, scale: 1, fit: 1, width: 1, height: 1, ratio: 1 };
  const NOBODY = -1;
  let chosen = NOBODY; // the legend's class
  let pointed = NOBODY; // the row under the pointer
  let colours = new Uint32Array(count);
  let order = Uint32Array.from({ length: count }, (_, i) => i);
  let groups = new Uint16Array(count);
  let image = null;
  let pixels = null;

  const target = () => targets[form.elements.target ? Number(form.elements.target.value) : 0];
  const mode = () => form.elements.colour.value;

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

  const SCORE_STEPS = ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"];
  const stepOf = (score) => Math.min(4, Math.floor(score / 51.01));

  // Group number, name of each group, and its colour, for the mode at hand.
  function recolour() {
    const { classes, ...layer } = targets.length ? target() : { classes: [] };
    let names;
    let colourOf;
    if (mode() === "split" || !targets.length) {
      names = data.splits;
      groups = Uint16Array.from(splits);
      colourOf = classColour;
    } else if (mode() === "score") {
      names = SCORE_STEPS;
      groups = Uint16Array.from(layer.score, stepOf);
      colourOf = (step) => scoreColour(step * 51 + 51);
    } else {
      names = classes;
      groups = layer[mode()];
      colourOf = classColour;
    }
    const palette = names.map((_, number) => colourOf(number));
    for (let i = 0; i < count; i++) colours[i] = palette[groups[i]] ?? GREY;
    if (mode() === "score" && targets.length) {
      for (let i = 0; i < count; i++) colours[i] = scoreColour(layer.score[i]);
      order.sort((a, b) => layer.score[a] - layer.score[b]); // what stands out is drawn last
    } else order.sort((a, b) => a - b);
    legend(names, palette);
  }

  function legend(names, palette) {
    const sizes = new Uint32Array(names.length + 1);
    for (let i = 0; i < count; i++) sizes[Math.min(groups[i], names.length)]++;
    chosen = NOBODY;
    const items = names.map((name, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.ariaPressed = "false";
      button.disabled = !sizes[number];
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = css(palette[number]);
      button.append(swatch, text("bdi", name), text("span", sizes[number].toLocaleString("en"), "quiet"));
      button.addEventListener("click", () => choose(number));
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    element("legend").replaceChildren(...items);
    const rest = sizes[names.length] ? ` ${sizes[names.length].toLocaleString("en")} without a label are grey.` : "";
    element("legend-hint").textContent = `Press one to see it alone.${rest}`;
  }

  function choose(number) {
    chosen = chosen === number ? NOBODY : number;
    element("legend").querySelectorAll("button").forEach((button, i) => (button.ariaPressed = String(i === chosen)));
    redraw();
  }

  function text(tag, content, name = "") {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = content;
    return made;
  }

  // --- Places on the screen ---
  const screenX = (i) => (xs[i] - view.x) * view.scale + view.width / 2;
  const screenY = (i) => (ys[i] - view.y) * view.scale + view.height / 2;

  function resize() {
    const box = canvas.getBoundingClientRect();
    const whole = view.scale === view.fit;
    view.ratio = Math.min(window.devicePixelRatio || 1, 2);
    view.width = box.width;
    view.height = box.height;
    canvas.width = Math.max(1, Math.round(box.width * view.ratio));
    canvas.height = Math.max(1, Math.round(box.height * view.ratio));
    image = context.createImageData(canvas.width, canvas.height);
    pixels = new Uint32Array(image.data.buffer);
    view.fit = 0.94 * Math.min(box.width, box.height);
    if (whole) view.scale = view.fit;
    redraw();
  }

  // --- Drawing ---
  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
    settle();
  }

  function radius() {
    const alone = count < 1000 ? 4 : count < 10000 ? 2.2 : 1.1;
    return Math.max(1, Math.round(Math.min(alone * Math.sqrt(view.scale / view.fit), 6) * view.ratio));
  }

  // A disc as rows of pixels: [offset down, half width].
  function disc(size) {
    return Array.from({ length: 2 * size + 1 }, (_, row) => {
      const down = row - size;
      return [down, size === 1 ? 1 : Math.floor(Math.sqrt(size * size + 1 - down * down))];
    });
  }

  function draw() {
    pixels.fill(0);
    if (chosen === NOBODY) plot(() => true, 0xffffffff);
    else {
      plot((i) => groups[i] !== chosen, 0x2affffff); // faint, through its transparency
      plot((i) => groups[i] === chosen, 0xffffffff);
    }
    context.putImageData(image, 0, 0);
    if (form.elements.pictures.checked) drawPictures();
    if (pointed !== NOBODY) ring(pointed);
  }

  function plot(wanted, mask) {
    const { width, height } = canvas;
    const size = radius();
    const rows = disc(size);
    const scale = view.scale * view.ratio;
    const left = width / 2 - view.x * scale;
    const top = height / 2 - view.y * scale;
    for (let k = 0; k < count; k++) {
      const i = order[k];
      const x = (xs[i] * scale + left) | 0;
      const y = (ys[i] * scale + top) | 0;
      if (x < size || y < size || x >= width - size || y >= height - size || !wanted(i)) continue;
      const colour = (colours[i] & mask) >>> 0;
      for (const [down, half] of rows) {
        const middle = (y + down) * width + x;
        for (let at = middle - half; at <= middle + half; at++) pixels[at] = colour;
      }
    }
  }

  function ring(i) {
    context.strokeStyle = getComputedStyle(canvas).color;
    context.lineWidth = 2 * view.ratio;
    context.beginPath();
    context.arc(screenX(i) * view.ratio, screenY(i) * view.ratio, radius() + 3 * view.ratio, 0, 2 * Math.PI);
    context.stroke();
  }

  // Near enough, pictures take the place of points, one per field of a grid.
  const FIELD = 58;
  const MOST_PICTURES = 220;
  const MANY = 1500;
  const loaded = new Map();
  function drawPictures() {
    const inView = [];
    for (const row of pictures.keys()) {
      const x = screenX(row), y = screenY(row);
      if (x < 0 || y < 0 || x > view.width || y > view.height) continue;
      if (chosen !== NOBODY && groups[row] !== chosen) continue;
      inView.push(row);
      if (inView.length > MANY) return;
    }
    const taken = new Set();
    for (const row of inView) {
      const field = `${Math.round(screenX(row) / FIELD)} ${Math.round(screenY(row) / FIELD)}`;
      if (taken.has(field) || taken.size >= MOST_PICTURES) continue;
      taken.add(field);
      drawPicture(row);
    }
  }

  function drawPicture(row) {
    let picture = loaded.get(row);
    if (!picture) {
      picture = new Image();
      picture.onload = redraw;
      picture.src = pictureOf(row);
      loaded.set(row, picture);
    }
    if (!picture.complete || !picture.naturalWidth) return;
    const shrink = (44 * view.ratio) / Math.max(picture.naturalWidth, picture.naturalHeight);
    const width = picture.naturalWidth * shrink, height = picture.naturalHeight * shrink;
    const x = screenX(row) * view.ratio - width / 2, y = screenY(row) * view.ratio - height / 2;
    context.fillStyle = css(colours[row]);
    context.fillRect(x - 2 * view.ratio, y - 2 * view.ratio, width + 4 * view.ratio, height + 4 * view.ratio);
    context.drawImage(picture, x, y, width, height);
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

  function nearest(left, top, reach) {
    const x = (left - view.width / 2) / view.scale + view.x, y = (top - view.height / 2) / view.scale + view.y;
    const far = reach / view.scale;
    let best = NOBODY, least = far * far;
    for (let row = cellOf(y - far); row <= cellOf(y + far); row++) {
      const end = starts[row * GRID + cellOf(x + far) + 1];
      for (let k = starts[row * GRID + cellOf(x - far)]; k < end; k++) {
        const i = sorted[k], distance = (xs[i] - x) ** 2 + (ys[i] - y) ** 2;
        if (distance < least && (chosen === NOBODY || groups[i] === chosen)) [best, least] = [i, distance];
      }
    }
    return best;
  }

  // --- What is said of an image ---
  function facts(i) {
    const rows = [text("bdi", data.images[i], "map-name")];
    const pairs = [["split", data.splits[splits[i]] ?? "–"]];
    for (const layer of targets) {
      const own = layer.classes[layer.true[i]] ?? "unlabelled", other = layer.classes[layer.predicted[i]] ?? "–";
      const score = layer === target() ? ` · outlier score ${(layer.score[i] / 255).toFixed(2)}` : "";
      pairs.push([layer.name.replaceAll("_", " "), (own === other ? own : `${own} → ${other}`) + score]);
    }
    const list = document.createElement("dl");
    for (const [name, value] of pairs) {
      const pair = document.createElement("div");
      const said = document.createElement("dd");
      said.append(text("bdi", value));
      pair.append(text("dt", name), said);
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

  function point(row, left, top) {
    if (row === pointed && row === NOBODY) return;
    const tip = element("tip");
    if (row !== pointed && row !== NOBODY) {
      show(element("tip-picture"), row);
      element("tip-facts").replaceChildren(...facts(row));
    }
    tip.hidden = row === NOBODY;
    tip.style.left = `${Math.max(4, Math.min(left + 16, view.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${top + 20 + tip.offsetHeight > view.height ? Math.max(4, top - tip.offsetHeight - 12) : top + 20}px`;
    if (row !== pointed) {
      pointed = row;
      redraw();
    }
  }

  // --- The list: a map for those who cannot see or point ---
  const LISTED = 12;
  let timer = 0;
  function settle() {
    clearTimeout(timer);
    timer = setTimeout(list, 250);
  }

  let listed = "";
  function list() {
    const best = [];
    for (let i = 0; i < count; i++) {
      if (chosen !== NOBODY && groups[i] !== chosen) continue;
      const distance = (xs[i] - view.x) ** 2 + (ys[i] - view.y) ** 2;
      if (best.length === LISTED && distance >= best[LISTED - 1][0]) continue;
      best.push([distance, i]);
      best.sort((a, b) => a[0] - b[0]);
      best.length = Math.min(best.length, LISTED);
    }
    const now = `${form.elements.target?.value} ${best.map(([, i]) => i)}`;
    if (now === listed) return;
    listed = now;
    element("nearest-list").replaceChildren(...best.map(([, i]) => card(i)));
    element("nearest-status").textContent = `${best.length} images nearest to the centre, the first is ${data.images[best[0]?.[1]]}`;
  }

  function card(i) {
    const item = document.createElement("li");
    item.className = "card";
    item.dataset.image = data.images[i];
    const picture = text("span", "", "map-picture");
    show(picture, i);
    item.append(picture, ...facts(i));
    return item;
  }

  // --- Moving ---
  function zoom(factor, left = view.width / 2, top = view.height / 2) {
    const scale = Math.max(view.fit * 0.5, Math.min(view.scale * factor, view.fit * 400));
    view.x += (left - view.width / 2) * (1 / view.scale - 1 / scale);
    view.y += (top - view.height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    move(0, 0);
  }

  function move(right, down) {
    view.x = Math.max(0, Math.min(1, view.x - right / view.scale));
    view.y = Math.max(0, Math.min(1, view.y - down / view.scale));
    redraw();
  }

  function whole() {
    Object.assign(view, { x: 0.5, y: 0.5, scale: view.fit });
    redraw();
  }

  const STEP = 60;
  const keys = {
    ArrowLeft: () => move(STEP, 0), ArrowRight: () => move(-STEP, 0), ArrowUp: () => move(0, STEP),
    ArrowDown: () => move(0, -STEP), "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: whole,
  };

  const fingers = new Map();
  const spread = () => {
    const [a, b] = [...fingers.values()];
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };

  function moved(event) {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const before = fingers.get(event.pointerId);
    if (!before) return point(nearest(x, y, 14), x, y);
    const apart = spread();
    fingers.set(event.pointerId, { x, y });
    if (fingers.size === 2 && apart) return zoom(spread() / apart, x, y);
    if (fingers.size === 1) {
      point(NOBODY, 0, 0);
      move(x - before.x, y - before.y);
    }
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const box = canvas.getBoundingClientRect();
    const at = { x: event.clientX - box.left, y: event.clientY - box.top };
    fingers.set(event.pointerId, at);
    if (event.pointerType === "touch") point(nearest(at.x, at.y, 24), at.x, at.y);
  });
  canvas.addEventListener("pointermove", moved);
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => fingers.delete(e.pointerId));
  canvas.addEventListener("pointerleave", () => point(NOBODY, 0, 0));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) / 300), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  element("zoom-in").addEventListener("click", () => zoom(1.6));
  element("zoom-out").addEventListener("click", () => zoom(1 / 1.6));
  element("zoom-all").addEventListener("click", whole);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target.name !== "pictures") recolour();
    redraw();
  });

  for (const id of ["controls", "map", "nearest-section"]) element(id).hidden = false;
  recolour();
  new ResizeObserver(resize).observe(canvas);
  resize();
})();
