// The inspector's front end: a strip of layers per file, the error along it, and the chosen layer opened.
// It draws the JSON that Python computed (effnet_lab/view/inspector/payload.py says what is in it) and computes nothing again.
// Homes: an anywidget (render), and an HTML file without a kernel (mount).

const SVG = "http://www.w3.org/2000/svg";
const STRIP_PX = 44; // height of a strip
const CURVE_PX = 150;
const LABEL = 20; // characters of a label beside a strip
const MANY = 120; // layers: beyond it a cell is narrower than its mark
const MARKS = { // verdict -> shape over its cell; colour alone is never the message
  clipped: "▲", "wasted range": "▽", "outlier channel": "◆", dead: "✕", bimodal: "◇",
  "unlike residual": "⬓", defective: "■", coarse: "△", upstream: "·", healthy: "",
};
// cividis, eleven steps: told apart by every kind of colour vision, and by its lightness alone
const SCALE = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#f3dc4b", "#fee838"];

const STATE = ["layer", "picture", "channel", "metric", "opacity"]; // what a home can set, and is told of
const CHIPS = { int8: "8", "int8-per-tensor": "t", int4: "4", int16x8: "16", float32: "f" };
const SCOPES = { layer: "this layer", block: "its whole block", op: "all of this op", after: "everything from here on" };
const CHANGES = ["flip", "undo", "redo", "recipe"]; // questions that set switches; "state" answers them
const RESULTS = [ // what a state of the switches gives: words, how to write it
  ["SQNR of the logits", (one) => format(one.sqnr_db, "dB")],
  ["same answer as float", (one) => share(one.agreement)],
  ["top-1", (one) => (one.top1 === null ? "no labels" : `${share(one.top1)} (${share(one.top1_lo)} to ${share(one.top1_hi)})`)],
  ["file", (one) => `${(one.size_bytes / 1024).toFixed(1)} KiB`],
  ["arena, planned", (one) => `${(one.arena_bytes / 1024).toFixed(1)} KiB`],
];

export function mount(root, data, ask = null) {
  return new Inspector(root, data, ask);
}

export default {
  render({ model, el }) {
    const read = () => ({ ...model.get("payload"), answers: model.get("answers") }); // and what was said before this view was there
    const inspector = mount(el, read()); // to be read, until somebody says that he is here: a saved notebook has no kernel
    let telling = false; // what this view says itself it need not hear: it would be drawn anew, and lose the focus
    const move = () => { if (!telling) inspector.move(Object.fromEntries(STATE.map((name) => [name, model.get(name)]))); };
    const meet = () => { inspector.ask = (question) => model.send(question); inspector.load(read()); move(); };
    const listen = (answer) => (answer.kind === "here" ? meet() : inspector.hear(answer));
    inspector.onmove = (name, value) => { telling = true; model.set(name, value); telling = false; model.save_changes(); };
    model.on("change:payload", () => inspector.load(read()));
    for (const name of STATE) model.on(`change:${name}`, move);
    model.on("msg:custom", listen);
    move();
    if (model.get("live")) model.send({ kind: "open" });
    return () => { for (const event of ["change:payload", ...STATE.map((name) => `change:${name}`), "msg:custom"]) model.off(event); inspector.close(); };
  },
};

// ---------------------------------------------------------------------------------------------------------------- helpers

function tag(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  return fill(element, attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null)); // text nodes only: names are never read as markup
  return element;
}

function markClass(verdict) {
  return verdict === "upstream" ? "mark small" : "mark"; // many, and none of their own making
}

function format(value, unit = "") {
  if (value === null || value === undefined) return "not measured";
  if (typeof value === "string") return value.replace("inf", "∞"); // "inf", "-inf"
  const size = Math.abs(value);
  const text = unit === "dB" ? value.toFixed(1) : value === 0 ? "0" : size >= 1e6 || size < 1e-3 ? value.toExponential(2)
    : size >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3).replace(/\.?0+$/, "");
  return unit ? `${text} ${unit}` : text;
}

function withUnit(value, unit) { // a round number
  return unit ? `${value} ${unit}` : String(value);
}

function whole(text) { // a line does not end within the name of an option
  return text.split(/(--[a-z-]+)/).map((part, i) => (i % 2 ? tag("span", { style: "white-space:nowrap" }, part) : part));
}

function number(value) {
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  return value === null || value === undefined ? NaN : value;
}

