"use strict";
(() => {
  const at = (name) => document.getElementById(`viewer-${name}`);
  const settings = JSON.parse(at("settings").textContent);
  const { titles, hu, steps, scale } = settings;
  const ends = scale.ends.map(Math.log2);
  const TYPES = { axial: 0, coronal: 1, sagittal: 2, multi: 3, render: 4 };
  const ROW = 3, GRID = 2, NARROW_PX = 640;
  const [stage, canvas] = [at("stage"), at("canvas")];
  let nv = null, shown = null, wanted = 0, telling = 0, painting = 0, marked = "";

  const unable = (sentence) => {
    at("unable").textContent = sentence;
    at("unable").hidden = false;
    at("body").hidden = true;
  };
  const minus = (text) => String(text).replace("-", "−");
  const limit = (value, low, high) => Math.min(high, Math.max(low, value));
  const view = () => at("view").value;

  // ---- one case, from the page's text to arrays

  const decode = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  };

  const bounds = (lungs, [nx, ny]) => {
    let [x0, x1, z0, z1] = [Infinity, -1, Infinity, -1];
    for (let i = 0; i < lungs.length; i++) {
      if (!lungs[i]) continue;
      const x = i % nx, z = Math.floor(i / (nx * ny));
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (z < z0) z0 = z;
      if (z > z1) z1 = z;
    }
    return { x0, x1, z0, z1 };
  };

  // Colours are interpolated between voxels: those just outside the lungs get the colour of a neighbour, fully
  // transparent, or the lungs would have a dark seam.
  const seam = (lungs, [nx, ny, nz]) => {
    const source = new Int32Array(lungs.length).fill(-1);
    for (let z = 0, i = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++) {
      if (!lungs[i] || (x && y && z && lungs[i - 1] && lungs[i + 1] && lungs[i - nx] && lungs[i + nx] && lungs[i - nx * ny] && lungs[i + nx * ny])) continue;
      for (let dz = -1; dz <= 1; dz++) for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) {
        if (x + dx < 0 || x + dx >= nx || y + dy < 0 || y + dy >= ny || z + dz < 0 || z + dz >= nz) continue;
        const j = i + dx + nx * (dy + ny * dz);
        if (!lungs[j]) source[j] = i;
      }
    }
    const outside = Int32Array.from(source.keys()).filter((j) => source[j] >= 0);
    return [outside, outside.map((j) => source[j])];
  };

  const open = async (index) => {
    const [ctFile, mapsFile, winnerFile] = await Promise.all(JSON.parse(at(`volumes-${index}`).textContent).map(decode));
    const header = new DataView(ctFile);
    const dims = [42, 44, 46].map((offset) => header.getInt16(offset, true));
    const affine = [280, 296, 312].map((row) => [0, 4, 8, 12].map((column) => header.getFloat32(row + column, true)));
    const size = dims[0] * dims[1] * dims[2];
    const maps = titles.map((_, k) => new Uint8Array(mapsFile, 352 + k * size, size));
    const ct = new Uint8Array(ctFile, 352, size), winner = new Uint8Array(winnerFile, 352, size);
    const spacing = [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis])));
    return {
      ...settings.cases[index], index, dims, affine, spacing, maps, ct, ctFile, winner,
      seam: seam(maps[0], dims), box: bounds(maps[0], dims),
    };
  };

  const colouredFile = (ctFile, size) => {
    const file = new ArrayBuffer(352 + 4 * size);
    new Uint8Array(file).set(new Uint8Array(ctFile, 0, 352));
    const header = new DataView(file);
    header.setInt16(70, 2304, true); // RGBA
    header.setInt16(72, 32, true);
    header.setFloat32(112, 1, true);
    header.setFloat32(116, 0, true);
    return file;
  };

  const load = async (index) => {
    wanted = index;
    stage.setAttribute("aria-busy", "true");
    shown = null;
    const opened = await open(index);
    if (wanted !== index) return; // another case was chosen meanwhile
    const ct = await niivue.NVImage.new(opened.ctFile.slice(0), "ct.nii", "gray", 1, null, ...settings.windows.lung);
    const size = opened.ct.length;
    const map = await niivue.NVImage.new(colouredFile(opened.ctFile, size), "map.nii", "gray", 1);
    if (wanted !== index) return;
    shown = opened;
    atOnce(() => put(ct, map));
    stage.removeAttribute("aria-busy");
  };

  const put = (ct, map) => {
    while (nv.volumes.length) nv.removeVolume(nv.volumes[nv.volumes.length - 1]);
    nv.closeDrawing();
    nv.addVolume(ct);
    nv.addVolume(map);
    nv.createEmptyDrawing();
    offerMaps();
    for (const [axis, n] of [["x", 0], ["y", 1], ["z", 2]]) at(axis).max = shown.dims[n];
    at("note").textContent = shown.note;
    at("size").textContent = shown.spacing.map((step) => step.toFixed(1)).join(" × ") + " mm";
    aim(shown.start);
    rearrange();
    repaint();
  };

  const offerMaps = () => {
    const chooser = at("map"), kept = chooser.value;
    const options = [...chooser.options].sort((a, b) => rank(a.value) - rank(b.value));
    for (const option of options) {
      const own = Number(option.value) === shown.own;
      if (option.value in titles) option.textContent = titles[option.value] + (own ? " ◂ the case’s own" : "");
      chooser.append(option);
    }
    chooser.value = kept === "winner" || kept === "none" ? kept : String(shown.own);
  };
  const rank = (value) => ({ winner: titles.length, none: titles.length + 1 })[value] ?? (Number(value) === shown.own ? -1 : Number(value));

  // ---- colours

  const threshold = () => {
    const step = Number(at("threshold").value);
    return step ? 2 ** (ends[0] + (step / 16) * (ends[1] - ends[0])) : 0;
  };

  const rgba = ([red, green, blue], opacity) => (red | (green << 8) | (blue << 16) | (Math.round(255 * opacity) << 24)) >>> 0;

  const colourOf = (stored, strength, least, fixed) => {
    const times = ((stored - 1) / steps) * titles.length;
    const place = limit((Math.log2(times) - ends[0]) / (ends[1] - ends[0]), 0, 1);
    const seen = times >= least ? strength : 0;
    const opacity = fixed ? fixed[3] / 255 : scale.opacity[0] + (scale.opacity[1] - scale.opacity[0]) * place;
    const in3D = fixed ? 0.12 : 0.25 * place * place; // light goes through many voxels
    return rgba(fixed ?? settings.heat[Math.round(255 * place)], seen * (view() === "render" ? in3D : opacity));
  };

  const table = (fixed) => {
    const strength = Number(at("opacity").value) / 100, least = threshold();
    return Uint32Array.from({ length: 256 }, (_, stored) => (stored ? colourOf(stored, strength, least, fixed) : 0));
  };

  const coloured = () => {
    const out = new Uint32Array(shown.ct.length), chosen = at("map").value;
    if (chosen === "winner") {
      const tables = settings.winner.map(table), { maps, winner } = shown;
      for (let i = 0; i < out.length; i++) if (winner[i]) out[i] = tables[winner[i] - 1][maps[winner[i] - 1][i]];
    } else if (chosen !== "none") {
      const colours = table(null), map = shown.maps[Number(chosen)];
      for (let i = 0; i < out.length; i++) out[i] = colours[map[i]];
    }
    if (view() === "render") addGhost(out);
    const [outside, inside] = shown.seam;
    for (let i = 0; i < outside.length; i++) out[outside[i]] = out[inside[i]] & 0xffffff;
    return out;
  };

  // In 3D, voxels of the lungs without a colour are grey mist, denser where vessels are.
  const addGhost = (out) => {
    const mist = Uint32Array.from({ length: 256 }, (_, stored) => rgba([225, 230, 235], 0.012 + 0.25 * limit((hu.floor + hu.step * stored + 750) / 700, 0, 1)));
    const lungs = shown.maps[0];
    for (let i = 0; i < out.length; i++) if (lungs[i] && out[i] >>> 24 < mist[shown.ct[i]] >>> 24) out[i] = mist[shown.ct[i]];
  };

  // NiiVue draws after every single change, which in 3D takes a processor seconds: several changes, then one drawing.
  const atOnce = (change) => {
    nv.isBusy = true;
    change();
    nv.isBusy = false;
    nv.drawScene();
  };

  const paint = () => shown && atOnce(repaint);

  const repaint = () => {
    const in3D = view() === "render", [ct, map] = nv.volumes;
    // In 3D the chest would hide the lungs.
    ct.img = in3D ? new Uint8Array(shown.ct.length) : shown.ct;
    [ct.cal_min, ct.cal_max] = in3D ? [0, 1] : settings.windows[at("window").value];
    map.img = new Uint8Array(coloured().buffer);
    outline(false);
    nv.updateGLVolume();
    legend();
    report();
  };

  const outline = (redraw) => {
    const drawn = at("outline").checked && view() !== "render";
    // What is drawn is all that is not lung, and only its rim is seen, one pixel wide, just outside of the colours.
    nv.drawBitmap = Uint8Array.from(shown.maps[0], (stored) => (drawn && !stored ? 1 : 0));
    nv.refreshDrawing(redraw);
  };

  const legend = () => {
    const chosen = at("map").value;
    at("scale").hidden = chosen === "winner" || chosen === "none";
    at("classes").hidden = chosen !== "winner";
    at("plain").hidden = chosen !== "none";
    at("opacity-value").textContent = `${at("opacity").value} %`;
    const least = threshold(), said = least ? `${+least.toFixed(2)} × chance` : "nothing";
    at("threshold-value").textContent = said;
    at("threshold").setAttribute("aria-valuetext", said);
    at("opacity").setAttribute("aria-valuetext", `${at("opacity").value} percent`);
  };

  // ---- where one is

  const voxel = () => shown.dims.map((n, axis) => limit(Math.floor(nv.scene.crosshairPos[axis] * n), 0, n - 1));

  const aim = (place) => {
    nv.scene.crosshairPos = place.map((index, axis) => (limit(index, 0, shown.dims[axis] - 1) + 0.5) / shown.dims[axis]);
  };

  const go = (place) => {
    aim(place);
    nv.drawScene();
    report();
  };

  const move = (axis, by) => {
    const place = voxel();
    place[axis] += by;
    go(place);
  };

  const report = () => {
    if (!shown) return;
    const place = voxel(), [x, y, z] = place, index = x + shown.dims[0] * (y + shown.dims[1] * z);
    for (const [axis, n] of [["x", 0], ["y", 1], ["z", 2]]) {
      at(axis).value = place[n] + 1;
      at(`${axis}-value`).textContent = `${place[n] + 1} of ${shown.dims[n]}`;
    }
    const chosen = at("map").value, winner = shown.winner[index] - 1;
    const k = chosen === "winner" && winner >= 0 ? winner : chosen in titles ? Number(chosen) : shown.own;
    const stored = shown.maps[k][index], inside = stored > 0;
    const ras = shown.affine.map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
    const mm = [-ras[0], -ras[1], ras[2]].map((value) => minus(value.toFixed(1)));
    const probability = (stored - 1) / steps;
    const edge = { 0: "≤ ", 255: "≥ " }[shown.ct[index]] ?? ""; // what is stored ends there
    const density = `${edge}${minus(hu.floor + hu.step * shown.ct[index])} HU`;
    const chance = inside ? `${(100 * probability).toFixed(1)} %, ${(probability * titles.length).toFixed(2)} × chance` : "none outside the lungs";
    at("hu").textContent = density;
    at("probability-name").textContent = `Probability of ${titles[k]}`;
    at("probability").textContent = chance;
    const where = region(inside, x, z);
    at("region").textContent = where;
    at("mm").textContent = mm.join(", ");
    clearTimeout(telling);
    telling = setTimeout(() => tell(k, density, chance, where), 400);
  };

  const region = (inside, x, z) => {
    if (!inside) return "outside the lungs";
    const { x0, x1, z0, z1 } = shown.box;
    const third = ["lower", "middle", "upper"][limit(Math.floor((3 * (z - z0)) / (z1 - z0 + 1)), 0, 2)];
    return `${2 * x > x0 + x1 ? "right" : "left"} side, ${third} third`;
  };

  const tell = (k, density, chance, where) => {
    if (!shown) return;
    const seen = { multi: "Axial, coronal and sagittal slices", render: "The lungs in 3D" }[view()] ?? `${view()[0].toUpperCase()}${view().slice(1)} slice`;
    const over = { none: "without a map", winner: `coloured by the winning ${settings.kind}` }[at("map").value]
      ?? `with the map of ${titles[k]}${k === shown.own ? ", its own" : ""}`;
    at("seen").textContent = `${seen} of ${shown.title}, ${over}. At the crosshair: ${density}, ${where}; ${titles[k]}: ${chance}.`;
  };

  // ---- how the pictures are arranged

  const arrange = () => shown && atOnce(rearrange);

  const rearrange = () => {
    const [x, y, z] = shown.dims.map((n, axis) => n * shown.spacing[axis]);
    const room = stage.parentElement.clientWidth, wide = room >= NARROW_PX;
    const sizes = {
      axial: [x, y], coronal: [x, z], sagittal: [y, z], render: [1, 0.9],
      multi: wide ? [2 * x + y, Math.max(y, z)] : [x + y, y + z],
    };
    const [width, height] = sizes[view()];
    const px = Math.min((room * height) / width, view() === "render" ? 560 : Math.max(320, 0.72 * window.innerHeight));
    stage.style.height = `${Math.round(px)}px`;
    stage.style.width = `${Math.round((px * width) / height)}px`;
    nv.opts.isOrientCube = view() === "render";
    nv.opts.multiplanarLayout = wide ? ROW : GRID;
    nv.setSliceType(TYPES[view()]);
    for (const label of document.querySelectorAll("#viewer [data-views]")) label.hidden = !label.dataset.views.split(" ").includes(view());
    for (const name of ["window", "outline"]) at(name).disabled = view() === "render";
    turn();
  };

  // Which side of the patient is at the left, right, upper and lower edge of each plane, in NiiVue's order of planes.
  const EDGES = [["axial", "R", "L", "A", "P"], ["coronal", "R", "L", "S", "I"], ["sagittal", "A", "P", "S", "I"]];

  const mark = () => {
    const marks = at("marks"), dpr = nv.uiData.dpr || 1, places = JSON.stringify(nv.screenSlices.map((tile) => [tile.axCorSag, ...tile.leftTopWidthHeight]));
    if (places === marked) return;
    marked = places;
    marks.replaceChildren();
    for (const { axCorSag, leftTopWidthHeight } of nv.screenSlices) {
      if (!(axCorSag in EDGES)) continue;
      const [left, top, width, height] = leftTopWidthHeight.map((px) => px / dpr);
      EDGES[axCorSag].forEach((text, edge) => {
        const [x, y] = [[0, 0], [0, 0.5], [1, 0.5], [0.5, 0], [0.5, 1]][edge];
        const span = document.createElement("span");
        span.textContent = text;
        Object.assign(span.style, { left: `${left + x * width}px`, top: `${top + y * height}px`, transform: `translate(${-100 * x}%, ${-100 * y}%)` });
        marks.append(span);
      });
    }
  };

  const turn = () => {
    nv.setRenderAzimuthElevation(Number(at("turn").value), Number(at("tilt").value));
    sayTurn();
  };

  const sayTurn = () => {
    for (const name of ["turn", "tilt"]) at(`${name}-value`).textContent = `${minus(at(name).value)}°`;
  };

  const spin = (name, by) => {
    const slider = at(name), [low, high] = [Number(slider.min), Number(slider.max)];
    const value = Number(slider.value) + by;
    slider.value = name === "turn" ? (value + 360) % 360 : limit(value, low, high);
    turn();
  };

  // Axis and step: indices run to the patient's right, which is the left of the picture, to the front and upwards.
  const KEYS = {
    axial: { ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [1, 1], ArrowDown: [1, -1], PageUp: [2, 1], PageDown: [2, -1] },
    coronal: { ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [2, 1], ArrowDown: [2, -1], PageUp: [1, 1], PageDown: [1, -1] },
    sagittal: { ArrowLeft: [1, 1], ArrowRight: [1, -1], ArrowUp: [2, 1], ArrowDown: [2, -1], PageUp: [0, 1], PageDown: [0, -1] },
    render: { ArrowLeft: ["turn", -5], ArrowRight: ["turn", 5], ArrowUp: ["tilt", 5], ArrowDown: ["tilt", -5] },
  };

  const onKey = (event) => {
    event.stopImmediatePropagation(); // NiiVue's own keys are letters that readers of a page do not expect
    if (!shown || event.type !== "keydown" || event.ctrlKey || event.altKey || event.metaKey) return;
    const step = KEYS[view() === "multi" ? "axial" : view()][event.key];
    if (event.key === "Home") go(shown.start);
    else if (step) (view() === "render" ? spin : move)(...step);
    else return;
    event.preventDefault();
  };

  // ---- wiring

  const listen = () => {
    const later = () => { clearTimeout(painting); painting = setTimeout(paint, 30); };
    at("case").addEventListener("change", () => show(Number(at("case").value)));
    for (const name of ["map", "window"]) at(name).addEventListener("change", paint);
    for (const name of ["opacity", "threshold"]) at(name).addEventListener("input", later);
    at("outline").addEventListener("change", () => shown && outline(true));
    at("view").addEventListener("change", () => shown && atOnce(() => { rearrange(); repaint(); }));
    at("home").addEventListener("click", () => shown && go(shown.start));
    for (const [axis, n] of [["x", 0], ["y", 1], ["z", 2]])
      at(axis).addEventListener("input", () => shown && move(n, Number(at(axis).value) - 1 - voxel()[n]));
    for (const name of ["turn", "tilt"]) at(name).addEventListener("input", turn);
    for (const kind of ["keydown", "keyup"]) canvas.addEventListener(kind, onKey, true);
    canvas.addEventListener("dblclick", (event) => event.stopImmediatePropagation(), true);
    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    canvas.addEventListener("wheel", (event) => document.activeElement === canvas || event.stopImmediatePropagation(), true);
    canvas.addEventListener("webglcontextlost", () => unable("The browser has taken the graphics from the 3D viewer; load the page again to have it back."));
  };

  const begin = async () => {
    listen();
    nv = new niivue.Niivue({
      logLevel: "silent", loadingText: "", dragAndDropEnabled: false, backColor: [0, 0, 0, 1], crosshairColor: [0.34, 0.71, 0.91, 0.9],
      crosshairWidth: 0.8, crosshairWidthUnit: "mm", crosshairGap: 12, isRadiologicalConvention: true, sagittalNoseLeft: true, isForceMouseClickToVoxelCenters: true,
      multiplanarShowRender: 0, multiplanarPadPixels: 4, dragMode: 0, isOrientationTextVisible: false,
    });
    await nv.attachToCanvas(canvas, true);
    const outlineColour = [1, 3, 5].map((from) => parseInt(settings.outline.slice(from, from + 2), 16));
    nv.setDrawColormap({ R: [0, outlineColour[0]], G: [0, outlineColour[1]], B: [0, outlineColour[2]], A: [0, 255], I: [0, 1], labels: ["", ""] });
    nv.drawOpacity = 0.004; // not seen, and not 0, or there would be no rim
    nv.drawRimOpacity = 0.9;
    nv.onLocationChange = report;
    const draw = nv.drawScene.bind(nv);
    nv.drawScene = () => {
      if (!at("canvas").clientWidth) return;  // in print it is not there, and WebGL would complain of its size
      draw();
      mark();
    };
    new ResizeObserver(() => { arrange(); requestAnimationFrame(mark); }).observe(stage.parentElement);
    await load(Number(at("case").value));
  };

  const failed = () => unable("The 3D viewer cannot show this case: the page is damaged, or the browser has too little memory. The pictures of this page show the same cases.");
  const show = (index) => load(index).catch(failed);

  const possible = () => {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context) && typeof DecompressionStream === "function";
  };

  if (!possible()) {
    unable("The 3D viewer needs WebGL 2, which this browser does not have or has switched off. The pictures of this page show the same cases.");
    return;
  }
  at("body").hidden = false;
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    begin().catch(failed);
  }, { rootMargin: "200px" });
  watch.observe(stage);
})();
