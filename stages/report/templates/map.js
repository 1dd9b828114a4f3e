// Draws the map of the collection and moves in it. In: `points`. Out: pixels, a legend, a list of neighbours.
//
// Points are written into an ImageData, not by a WebGL library: 81,446 points take 2 to 3 ms a frame this way, on any
// machine. deck.gl took two seconds a frame where there is no graphics card; regl-based ones need `unsafe-eval`.
(() => {
  const element = (id) => document.getElementById(id);
  const { data, count, xs, ys, splits, targets, pictures, pictureOf, text, facts, show } = points;
  const canvas = element("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true }); // pixels come from here, not from a GPU
  const form = element("controls");
  if (!context || !count) return;

  // --- What is shown ---
  const view = { x: 0.5, y: 0.5, scale: 1, fit: 1, width: 1, height: 1, ratio: 1 };
  const NOBODY = -1;
  let chosen = NOBODY; // the legend's class
  let pointed = NOBODY; // the row under the pointer
  let colours = new Uint32Array(count);
  let order = Uint32Array.from({ length: count }, (_, i) => i);
  let groups = new Uint16Array(count);
  let image = null, pixels = null;

  const target = () => targets[form.elements.target ? Number(form.elements.target.value) : 0];
  const mode = () => form.elements.colour.value;

  const SCORE_STEPS = ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"];
  const stepOf = (score) => Math.min(4, Math.floor(score / 51.01));

  // Group number, name of each group, and its colour, for the mode at hand.
  function recolour() {
    const { classes, ...layer } = targets.length ? target() : { classes: [] };
    let names, colourOf;
    if (mode() === "split" || !targets.length) {
      names = data.splits;
      groups = Uint16Array.from(splits);
      colourOf = points.classColour;
    } else if (mode() === "score") {
      names = SCORE_STEPS;
      groups = Uint16Array.from(layer.score, stepOf);
      colourOf = (step) => points.scoreColour(step * 51 + 51);
    } else {
      names = classes;
      groups = layer[mode()];
      colourOf = points.classColour;
    }
    const palette = names.map((_, number) => colourOf(number));
    for (let i = 0; i < count; i++) colours[i] = palette[groups[i]] ?? points.GREY;
    if (mode() === "score" && targets.length) {
      for (let i = 0; i < count; i++) colours[i] = points.scoreColour(layer.score[i]);
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
      swatch.style.background = points.css(palette[number]);
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
    view.fit = 0.88 * Math.min(box.width, box.height);
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
      return [down, size === 1 ? 1 : Math.floor(Math.sqrt(size * size + size - down * down))];
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
    const taken = new Map(); // field of the grid to the picture in it
    for (const row of inView) {
      const x = screenX(row), y = screenY(row), across = Math.floor(x / FIELD), down = Math.floor(y / FIELD);
      if (taken.size >= MOST_PICTURES) break;
      let free = true;
      for (let k = 0; free && k < 9; k++) {
        const other = taken.get(`${across + (k % 3) - 1} ${down + Math.floor(k / 3) - 1}`);
        free = !other || Math.max(Math.abs(other[0] - x), Math.abs(other[1] - y)) >= 52;
      }
      if (!free) continue;
      taken.set(`${across} ${down}`, [x, y]);
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
    context.fillStyle = points.css(colours[row]);
    context.fillRect(x - 2 * view.ratio, y - 2 * view.ratio, width + 4 * view.ratio, height + 4 * view.ratio);
    context.drawImage(picture, x, y, width, height);
  }

  // --- Finding ---
  function nearest(left, top, reach) {
    const x = (left - view.width / 2) / view.scale + view.x, y = (top - view.height / 2) / view.scale + view.y;
    return points.nearest(x, y, reach / view.scale, (i) => chosen === NOBODY || groups[i] === chosen);
  }

  // --- The tip at the pointer ---
  function point(row, left, top) {
    if (row === pointed && row === NOBODY) return;
    const tip = element("tip");
    if (row !== pointed && row !== NOBODY) {
      show(element("tip-picture"), row);
      element("tip-facts").replaceChildren(...facts(row, target()));
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
  let timer = 0, listed = "";
  function settle() {
    clearTimeout(timer);
    timer = setTimeout(list, 250);
  }

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
    item.append(picture, ...facts(i, target()));
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