function shade(metric, value) {
  const v = number(value);
  if (Number.isNaN(v)) return null;
  let share = (v - metric.low) / (metric.high - metric.low);
  if (metric.better === "higher") share = 1 - share; // bright is bad: it is what one looks for
  return SCALE[Math.round(Math.min(1, Math.max(0, share)) * (SCALE.length - 1))];
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// -------------------------------------------------------------------------------------------------------------- inspector

class Inspector {
  constructor(root, data, ask) {
    this.root = root;
    this.ask = ask;
    this.onmove = () => {};
    this.live = {}; // what the other side has said last, by kind
    this.times = {}; // and the latency of each recipe
    this.unheard = 0; // changes of the switches that it has not answered: an outcome that comes now is of an earlier state
    this.id = `effnet-${Math.random().toString(36).slice(2)}`;
    root.classList.add("effnet-inspector");
    // JupyterLab's keys without Ctrl (X: cut the cell) are not meant here; those with Ctrl (S: save) are
    this.claim = ({ target, ctrlKey, metaKey }) => { if (root.contains(target)) target.toggleAttribute("data-lm-suppress-shortcuts", !ctrlKey && !metaKey); };
    window.addEventListener("keydown", this.claim, true); // before JupyterLab, which listens at the document
    this.load(data);
  }

  load(data) {
    this.data = data;
    this.metric = data.metrics[0];
    this.even = true;
    this.picture = 0;
    this.channel = -1; // none
    this.opacity = 0.7;
    this.names = aligned(data.files);
    this.at = 0;
    this.build();
    this.select(data.open ?? this.worst(), { tell: false });
    Object.values(data.answers ?? {}).forEach((answer) => this.hear(answer));
  }

  close() {
    window.removeEventListener("keydown", this.claim, true);
    this.root.replaceChildren();
  }

  worst() {
    let found = this.names[0], least = Infinity;
    const sign = this.metric.better === "higher" ? 1 : -1;
    for (const layer of this.data.files[0].layers) {
      const value = sign * number(layer.values[this.metric.id]);
      if (value < least) { least = value; found = layer.name; }
    }
    return found;
  }

  // ------------------------------------------------------------------------------------------------------------- skeleton

  build() {
    this.strips = tag("div", { class: "strips" });
    this.curve = tag("div", { class: "curve" });
    this.panel = tag("section", { class: "layer", "aria-live": "polite", "aria-label": "the chosen layer" });
    this.gallery = tag("section", { class: "pictures", "aria-label": "pictures" });
    this.setters = tag("section", { class: "setters", "aria-label": "calibration images" });
    this.root.replaceChildren(...[this.header(), this.controls(), this.strips, this.curve, this.ask || this.data.answers?.outcome ? this.whatIf() : null,
      tag("div", { class: "opened" }, this.panel, tag("div", {}, this.gallery, this.setters))].filter(Boolean));
    this.strips.addEventListener("keydown", (event) => this.key(event));
    this.drawStrips();
    this.drawPictures();
  }

  header() {
    const lines = this.data.files.map((file) => tag("li", {}, tag("strong", {}, file.label), " ", ...whole(file.summary)));
    return tag("header", {}, tag("ul", { class: "files" }, ...lines));
  }

  controls() {
    const metric = this.measureBox = tag("select", { onchange: (event) => this.measure(event.target.value) },
      ...this.data.metrics.map((one) => tag("option", { value: one.id }, `${one.title}${one.unit ? ` (${one.unit})` : ""}`)));
    const width = tag("select", { onchange: (event) => { this.even = event.target.value === "even"; this.drawStrips(); this.mark(); } },
      tag("option", { value: "even" }, "all layers alike"), tag("option", { value: "madds" }, "by share of MAdds"));
    this.search = tag("input", { type: "search", list: "effnet-layers", placeholder: "type to find a layer", "aria-label": "find a layer",
      oninput: (event) => this.find(event.target.value), onkeydown: (event) => { if (event.key === "Enter") this.find(event.target.value, true); } });
    const names = tag("datalist", { id: "effnet-layers" }, ...this.names.slice(0, 2000).map((name) => tag("option", { value: name })));
    return tag("div", { class: "controls" }, tag("label", {}, "colour: ", metric), tag("label", {}, "width: ", width), this.search, names, this.legend(), this.verdicts());
  }

  verdicts() { // what the marks over the cells mean
    const met = new Set(this.data.files.flatMap((file) => file.layers.map((layer) => layer.verdict)));
    const shown = Object.keys(MARKS).filter((verdict) => MARKS[verdict] && met.has(verdict));
    if (shown.length && this.names.length > MANY) return tag("span", { class: "verdicts" }, tag("span", {}, tag("b", { class: "mark small fault" }), " a fault of its own"));
    return shown.length ? tag("span", { class: "verdicts" }, ...shown.map((verdict) => tag("span", {}, tag("b", { class: markClass(verdict) }, MARKS[verdict]), ` ${verdict}`))) : null;
  }

  legend() {
    this.ends = [tag("span"), tag("span")];
    const steps = SCALE.map((color) => tag("i", { style: `background:${color}` }));
    this.labelLegend();
    return tag("span", { class: "legend" }, this.ends[0], ...steps, this.ends[1]);
  }

  labelLegend() {
    const { metric } = this, [good, bad] = metric.better === "higher" ? [metric.high, metric.low] : [metric.low, metric.high];
    this.ends[0].textContent = `${withUnit(good, metric.unit)} good`;
    this.ends[1].textContent = `bad ${withUnit(bad, metric.unit)}`;
  }

  // ---------------------------------------------------------------------------------------------------------------- strips

  places() { // left end and width of each aligned layer, in shares of the strip
    const weights = this.names.map((name) => {
      if (this.even) return 1;
      const most = Math.max(...this.data.files.map((file) => find(file, name)?.madds ?? 0));
      return most;
    });
    const least = weights.reduce((sum, weight) => sum + weight, 0) / this.names.length / 8; // what has no MAdds can still be clicked
    const wide = weights.map((weight) => Math.max(weight, least)), total = wide.reduce((sum, weight) => sum + weight, 0);
    let left = 0;
    return wide.map((weight) => { const place = { left: left / total, width: weight / total }; left += weight; return place; });
  }

  drawStrips() {
    this.place = this.places();
    this.labels = labelsOf(this.data.files);
    const rows = this.data.files.map((file, row) => this.strip(file, row));
    rows.push(...this.data.files.slice(1).map((file, i) => this.difference(file, ["second", "third", "fourth"][i])));
    this.strips.replaceChildren(...rows);
    this.drawCurve();
  }

  strip(file, row) {
    const cells = this.names.map((name, i) => this.cell(file, row, name, i));
    const arcs = this.arcs(file), blocks = row === this.data.files.length - 1 ? this.blocks(file) : [];
    const svg = draw("svg", { class: "strip", viewBox: `0 0 1000 ${STRIP_PX + 24}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...arcs, ...cells, ...blocks);
    const marks = tag("div", { class: "marks", "aria-hidden": "true" }, ...this.names.map((name, i) => this.verdictMark(file, name, i)).filter(Boolean));
    const list = tag("div", { class: "track", role: "slider", tabindex: "0", "aria-label": `layers of ${file.label}`, "aria-valuemin": "0",
      "aria-valuemax": String(this.names.length - 1), "aria-valuenow": "0", "data-row": String(row) }, svg, marks, row === 0 ? tag("div", { class: "chips", "aria-hidden": "true" }, ...this.chips()) : null);
    const key = this.data.files.length > 1 ? `name key line${row}` : "name"; // the colour of its curve
    return tag("div", { class: "file" }, tag("span", { class: key, title: file.label }, this.labels[row]), list);
  }

  cell(file, row, name, i) {
    const layer = find(file, name), { left, width } = this.place[i];
    const color = layer ? shade(this.metric, layer.values[this.metric.id]) : null;
    const words = layer ? `${name}: ${layer.op}, ${format(layer.values[this.metric.id], this.metric.unit)}, ${layer.verdict}` : `${name}: not in this file`;
    return draw("rect", { class: color ? "cell" : "cell empty", x: left * 1000, y: 16, width: width * 1000, height: STRIP_PX - 16, fill: color ?? "none",
      "data-layer": i, "data-row": row, onclick: () => this.select(name) }, draw("title", {}, words));
  }

  verdictMark(file, name, i) {
    const verdict = find(file, name)?.verdict, mark = MARKS[verdict] ?? "", narrow = this.names.length > MANY;
    if (!mark || (narrow && verdict === "upstream")) return null;
    const { left, width } = this.place[i];
    return tag("span", { class: narrow ? "mark small fault" : markClass(verdict), style: `left:${100 * (left + width / 2)}%` }, mark);
  }

  arcs(file) { // residual connections: what a layer reads that does not stand right before it
    const at = new Map(this.names.map((name, i) => [name, i])), found = [];
    for (const layer of file.layers) {
      const to = at.get(layer.name);
      for (const parent of layer.parents) {
        const from = at.get(parent);
        if (from === undefined || to - from < 2) continue;
        const [a, b] = [from, to].map((i) => 1000 * (this.place[i].left + this.place[i].width / 2));
        found.push(draw("path", { class: "skip", d: `M ${a} 16 C ${a} 2, ${b} 2, ${b} 16` }));
      }
    }
    return found;
  }

  blocks(file) {
    const runs = [];
    this.names.forEach((name, i) => {
      const block = find(file, name)?.block ?? "";
      const last = runs.at(-1);
      if (last && last.block === block) last.end = i;
      else runs.push({ block, start: i, end: i });
    });
    return runs.filter((run) => run.block).map((run) => {
      const left = this.place[run.start].left * 1000, right = (this.place[run.end].left + this.place[run.end].width) * 1000;
      return draw("path", { class: "block", d: `M ${left + 1} ${STRIP_PX + 3} v 5 H ${right - 1} v -5` }, draw("title", {}, run.block));
    });
  }

  difference(b, which) { // of a file from the first one
    const [a] = this.data.files, metric = this.metric, half = (metric.high - metric.low) / 2;
    const cells = this.names.map((name, i) => {
      const values = [a, b].map((file) => number(find(file, name)?.values[metric.id]));
      const gain = (values[1] - values[0]) * (metric.better === "higher" ? 1 : -1), { left, width } = this.place[i];
      const color = Number.isFinite(gain) ? (gain >= 0 ? "#0072b2" : "#d55e00") : "none";
      return draw("rect", { class: "cell", x: left * 1000, y: 4, width: width * 1000, height: 18, fill: color, "fill-opacity": Math.min(1, Math.abs(gain) / half) || 0,
        onclick: () => this.select(name) }, draw("title", {}, `${name}: ${b.label} is ${format(Math.abs(gain), metric.unit)} ${gain >= 0 ? "better" : "worse"}`));
    });
    const svg = draw("svg", { class: "strip thin", viewBox: "0 0 1000 26", preserveAspectRatio: "none", "aria-hidden": "true" }, ...cells);
    return tag("div", { class: "file" }, tag("span", { class: "name" }, `${which} less first`), tag("div", { class: "track" }, svg));
  }

  // ----------------------------------------------------------------------------------------------------------------- curve

  drawCurve() {
    const { metric } = this, floor = metric.low, span = metric.high - metric.low;
    const y = (value) => CURVE_PX - 10 - (CURVE_PX - 20) * Math.min(1, Math.max(0, (number(value) - floor) / span));
    const x = (i) => 1000 * (this.place[i].left + this.place[i].width / 2);
    const lines = this.data.files.flatMap((file, row) => {
      const points = this.names.map((name, i) => [i, find(file, name)?.values[metric.id]]).filter(([, value]) => !Number.isNaN(number(value)));
      const path = points.map(([i, value], n) => `${n ? "L" : "M"} ${x(i)} ${y(value)}`).join(" ");
      const dots = points.map(([i, value]) => draw("circle", { class: `dot line${row}`, cx: x(i), cy: y(value), r: 3, onclick: () => this.select(this.names[i]) },
        draw("title", {}, `${this.names[i]}: ${format(value, metric.unit)}`)));
      return [draw("path", { class: `line line${row}`, d: path }), ...dots];
    });
    this.cursor = draw("line", { class: "cursor", y1: 0, y2: CURVE_PX });
    const svg = draw("svg", { viewBox: `0 0 1000 ${CURVE_PX}`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.cursor, ...lines);
    const words = [metric.high, metric.low].map((value) => tag("span", {}, withUnit(value, metric.unit)));
    this.curve.replaceChildren(tag("div", { class: "scale" }, ...words), svg);
  }

  // ------------------------------------------------------------------------------------------------------------- selection

  measure(id, { tell = true } = {}) {
    if (tell) this.onmove("metric", id);
    this.metric = this.data.metrics.find((metric) => metric.id === id);
    this.labelLegend();
    this.drawStrips();
    this.mark();
    this.open();
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const last = this.names.length - 1;
    const to = event.key === "Home" ? 0 : event.key === "End" ? last : step ? Math.min(last, Math.max(0, this.at + step)) : null;
    if (to !== null) { event.preventDefault(); this.select(this.names[to]); }
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) this.search.focus();
  }

  find(text, whole = false) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return;
    const found = this.names.find((name) => name.toLowerCase() === wanted) ?? (whole || wanted.length > 2 ? this.names.find((name) => name.toLowerCase().includes(wanted)) : null);
    if (found) this.select(found);
  }

  select(name, { tell = true } = {}) {
    const at = this.names.indexOf(name);
    if (at < 0) return;
    if (at !== this.at) this.channel = -1;
    this.at = at;
    this.mark();
    this.open();
    this.drawSwitch();
    this.askRange();
    if (tell) { this.onmove("layer", name); this.onmove("channel", this.channel); }
  }

  move(state) { // all at once, as a home sets it
    if (state.metric && this.data.metrics.some((one) => one.id === state.metric) && state.metric !== this.metric.id) { this.measureBox.value = state.metric; this.measure(state.metric, { tell: false }); }
    if (state.opacity >= 0) this.opacity = state.opacity;
    if (state.picture >= 0 && state.picture < this.data.files[0].pictures.length) this.picture = state.picture;
    if (this.names.includes(state.layer)) this.select(state.layer, { tell: false });
    this.channel = state.channel ?? -1;
    this.drawPictures();
    this.open();
  }

  choosePicture(i) {
    this.picture = i;
    this.drawPictures();
    this.open();
    this.gallery.querySelector(".chosen")?.focus();
    this.onmove("picture", i);
  }

  chooseChannel(index) {
    this.channel = this.channel === index ? -1 : index;
    this.open();
    this.panel.querySelector(`button[data-channel="${index}"]`)?.focus();
    this.onmove("channel", this.channel);
  }

  mark() {
    const { left, width } = this.place[this.at];
    for (const cell of this.strips.querySelectorAll(".chosen")) cell.classList.remove("chosen");
    for (const cell of this.strips.querySelectorAll(`[data-layer="${this.at}"]`)) cell.classList.add("chosen");
    for (const track of this.strips.querySelectorAll("[role=slider]")) {
      const layer = find(this.data.files[Number(track.dataset.row)], this.names[this.at]);
      track.setAttribute("aria-valuenow", String(this.at));
      track.setAttribute("aria-valuetext", `${this.names[this.at]}, ${layer ? layer.verdict : "not in this file"}`);
    }
    const middle = 1000 * (left + width / 2);
    this.cursor.setAttribute("x1", middle);
    this.cursor.setAttribute("x2", middle);
  }

  // -------------------------------------------------------------------------------------------------------- the layer opened

  open() {
    const name = this.names[this.at];
    const cards = this.data.files.map((file) => this.card(file, find(file, name)));
    this.panel.replaceChildren(tag("h2", {}, name), tag("div", { class: cards.length === 1 ? "cards one" : "cards" }, ...cards));
  }

  card(file, layer) {
    const title = this.data.files.length > 1 ? tag("h3", {}, file.label) : null;
    if (!layer) return tag("article", {}, title, tag("p", {}, "This file does not have the layer."));
    const facts = layer.facts.map(([what, value]) => [tag("dt", {}, what), tag("dd", {}, value)]).flat();
    const verdict = tag("p", { class: "verdict" }, tag("strong", {}, `${MARKS[layer.verdict] ?? ""} ${layer.verdict}. `), layer.sentence);
    const noMap = this.noMap(file, layer);
    const words = tag("div", { class: "words" }, title, verdict, ...[layer.remedy, layer.notes, noMap].map((said) => (said ? tag("p", { class: "notes" }, said) : null)));
    return tag("article", { class: noMap ? "flat" : null }, words, noMap ? null : this.map(file, layer), histogram(layer, this.channel), tag("dl", {}, ...facts), channels(layer, this.channel, (index) => this.chooseChannel(index)), steps(layer));
  }

  noMap(file, layer) {
    if (!file.pictures.length) return "This network takes no pictures, so there is no error map.";
    return layer.maps?.[this.picture] ? "" : "This layer has no map: its output has no height and width.";
  }

  map(file, layer) {
    const picture = file.pictures[this.picture], found = layer.maps[this.picture];
    const canvas = tag("canvas", { width: found.width, height: found.height, style: `opacity:${this.opacity}` });
    paint(canvas, found);
    const slider = tag("input", { type: "range", min: 0, max: 100, value: 100 * this.opacity, "aria-label": "opacity of the error map",
      oninput: (event) => { this.opacity = event.target.value / 100; canvas.style.opacity = this.opacity; }, onchange: () => this.onmove("opacity", this.opacity) });
    const photo = tag("div", { class: "map", onclick: (event) => this.pick(event, file, layer, found) }, tag("img", { src: picture.thumb, alt: `photograph ${picture.name}` }), canvas);
    return tag("figure", {}, tag("figcaption", {}, `Where its error lies on ${picture.name}: brightest ${format(found.peak)}`), photo, tag("label", { class: "opacity" }, "map ", slider));
  }

  pick(event, file, layer, map) {
    if (!this.ask) return; // without a kernel there is nobody to walk through another value
    const box = event.currentTarget.getBoundingClientRect();
    const x = Math.floor((map.width * (event.clientX - box.left)) / box.width), y = Math.floor((map.height * (event.clientY - box.top)) / box.height);
    this.ask({ kind: "explain", file: this.data.files.indexOf(file), layer: layer.name, picture: this.picture, y, x, channel: this.channel });
  }

  // --------------------------------------------------------------------------------------------------------------- what if

  whatIf() {
    const button = (words, onclick) => tag("button", { type: "button", onclick }, words);
    const turn = (kind) => () => this.question({ kind });
    this.precisions = tag("fieldset", { class: "precisions" });
    this.scope = tag("select", {}, ...Object.entries(SCOPES).map(([value, words]) => tag("option", { value }, words)));
    this.undo = button("Undo", turn("undo"));
    this.redo = button("Redo", turn("redo"));
    this.compare = tag("button", { type: "button", "aria-pressed": "true", onclick: () => { this.compare.setAttribute("aria-pressed", String(this.compare.getAttribute("aria-pressed") !== "true")); this.drawResult(); } }, "Compare with before");
    this.result = tag("table", { class: "result" });
    this.status = tag("p", { class: "status", role: "status" }, "The network is being opened.");
    this.recipe = tag("textarea", { rows: 2, spellcheck: "false", "aria-label": "recipe: the state of all switches as text" });
    const apply = button("Apply the text", () => this.question({ kind: "recipe", text: this.recipe.value }));
    const copy = button("Copy", () => this.copy()), save = button("Save recipe", () => this.save());
    const measure = button("Measure the latency", turn("measure")), write = button("Write the file", turn("write"));
    if (!this.ask) { // a state that was kept: to be read
      this.recipe.readOnly = true;
      this.status.textContent = "The state of the switches when this was saved; in a live notebook they can be set.";
      return tag("section", { class: "what-if", "aria-label": "what if" }, tag("h2", {}, "With other precisions"), this.status, this.result, tag("div", { class: "row" }, this.recipe, copy));
    }
    return tag("section", { class: "what-if", "aria-label": "what if" }, tag("h2", {}, "What if this layer had another precision?"),
      tag("div", { class: "row" }, this.precisions, tag("label", {}, "set it for ", this.scope), this.undo, this.redo, this.compare, measure),
      this.status, this.result, tag("div", { class: "row" }, this.recipe, apply, copy, save, write));
  }

  question(question) {
    this.status.textContent = "Working.";
    if (CHANGES.includes(question.kind)) this.unheard += 1;
    this.ask(question);
  }

  copy() {
    const done = () => { this.status.textContent = "Copied."; };
    if (navigator.clipboard) { navigator.clipboard.writeText(this.recipe.value).then(done, () => this.recipe.select()); return; }
    this.recipe.select();
    if (document.execCommand("copy")) done();
  }

  save() {
    const address = URL.createObjectURL(new Blob([`${this.recipe.value}\n`], { type: "text/plain" }));
    tag("a", { href: address, download: "recipe.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  drawSwitch() {
    if (!this.ask) return;
    const name = this.names[this.at], options = this.live.switches?.options[name], chosen = this.live.state?.chosen[name];
    const focused = this.precisions.contains(document.activeElement) ? document.activeElement.value : null;
    const words = !this.live.switches ? this.live.refused?.words ?? "The network is being opened." : options ? null : "This layer is not in the network that is quantized again.";
    const radios = (options ?? []).map(({ format, reason }) => {
      const radio = tag("input", { type: "radio", name: this.id, value: format, disabled: Boolean(reason), checked: format === chosen,
        onchange: () => this.question({ kind: "flip", layer: name, scope: this.scope.value, format }) });
      return tag("label", { class: reason ? "not" : "", title: reason || null }, radio, ` ${format}`, reason ? tag("small", {}, ` (${reason})`) : null);
    });
    this.precisions.replaceChildren(...[tag("legend", {}, `Precision of ${name}`), words, ...radios].filter((one) => one !== null));
    if (focused) this.precisions.querySelector(`input[value="${focused}"]`)?.focus();
    this.undo.disabled = !this.live.state?.can_undo;
    this.redo.disabled = !this.live.state?.can_redo;
  }

  askRange() { // which calibration images set the range of this layer
    if (!this.ask || !this.live.switches) return;
    this.setters.replaceChildren();
    this.ask({ kind: "range", layer: this.names[this.at] });
  }

  hearRange(answer) {
    if (answer.layer !== this.names[this.at] || !answer.images.length) return;
    const shown = answer.images.map((one) => tag("figure", {}, tag("img", { src: one.thumb, alt: one.name }), tag("figcaption", {}, `${one.end} value: ${one.name}`)));
    this.setters.replaceChildren(tag("h3", {}, "The calibration images that set this layer's range"), tag("div", { class: "thumbs" }, ...shown));
  }

  drawResult() {
    const { outcome } = this.live;
    if (!outcome) return;
    const before = this.compare.getAttribute("aria-pressed") === "true" ? outcome.before : null;
    const columns = [["as given", outcome.given], ...(before ? [["before", before]] : []), ["now", outcome.now]];
    const rows = RESULTS.map(([words, write]) => tag("tr", {}, tag("th", { scope: "row" }, words), ...columns.map(([, one]) => tag("td", {}, write(one)))));
    const times = columns.map(([, one]) => this.times[one.recipe]);
    if (times.some(Boolean)) rows.push(tag("tr", {}, tag("th", { scope: "row" }, "latency"), ...times.map((time) => tag("td", {}, time ? `${format(time.ms, "ms")}, ${time.how}` : ""))));
    this.result.replaceChildren(tag("caption", {}, `on ${outcome.now.n_images} ${this.data.files[0].pictures.length ? "images" : "samples"}`),
      tag("thead", {}, tag("tr", {}, tag("td"), ...columns.map(([name]) => tag("th", { scope: "col" }, name)))), tag("tbody", {}, ...rows));
  }

  chips() { // the switches that are not as they were given
    const first = this.live.switches?.chosen, now = this.live.state?.chosen;
    if (!first || !now) return [];
    return this.names.map((name, i) => (now[name] && now[name] !== first[name]
      ? tag("span", { class: "chip", style: `left:${100 * (this.place[i].left + this.place[i].width / 2)}%`, title: `${name}: ${now[name]}` }, CHIPS[now[name]] ?? "?") : null)).filter(Boolean);
  }

  drawChips() {
    this.strips.querySelector(".chips")?.replaceChildren(...this.chips());
  }

  hear(answer) {
    this.live[answer.kind] = answer;
    if (!this.precisions) return;
    const said = {
      switches: () => { this.live.state ??= answer; this.recipe.value = this.live.state.recipe; this.drawSwitch(); this.askRange(); },
      range: () => this.hearRange(answer),
      state: () => { this.unheard = Math.max(0, this.unheard - 1); this.recipe.value = answer.recipe; this.drawSwitch(); this.drawChips(); },
      progress: () => { this.status.textContent = `Working: ${answer.done} of ${answer.total}.`; },
      outcome: () => { if (this.ask && !this.unheard) this.status.textContent = `${answer.now.n_run} of ${answer.now.n_ops} ops were run again, ${answer.cpu_s.toFixed(2)} s.`; this.drawResult(); },
      time: () => { if (answer.how === "measured" || this.times[answer.recipe]?.how !== "measured") this.times[answer.recipe] = answer; this.drawResult(); },
      refused: () => { this.status.textContent = answer.words; this.drawSwitch(); },
      written: () => { this.status.textContent = `${answer.file}. The same file from the shell: ${answer.command}`; },
      steps: () => this.hearSteps(answer),
      picture: () => this.hearPicture(answer),
    }[answer.kind];
    said?.();
  }

  hearSteps(answer) {
    const layer = find(this.data.files[answer.file], answer.layer);
    if (!layer) return;
    layer.steps = answer.steps;
    this.open();
    const box = this.panel.querySelector("details.steps");
    if (box) box.open = true;
  }

  hearPicture(answer) { // an own picture: what each file makes of it
    this.data.files.forEach((file, i) => {
      file.pictures.push(answer.files[i].picture);
      for (const layer of file.layers) layer.maps.push(answer.files[i].maps[layer.name] ?? null);
    });
    this.choosePicture(this.data.files[0].pictures.length - 1);
  }

  drop(event) {
    event.preventDefault();
    for (const file of event.dataTransfer?.files ?? event.target.files) {
      const reader = new FileReader();
      reader.onload = () => this.ask({ kind: "picture", name: file.name, data: reader.result.split(",")[1] });
      reader.readAsDataURL(file);
    }
  }

  // -------------------------------------------------------------------------------------------------------------- pictures

  drawPictures() {
    const [file] = this.data.files;
    if (!file.pictures.length) { this.gallery.replaceChildren(); return; }
    const among = (i) => this.data.files.map((one) => one.pictures[i]); // one picture, as each file answers it
    const least = file.pictures.map((_, i) => Math.min(...among(i).map((one) => number(one.sqnr_db))));
    const worst = least.indexOf(Math.min(...least));
    const words = (i) => [among(i).some((one) => one.changed) ? "answer changes" : "same answer", i === worst ? "hurts most" : null, format(least[i], "dB")].filter(Boolean).join(", ");
    const buttons = file.pictures.map((picture, i) => tag("button", { type: "button", class: i === this.picture ? "picture chosen" : "picture", "aria-pressed": String(i === this.picture),
      onclick: () => this.choosePicture(i) },
      tag("img", { src: picture.thumb, alt: picture.name }), tag("span", {}, words(i))));
    const tops = this.data.files.map((one) => top(one, one.pictures[this.picture]));
    const own = this.ask ? tag("label", { class: "own", ondragover: (event) => event.preventDefault(), ondrop: (event) => this.drop(event) }, "A picture of your own: drop it here, or ",
      tag("input", { type: "file", accept: "image/png,image/jpeg", onchange: (event) => this.drop(event) })) : null;
    this.gallery.replaceChildren(...[tag("h2", {}, "Pictures"), tag("div", { class: "thumbs" }, ...buttons), own, ...tops].filter(Boolean));
  }
}

// ------------------------------------------------------------------------------------------------------------------- parts

function aligned(files) { // the layers of the first file, and what the others have beside, where it stands there
  const names = files[0].layers.map((layer) => layer.name), known = new Set(names);
  for (const file of files.slice(1)) {
    file.layers.forEach((layer, i) => {
      if (known.has(layer.name)) return;
      const before = i ? names.indexOf(file.layers[i - 1].name) : -1;
      names.splice(before + 1, 0, layer.name);
      known.add(layer.name);
    });
  }
  return names;
}

function labelsOf(files) { // beside the strips, where there is room for LABEL characters: what tells them apart
  const labels = files.map((file) => file.label), [first] = labels;
  if (labels.length === 1 || labels.every((label) => label.length <= LABEL)) return labels;
  let same = 0;
  while (same < first.length && labels.every((label) => label[same] === first[same])) same += 1;
  while (same && /[\p{L}\p{N}]/u.test(first[same - 1])) same -= 1; // words stay whole
  return labels.map((label) => (same ? `…${label.slice(same)}` : label));
}

const BY_NAME = new WeakMap(); // beside the files: what is put into them is saved with the notebook

function find(file, name) {
  if (!BY_NAME.has(file)) BY_NAME.set(file, new Map(file.layers.map((layer) => [layer.name, layer])));
  return BY_NAME.get(file).get(name);
}

function share(value) {
  return value === null || value === undefined ? "not measured" : `${(100 * value).toFixed(1)} %`;
}

function histogram(layer, channel) {
  const found = layer.histogram;
  if (!found) return null;
  const width = 320, height = 90, bins = found.float.length, most = Math.max(...found.float, ...found.quantized, 1);
  const tall = (count) => (count ? Math.max(1, (height * Math.log1p(count)) / Math.log1p(most)) : 0);
  const at = (value) => (width * (value - found.low)) / (found.high - found.low || 1);
  const bars = (counts, kind) => counts.map((count, i) => draw("rect", { class: kind, x: (i * width) / bins, y: height - tall(count), width: width / bins, height: tall(count) }));
  const ends = layer.range ? [layer.range.low, layer.range.high].map((value) => draw("line", { class: "code-end", x1: at(value), x2: at(value), y1: 0, y2: height })) : [];
  const row = layer.channels?.index.indexOf(channel) ?? -1;
  const span = row < 0 ? [] : [draw("rect", { class: "span", x: at(layer.channels.low[row]), y: 0, width: Math.max(1, at(layer.channels.high[row]) - at(layer.channels.low[row])), height })];
  const step = layer.range ? at(found.low + layer.range.scale) : 0;
  const grid = step >= 3 ? codes(layer.range, at, width, height) : [];
  const svg = draw("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "values of the float and of the quantized layer" },
    ...grid, ...bars(found.float, "float"), ...bars(found.quantized, "quantized"), ...ends, ...span);
  return tag("figure", {}, tag("figcaption", {}, "Its values: float (filled) and quantized (outlined), counts on a logarithmic scale; vertical lines: where the codes end"), svg,
    tag("div", { class: "ends" }, tag("span", {}, format(found.low)), tag("span", {}, format(found.high))));
}

function codes(range, at, width, height) {
  const lines = [];
  for (let value = range.low; value <= range.high + range.scale / 2; value += range.scale) {
    const x = at(value);
    if (x >= 0 && x <= width) lines.push(draw("line", { class: "code", x1: x, x2: x, y1: 0, y2: height }));
  }
  return lines;
}

function channels(layer, chosen, choose) {
  const found = layer.channels;
  if (!found || !found.index.length) return null;
  const low = Math.min(...found.low), span = Math.max(...found.high) - low || 1;
  const rows = found.index.map((index, i) => {
    const left = (100 * (found.low[i] - low)) / span, width = Math.max(0.5, (100 * (found.high[i] - found.low[i])) / span);
    const bar = tag("span", { class: "bar" }, tag("i", { style: `left:${left}%;width:${width}%` }));
    const button = tag("button", { type: "button", "data-channel": index, "aria-pressed": String(index === chosen), onclick: () => choose(index) }, String(index));
    const weights = found.weight_scale ? [tag("td", {}, format(found.weight_scale[i])), tag("td", {}, format(found.weight_error[i], "dB"))] : [];
    return tag("tr", { class: index === chosen ? "chosen" : "" }, tag("th", { scope: "row" }, button), tag("td", {}, bar), tag("td", {}, format(found.error[i], "dB")), ...weights, tag("td", {}, found.dead[i] ? "dead" : ""));
  });
  const heads = ["channel", "range", "SQNR", ...(found.weight_scale ? ["weight scale", "SQNR of its weights"] : []), "state"].map((head) => tag("th", { scope: "col" }, head));
  const more = found.n > rows.length ? ` (worst ${rows.length} of ${found.n})` : "";
  return tag("details", { class: "channels", open: true }, tag("summary", {}, `Channels${more}`), tag("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "channels" },
    tag("table", {}, tag("thead", {}, tag("tr", {}, ...heads)), tag("tbody", {}, ...rows))));
}

function steps(layer) {
  if (!layer.steps?.rows?.length) return null;
  const rows = layer.steps.rows.map((cells) => tag("tr", {}, ...cells.map((cell) => tag("td", {}, String(cell)))));
  return tag("details", { class: "steps" }, tag("summary", {}, `One value in integers, at ${layer.steps.at}`), tag("table", {}, tag("tbody", {}, ...rows)));
}

function top(file, picture) {
  if (!picture) return null;
  const rows = picture.float_top.map((line, i) => tag("tr", {}, tag("td", {}, `${line[0]} ${(100 * line[1]).toFixed(1)} %`),
    tag("td", { class: picture.quantized_top[i]?.[0] === line[0] ? "" : "moved" }, picture.quantized_top[i] ? `${picture.quantized_top[i][0]} ${(100 * picture.quantized_top[i][1]).toFixed(1)} %` : "")));
  return tag("table", { class: "top" }, tag("caption", {}, file.label), tag("thead", {}, tag("tr", {}, tag("th", { scope: "col" }, "float"), tag("th", { scope: "col" }, "quantized"))), tag("tbody", {}, ...rows));
}

function paint(canvas, map) {
  const values = bytes(map.data), context = canvas.getContext("2d"), image = context.createImageData(map.width, map.height);
  for (let i = 0; i < values.length; i++) {
    const color = SCALE[Math.round((values[i] / 255) * (SCALE.length - 1))];
    for (let part = 0; part < 3; part++) image.data[4 * i + part] = parseInt(color.slice(1 + 2 * part, 3 + 2 * part), 16);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
