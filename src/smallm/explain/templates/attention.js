// Attention: a matrix, lines between tokens, every head at once, and the rollout through the layers.
const ATT_HINTS = {
  matrix: "A row is a token that looks, a column one that is looked at. Choose a cell to choose its row's token.",
  lines: "On the left the tokens that look, on the right what they look at; the chosen token's lines are strong.",
  grid: "One small matrix for each head; choose one to see it large. Where the model groups its heads, those under bars of one colour share their keys and values.",
  rollout: "The layers' attention (mean of the heads) multiplied up to the chosen layer, half of each for the residual connection: from where what stands at a token may have come.",
};
const headName = (m, h) => {
  const H = Math.max(...m.facts.heads), K = m.facts.kv_heads;
  return h < 0 ? "mean of the heads" : `head ${h + 1}${K && K < H ? ` (keys and values ${Math.floor(h / (H / K)) + 1})` : ""}`;
};
const layerName = (l) => (l < 0 ? "mean of the layers" : `layer ${l + 1}`);

function option(place, value, text, disabled) {
  const node = el("option", "", text, place);
  node.value = value; node.disabled = Boolean(disabled);
}
function fillLayers() {
  const layer = $("att-layer"), m = model();
  layer.replaceChildren();
  m.attention.forEach((a, l) => option(layer, l, `layer ${l + 1}${a ? "" : " (no attention)"}`, !a));
  option(layer, -1, "mean of the layers");
  if (state.layer >= m.attention.length) state.layer = m.attention.length - 1;
  if (state.layer >= 0 && !m.attention[state.layer]) state.layer = m.attention.findIndex(Boolean);
  layer.value = state.layer;
  fillHeads();
}
// The heads of the chosen layer; a choice that it does not have becomes their mean.
function fillHeads() {
  const head = $("att-head"), m = model(), most = state.layer < 0 ? Math.max(...m.facts.heads) : headsOf(m, state.layer);
  head.replaceChildren();
  option(head, -1, headName(m, -1));
  for (let h = 0; h < most; h++) option(head, h, headName(m, h));
  if (state.head >= most) state.head = -1;
  head.value = state.head;
}

function attentionTitle() {
  const sink = state.sink ? ", first token left out" : "", differs = both() ? "Difference in attention" : "Attention";
  if (state.view === "rollout") return `${both() ? "Difference in rollout" : "Rollout"} up to ${layerName(Math.max(0, state.layer))}${sink}`;
  if (state.view === "grid") return `${differs}, every head${sink}`;
  return `${differs}, ${layerName(state.layer)}, ${headName(model(), state.head)}${sink}`;
}

function drawAttention() {
  $("att-hint").textContent = ATT_HINTS[state.view];
  $("att-head").disabled = state.view === "rollout" || state.view === "grid";
  $("att-layer").disabled = state.view === "grid";
  heading("att", attentionTitle());
  if (both() && MISSING.attention) return nothing("att", `No difference: ${MISSING.attention}.`);
  ({ matrix: drawMatrix, rollout: drawMatrix, lines: drawLines, grid: drawGrid })[state.view]();
}
const attentionShown = () => state.view === "rollout"
  ? shownWeights("rollout", Math.max(0, state.layer), -1, state.sink) : shownWeights("attention", state.layer, state.head, state.sink);
const looks = (t, s, v) => `${t + 1} \u201c${marked(token(t))}\u201d ${state.view === "rollout" ? "comes from" : "looks at"} ${s + 1} \u201c${marked(token(s))}\u201d: ${percent(v, both())}`;

function attentionTable(w) {
  table("att", () => ({
    head: ["token", "text", "the five largest weights of its row"],
    rows: Array.from({ length: T }, (_, t) => {
      const row = Array.from({ length: t + 1 }, (_, s) => [s, w[lower(t) + s]]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 5);
      return [String(t + 1), marked(token(t)), row.map(([s, v]) => `${s + 1} ${marked(token(s))} ${percent(v, both())}`).join(", ")];
    }),
  }));
}

