"use strict";
// Draws the map of the cases and fills their list from the data in the page; all texts are set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const count = data.id.length;
  const element = (name, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const option = (text, value) => {
    const made = element("option", text);
    made.value = value;
    return made;
  };
  const named = (names, number) => (number < 0 ? "–" : names[number]);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shapes = data.shapes.map((path) => new Path2D(path));

  // Colours of labels and kernels: those of the first classes of a small run.
  const palette = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
  const colourings = [{ key: "class", title: data.kind, names: data.classes, of: data.class, colour: (k) => style(`--c${k}`) }];
  if (data.labels.length) {
    colourings.push({ key: "label", title: "label", names: data.labels, of: data.label, colour: (k) => palette[k % palette.length] });
  }
  if (data.kernels.length) {
    colourings.push({ key: "kernel", title: "kernel", names: data.kernels, of: data.kernel, colour: (k) => palette[k % palette.length] });
  }

  const canvas = $("plane-canvas");
  const planeKind = $("plane-kind");
  const planeColour = $("plane-colour");
  data.planes.forEach((plane, number) => planeKind.append(option(plane.title, number)));
  colourings.forEach((colouring, number) => planeColour.append(option(colouring.title, number)));
  let alone = -2; // the singled-out entry of the legend
  let current = -1; // the case that is pointed at
  let places = []; // [row, x, y] in CSS pixels

  const mark = (context, x, y, size, shape, fill, edge, width) => {
    context.save();
    context.translate(x, y);
    context.scale(size, size);
    context.fillStyle = fill;
    context.strokeStyle = edge;
    context.lineWidth = width / size;
    context.fill(shape);
    context.stroke(shape);
    context.restore();
  };

  const drawPlane = () => {
    const plane = data.planes[planeKind.value];
    const colouring = colourings[planeColour.value];
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const drawn = plane.xy.filter(Boolean).length;
    const size = Math.max(2.6, Math.min(7, 60 / Math.sqrt(drawn || 1)));
    const reach = [1e-9, 1e-9];
    for (const point of plane.xy) if (point) point.forEach((value, axis) => { reach[axis] = Math.max(reach[axis], Math.abs(value)); });
    const scale = Math.min((width - 48) / (2 * reach[0]), (height - 48) / (2 * reach[1]));
    const edge = style("--edge"), quiet = style("--quiet"), back = style("--raised");
    places = [];
    plane.xy.forEach((point, row) => {
      if (point) places.push([row, width / 2 + point[0] * scale, height / 2 - point[1] * scale]);
    });
    const paint = ([row, x, y], dim) => {
      const k = colouring.of[row];
      context.globalAlpha = dim ? 0.12 : 0.9;
      mark(context, x, y, size, shapes[k < 0 ? 0 : k % shapes.length], k < 0 ? back : colouring.colour(k), k < 0 ? quiet : edge, 0.9);
    };
    const isDim = (place) => alone > -2 && colouring.of[place[0]] !== alone;
    places.filter(isDim).forEach((place) => paint(place, true));
    places.filter((place) => !isDim(place)).forEach((place) => paint(place, false));
    context.globalAlpha = 1;
    const at = places.find(([row]) => row === current);
    if (at) {
      context.beginPath();
      context.arc(at[1], at[2], size + 5, 0, 2 * Math.PI);
      context.strokeStyle = style("--link");
      context.lineWidth = 2.5;
      context.stroke();
    }
    $("plane-axes").textContent = `Across: ${plane.axes[0]}. Up: ${plane.axes[1]}.`;
    canvas.setAttribute("aria-label", `${plane.title} of ${drawn} training cases, coloured by ${colouring.title}`);
  };

  const drawLegend = () => {
    const colouring = colourings[planeColour.value];
    const counts = new Map();
    data.planes[0].xy.forEach((point, row) => { if (point) counts.set(colouring.of[row], (counts.get(colouring.of[row]) || 0) + 1); });
    const entries = colouring.names.map((name, k) => [k, name]).concat(counts.has(-1) ? [[-1, "not known"]] : []);
    $("plane-legend").replaceChildren(...entries.map(([k, name]) => {
      const button = element("button");
      button.type = "button";
      button.setAttribute("aria-pressed", alone === k);
      const swatch = element("canvas");
      const ratio = window.devicePixelRatio || 1;
      swatch.width = swatch.height = 18 * ratio;
      swatch.style.width = swatch.style.height = "18px";
      const context = swatch.getContext("2d");
      context.scale(ratio, ratio);
      mark(context, 9, 9, 5.6, shapes[k < 0 ? 0 : k % shapes.length], k < 0 ? style("--raised") : colouring.colour(k), style("--edge"), 0.9);
      button.append(swatch, element("span", name), element("small", String(counts.get(k) || 0)));
      button.addEventListener("click", () => {
        alone = alone === k ? -2 : k;
        drawLegend();
        drawPlane();
        $("plane-legend").children[entries.findIndex(([other]) => other === k)].firstChild.focus();
      });
      const item = element("li");
      item.append(button);
      return item;
    }));
  };

  const tell = (row) => {
    if (row === current) return;
    current = row;
    const said = $("plane-case");
    if (row < 0) said.replaceChildren("\u00a0");
    else {
      const parts = [data.classes[data.class[row]]];
      if (data.labels.length) parts.push(`label ${named(data.labels, data.label[row])}`);
      if (data.kernel[row] >= 0) parts.push(`kernel ${data.kernels[data.kernel[row]]}`);
      if (data.laa[row] !== null) parts.push(`LAA-950 ${data.laa[row]} %`);
      said.replaceChildren(element("b", data.id[row]), parts.join(" · "));
    }
    drawPlane();
  };

  const nearest = (x, y, most) => {
    let best = -1, distance = most * most;
    for (const [row, px, py] of places) {
      const d = (px - x) ** 2 + (py - y) ** 2;
      if (d < distance) [best, distance] = [row, d];
    }
    return best;
  };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = ([dx, dy]) => {
    const from = places.find(([row]) => row === current);
    if (!from) return nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, 1e9);
    let best = current, least = Infinity;
    for (const [row, x, y] of places) {
      const along = (x - from[1]) * dx + (y - from[2]) * dy;
      const aside = Math.abs((x - from[1]) * dy) + Math.abs((y - from[2]) * dx);
      if (row !== current && along > 0 && aside <= 2 * along && along + 2 * aside < least) [best, least] = [row, along + 2 * aside];
    }
    return best;
  };
  canvas.addEventListener("pointermove", (event) => tell(nearest(event.offsetX, event.offsetY, 16)));
  canvas.addEventListener("pointerleave", () => { if (document.activeElement !== canvas) tell(-1); });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { tell(-1); canvas.blur(); }
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    tell(step(ARROWS[event.key]));
  });
  planeKind.addEventListener("change", drawPlane);
  planeColour.addEventListener("change", () => { alone = -2; drawLegend(); drawPlane(); });
  const redraw = () => { drawLegend(); drawPlane(); };
  new ResizeObserver(drawPlane).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
  $("plane-controls").hidden = false;

  // The list: a page of it at a time, so that thousands of cases stay quick.
  const PAGE = 25;
  let page = 0;
  data.classes.forEach((name, k) => $("cases-class").append(option(name, k)));
  const texts = data.id.map((id, row) =>
    [id, data.test[row] ? "test" : "train", named(data.classes, data.class[row]), named(data.classes, data.head[row]),
      named(data.labels, data.labels.length ? data.label[row] : -1), named(data.kernels, data.kernel[row]),
      data.laa[row] === null ? "–" : data.laa[row].toFixed(1), data.margin[row] === null ? "–" : data.margin[row].toFixed(2).replace("-", "−")]);
  const lower = texts.map((row) => row.join(" ").toLowerCase());
  const showCases = () => {
    const words = $("cases-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = $("cases-class").value;
    const rows = [];
    for (let row = 0; row < count; row++) {
      if ((wanted === "" || data.class[row] === Number(wanted)) && words.every((word) => lower[row].includes(word))) rows.push(row);
    }
    page = Math.max(0, Math.min(page, Math.ceil(rows.length / PAGE) - 1));
    const shown = rows.slice(page * PAGE, (page + 1) * PAGE);
    $("cases-table").tBodies[0].replaceChildren(...shown.map((row) => {
      const line = element("tr");
      texts[row].forEach((text, place) => {
        const cell = element(place ? "td" : "th", text);
        if (!place) cell.scope = "row";
        if (place > 5) cell.className = "n";
        line.append(cell);
      });
      return line;
    }));
    $("cases-shown").textContent = rows.length
      ? `${page * PAGE + 1}–${page * PAGE + shown.length} of ${rows.length} cases` : "no case fits";
    $("cases-before").disabled = page === 0;
    $("cases-next").disabled = (page + 1) * PAGE >= rows.length;
    $("cases-pages").hidden = rows.length <= PAGE;
  };
  const fromStart = () => { page = 0; showCases(); };
  $("cases-search").addEventListener("input", fromStart);
  $("cases-class").addEventListener("change", fromStart);
  $("cases-before").addEventListener("click", () => { page--; showCases(); });
  $("cases-next").addEventListener("click", () => { page++; showCases(); });
  $("cases-controls").hidden = false;

  // The contents follow the reader.
  const links = new Map([...document.querySelectorAll("body > nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
    const first = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) {
      if (id === first) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-10% 0px -60% 0px" });
  for (const id of links.keys()) watch.observe($(id));

  // On paper everything that is folded is open.
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("main details:not([open])")) { part.open = true; closed.push(part); }
    for (const image of document.images) image.loading = "eager";
    redraw();
  });
  addEventListener("afterprint", () => { for (const part of closed.splice(0)) part.open = false; redraw(); });

  redraw();
  showCases();
})();
