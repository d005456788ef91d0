// Charts: SVG in the page's own pixels, colours from its theme, a table beside each, saved as a file on demand.
const SVG = "http://www.w3.org/2000/svg";

function el(tag, name, text, parent) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined && text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}
function draw(tag, attributes, parent, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function rgb(name) {
  let hex = css(name).slice(1);
  if (hex.length === 3) hex = Array.from(hex, (c) => c + c).join("");
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}
// Colours of a share in [0, 1] (the root spreads small ones) and of a difference in [-1, 1].
function scales() {
  const none = rgb("--card"), high = rgb("--c1"), low = rgb("--c2");
  const mix = (to, x) => none.map((c, i) => Math.round(c + (to[i] - c) * Math.min(1, Math.max(0, x))));
  return { share: (x) => mix(high, Math.sqrt(Math.max(0, x))), plain: (x) => mix(high, x), heat: (x) => mix(low, x), both: (x) => mix(x < 0 ? low : high, Math.sqrt(Math.abs(x))) };
}
const paint = ([r, g, b]) => `rgb(${r},${g},${b})`;
// Black or white on a colour, whichever reads better.
function over([r, g, b]) {
  const linear = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) > 0.179 ? "#000000" : "#ffffff";
}

// A fresh drawing in a chart's place; `width` is what the page has room for.
function begin(id, width, height, label) {
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  const place = $(id), focused = place.contains(document.activeElement);
  place.replaceChildren(svg);
  svg.focusAgain = () => { if (focused) svg.focus({ preventScroll: true }); };
  return svg;
}
function room(id) { return Math.max(240, Math.floor($(id).parentElement.clientWidth) - 2); }
function label(svg, x, y, text, more = {}) {
  const node = draw("text", { x, y, "font-size": 12, style: `fill:var(${more.muted ? "--muted" : "--ink"})`, ...more.at }, svg, text);
  return node;
}
function rect(svg, x, y, width, height, fill, more = {}) {
  return draw("rect", { x, y, width: Math.max(0, width), height: Math.max(0, height), style: `fill:${fill}`, ...more }, svg);
}
function line(svg, x1, y1, x2, y2, stroke = "var(--line)", more = {}) {
  return draw("line", { x1, y1, x2, y2, style: `stroke:${stroke}`, ...more }, svg);
}
function path(svg, points, colour) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return draw("path", { d, style: `fill:none;stroke:${colour};stroke-width:1.8` }, svg);
}
// rows x columns of colours as one picture, pixel by pixel, so that a large matrix stays one element.
function picture(svg, x, y, width, height, rows, columns, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = columns; canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0, p = 0; i < rows; i++) for (let j = 0; j < columns; j++, p += 4) {
    const c = colour(i, j);
    if (c) { image.data[p] = c[0]; image.data[p + 1] = c[1]; image.data[p + 2] = c[2]; image.data[p + 3] = 255; }
  }
  context.putImageData(image, 0, 0);
  return draw("image", { x, y, width, height, href: canvas.toDataURL(), preserveAspectRatio: "none", style: "image-rendering:pixelated" }, svg);
}

// The labels of the chosen token, and no longer those of the one before.
function embolden(id, t, before) {
  for (const [at, weight] of [[before, "normal"], [t, "bold"]]) for (const node of $(id).querySelectorAll(`[data-token="${at}"]`)) node.setAttribute("font-weight", weight);
}