function drawMatrix() {
  const w = attentionShown(), width = room("att"), scale = scales(), differs = both();
  const labels = T <= 64, left = labels ? Math.min(96, width * 0.26) : 34, top = labels ? left * 0.72 : 22;
  const size = Math.min(36, Math.max(labels ? 11 : 3, Math.min(width - left - 6, 640 - top) / T)), whole = left + size * T + 6;
  const svg = begin("att", Math.ceil(whole), Math.ceil(top + size * T + 6), $("att-title").textContent);
  const most = differs ? peak(w, 0.02) : 1;
  rect(svg, left, top, size * T, size * T, "none", { style: "fill:none;stroke:var(--line)" });
  picture(svg, left, top, size * T, size * T, T, T, (t, s) => (s > t ? null : differs ? scale.both(w[lower(t) + s] / most) : scale.share(w[lower(t) + s])));
  const font = Math.min(12, size + 1), letters = Math.floor((left - 6) / (font * 0.62));
  if (labels) for (let t = 0; t < T; t++) {
    label(svg, left - 5, top + (t + 0.5) * size + font * 0.35, cut(token(t), letters), { at: { "text-anchor": "end", "font-size": font, class: "mono", "data-token": t } });
    const x = left + (t + 0.5) * size + font * 0.3, y = top - 5;
    label(svg, x, y, cut(token(t), Math.floor(top / (font * 0.62))), { at: { "font-size": font, class: "mono", transform: `rotate(-90 ${x} ${y})`, "data-token": t } });
  } else for (let t = 0; t < T; t += 16) {
    label(svg, left - 5, top + (t + 0.5) * size + 4, String(t + 1), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
    label(svg, left + (t + 0.5) * size, top - 7, String(t + 1), { muted: true, at: { "text-anchor": "middle", "font-size": 11 } });
  }
  embolden("att", state.at);
  walk("att", svg, { x: left, y: top, w: size, h: size, rows: T, columns: T, has: (t, s) => s <= t }, [state.at, strongest(w, state.at)], (t) => choose(t), (t, s) => looks(t, s, w[lower(t) + s]));
  attentionTable(w);
}

// The token that token t looks at most.
function strongest(w, t) {
  let best = 0;
  for (let s = 1; s <= t; s++) if (Math.abs(w[lower(t) + s]) > Math.abs(w[lower(t) + best])) best = s;
  return best;
}
// Another token was chosen: the lines are other lines, a matrix has its mark in another row, the grid is of all tokens.
function attentionFollows(t, before) {
  if (state.view === "lines") return drawAttention();
  if (state.view === "grid" || !marks.att) return;
  embolden("att", t, before);
  if (marks.att.row() !== t) marks.att.move(t, strongest(attentionShown(), t));
}

function drawLines() {
  const w = attentionShown(), width = Math.min(room("att"), 620), height = 21 * T + 12, side = Math.min(190, width * 0.36), differs = both();
  const svg = begin("att", width, height, $("att-title").textContent), y = (t) => 6 + 21 * t + 10.5, most = differs ? peak(w, 0.02) : 1;
  const least = T > 64 ? 0.15 : 0.06;
  const stroke = (t, s, strong) => {
    const v = w[lower(t) + s] / most, size = Math.sqrt(Math.abs(v));
    draw("path", { d: `M${side} ${y(t)}C${width / 2} ${y(t)} ${width / 2} ${y(s)} ${width - side} ${y(s)}`, style: `fill:none;stroke:var(${v < 0 ? "--c2" : "--c1"});stroke-width:${(strong ? 0.8 + 5 * size : 1.2).toFixed(2)};stroke-opacity:${(strong ? 0.25 + 0.75 * size : 0.3 * size).toFixed(3)}` }, svg);
  };
  for (let t = 0; t < T; t++) if (t !== state.at) for (let s = 0; s <= t; s++) if (Math.abs(w[lower(t) + s]) / most > least) stroke(t, s, false);
  for (let s = 0; s <= state.at; s++) if (Math.abs(w[lower(state.at) + s]) / most > 0.003) stroke(state.at, s, true);
  const letters = Math.floor((side - 12) / 7.6);
  for (let t = 0; t < T; t++) {
    if (t === state.at) rect(svg, 0, y(t) - 9.5, side - 5, 19, "var(--t1)", { rx: 4 });
    label(svg, side - 10, y(t) + 4, cut(token(t), letters), { at: { "text-anchor": "end", class: "mono", ...(t === state.at ? { "font-weight": 700 } : {}) } });
    label(svg, width - side + 10, y(t) + 4, cut(token(t), letters), { muted: t > state.at, at: { class: "mono" } });
  }
  walk("att", svg, { x: 0, y: 6, w: width, h: 21, rows: T, columns: 1 }, [state.at, 0], (t) => choose(t), (t) => {
    const row = Array.from({ length: t + 1 }, (_, s) => [s, w[lower(t) + s]]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3);
    return `${t + 1} \u201c${marked(token(t))}\u201d looks at ${row.map(([s, v]) => `${s + 1} \u201c${marked(token(s))}\u201d ${percent(v, differs)}`).join(", ")}`;
  });
  attentionTable(w);
}

// What a head does on this prompt, in three shares of its weights.
function habits(w) {
  let first = 0, self = 0, before = 0;
  for (let t = 1; t < T; t++) { first += w[lower(t)]; self += w[lower(t) + t]; before += w[lower(t) + t - 1]; }
  const n = Math.max(1, T - 1);
  return { first: first / n, self: self / n, before: before / n };
}
function drawGrid() {
  const m = model(), L = m.attention.length, H = Math.max(...m.facts.heads), K = m.facts.kv_heads, scale = scales(), differs = both();
  const n = Math.min(T, 128), left = 30, top = K && K < H ? 30 : 22, width = room("att"), cell = Math.max(38, Math.min(110, (width - left - 4) / H));
  const svg = begin("att", Math.ceil(left + cell * H + 4), Math.ceil(top + cell * L + 4), $("att-title").textContent);
  for (let h = 0; h < H; h++) {
    label(svg, left + (h + 0.5) * cell, 14, String(h + 1), { muted: true, at: { "text-anchor": "middle", "font-size": 11 } });
    if (top > 22) rect(svg, left + h * cell + 1, 19, cell - 2, 5, `var(--c${1 + (Math.floor(h / (H / K)) % 6)})`);
  }
  for (let l = 0; l < L; l++) {
    label(svg, left - 6, top + (l + 0.5) * cell + 4, String(l + 1), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
    for (let h = 0; h < headsOf(m, l); h++) {
      const w = shownWeights("attention", l, h, state.sink), most = differs ? peak(w, 0.02) : 1;
      rect(svg, left + h * cell + 1, top + l * cell + 1, cell - 2, cell - 2, "none", { style: "fill:none;stroke:var(--line)" });
      picture(svg, left + h * cell + 1, top + l * cell + 1, cell - 2, cell - 2, n, n, (i, j) => {
        const t = Math.floor((i * T) / n), s = Math.floor((j * T) / n), v = w[lower(t) + s];
        return s > t ? null : differs ? scale.both(v / most) : scale.share(v);
      });
    }
  }
  walk("att", svg, { x: left, y: top, w: cell, h: cell, rows: L, columns: H, has: (l, h) => h < headsOf(m, l) }, [Math.max(0, state.layer), Math.max(0, state.head)], (l, h) => {
    Object.assign(state, { layer: l, head: h, view: "matrix" });
    $("att-view").value = "matrix"; fillLayers(); drawAttention();
  }, (l, h) => {
    const it = habits(shownWeights("attention", l, h, state.sink));
    return `Layer ${l + 1}, ${headName(m, h)}: ${percent(it.first, differs)} on the first token, ${percent(it.before, differs)} on the one before, ${percent(it.self, differs)} on itself`;
  });
  table("att", () => ({
    head: ["layer", "head", "on the first token", "on the one before", "on itself"],
    rows: [...Array(L).keys()].flatMap((l) => [...Array(headsOf(m, l)).keys()].map((h) => {
      const it = habits(shownWeights("attention", l, h, state.sink));
      return [String(l + 1), headName(m, h), percent(it.first, differs), percent(it.before, differs), percent(it.self, differs)];
    })),
  }));
}

function setUpAttention() {
  const first = data.models[0].attention.findIndex(Boolean);
  state.layer = Math.max(0, first);
  for (const [id, key] of [["att-view", "view"], ["att-layer", "layer"], ["att-head", "head"]]) $(id).addEventListener("change", () => {
    state[key] = key === "view" ? $(id).value : Number($(id).value);
    if (key === "layer") fillHeads();
    drawAttention();
  });
  $("att-sink").addEventListener("change", () => { state.sink = $("att-sink").checked; drawAttention(); });
}