// A grid of cells that a pointer and the arrow keys walk through. `pick` is called with the cell, `says` names it.
const marks = {};  // chart -> where its mark is, and how to move it
function walk(id, svg, grid, current, pick, says) {
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("aria-roledescription", "chart; arrow keys move through its cells");
  let at = current;
  const mark = draw("rect", { width: grid.w, height: grid.h, style: "fill:none;stroke:var(--ink);stroke-width:1.5;pointer-events:none" }, svg);
  const show = () => {
    mark.setAttribute("x", grid.x + at[1] * grid.w); mark.setAttribute("y", grid.y + at[0] * grid.h);
    $(id + "-says").textContent = says(...at);
  };
  const to = (i, j, chosen) => {
    const next = [Math.min(grid.rows - 1, Math.max(0, i)), Math.min(grid.columns - 1, Math.max(0, j))];
    if (grid.has && !grid.has(...next)) return;
    at = next; show();
    if (chosen) pick(...at);
  };
  // The cell that an arrow leads to: past rows that have none, in a shorter row its last.
  const reached = ([down, right]) => {
    for (let i = at[0] + down; i >= 0 && i < grid.rows; i += down) {
      let j = Math.min(grid.columns - 1, Math.max(0, at[1] + right));
      while (grid.has && j > 0 && !grid.has(i, j)) j--;
      if (!grid.has || grid.has(i, j)) return [i, j];
      if (!down) break;
    }
    return at;
  };
  const cell = (event) => {
    const box = svg.getBoundingClientRect();
    return [Math.floor((event.clientY - box.top - grid.y) / grid.h), Math.floor((event.clientX - box.left - grid.x) / grid.w)];
  };
  const inside = ([i, j]) => i >= 0 && j >= 0 && i < grid.rows && j < grid.columns;
  svg.addEventListener("pointermove", (event) => { const c = cell(event); if (event.pointerType === "mouse" && inside(c)) to(...c, false); });
  svg.addEventListener("click", (event) => { const c = cell(event); if (inside(c)) to(...c, true); });
  svg.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;  // the browser's own
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -at[1]], End: [0, grid.columns - 1 - at[1]] }[event.key];
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(...at); return; }
    if (!step) return;
    event.preventDefault();
    to(...reached(step), false);
    mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  marks[id] = { row: () => at[0], column: () => at[1], move: (i, j) => to(i, j, false) };
  show();
  svg.focusAgain();
}

// Tables are built when they are opened: a screen reader's way into a chart.
const tables = {};
function table(id, make) {
  tables[id] = make;
  const details = document.querySelector(`[data-table="${id}"]`);
  if (details.open) fillTable(details);
}
function fillTable(details) {
  const place = details.querySelector(".scroll"), made = tables[details.dataset.table];
  place.replaceChildren();
  if (!made) return;
  const { head, rows } = made(), node = el("table", "", null, place), top = el("tr", "", null, el("thead", "", null, node));
  for (const text of head) el("th", "", text, top).scope = "col";
  const body = el("tbody", "", null, node);
  for (const row of rows) {
    const line = el("tr", "", null, body);
    row.forEach((text, i) => {
      const cell = el(i ? "td" : "th", "w", text, line);
      if (!i) cell.scope = "row";
    });
  }
}
for (const details of document.querySelectorAll("details.table")) details.addEventListener("toggle", () => { if (details.open) fillTable(details); });

// The chart as a file: its colours and fonts written out, so that it looks the same anywhere.
function saved(id) {
  const svg = $(id).querySelector("svg");
  if (!svg) return null;
  const copy = svg.cloneNode(true);
  copy.setAttribute("xmlns", SVG);
  copy.removeAttribute("tabindex");
  const title = document.createElementNS(SVG, "title");
  title.textContent = `${NAMES.join(" and ")}: ${svg.getAttribute("aria-label")}`;
  const style = document.createElementNS(SVG, "style");
  style.textContent = `svg{background:${css("--card")}}text{font-family:${css("--sans").replace(/"/g, "'")}}.mono{font-family:${css("--mono").replace(/"/g, "'")}}`;
  copy.prepend(title, style);
  return new XMLSerializer().serializeToString(copy).replace(/var\((--[\w-]+)\)/g, (_, name) => css(name));
}
for (const button of document.querySelectorAll(".export")) button.addEventListener("click", () => {
  const text = saved(button.dataset.chart);
  if (!text) return;
  const link = el("a"), url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  link.href = url; link.download = `${NAMES[0].replace(/[^\w.-]+/g, "-")}-${button.dataset.chart}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
});
function heading(id, text) {
  $(id + "-title").textContent = text;
  document.querySelector(`[data-chart="${id}"]`).setAttribute("aria-label", `Save as SVG: ${text}`);
}
function nothing(id, why) { delete marks[id]; $(id).replaceChildren(el("p", "none", why)); $(id + "-says").textContent = ""; table(id, () => ({ head: [], rows: [] })); }
