// Ablation: the next token without each layer, and without each head.
const MEASURES = { change: [3, (x) => percent(x, true)], bits: [4, (x) => bits(x, both())] };

function drawAblation() {
  if (!$("abl")) return;
  const m = model(), [column, say] = MEASURES[$("abl-by").value];
  const why = both() && MISSING.ablation, word = words[m.ablation.target];
  heading("abl", both() ? "Difference of what each layer changes" : `\u201c${marked(word)}\u201d (${percent(m.ablation.p)}) without each layer`);
  if (why) { nothing("abl", `No difference: ${why}.`); if ($("ablheads")) nothing("ablheads", `No difference: ${why}.`); return; }
  const rows = shown("layers", column), width = room("abl"), left = 62, h = 22, right = 74;
  const svg = begin("abl", width, h * rows.length + 8, $("abl-title").textContent);
  const most = Math.max(1e-9, ...rows.map((r) => Math.abs(r.value))), negative = Math.max(0, ...rows.map((r) => -r.value)), positive = Math.max(0, ...rows.map((r) => r.value));
  const unit = (width - left - 2 * right) / Math.max(negative + positive, 1e-9), zero = left + right + negative * unit;
  line(svg, zero, 2, zero, h * rows.length + 4, "var(--muted)");
  rows.forEach((r, i) => {
    const x = r.value < 0 ? zero + r.value * unit : zero, size = Math.abs(r.value) * unit;
    label(svg, left - 4, i * h + 17, `layer ${r.layer + 1}`, { muted: true, at: { "text-anchor": "end" } });
    rect(svg, x, i * h + 6, Math.max(1, size), h - 8, r.value < 0 ? "var(--c2)" : "var(--c1)", { rx: 2 });
    label(svg, r.value < 0 ? x - 5 : x + size + 5, i * h + 17, say(r.value), { at: { "text-anchor": r.value < 0 ? "end" : "start", "font-size": 11.5 } });
  });
  walk("abl", svg, { x: 0, y: 2, w: width, h, rows: rows.length, columns: 1 }, [rows.findIndex((r) => Math.abs(r.value) === most) < 0 ? 0 : rows.findIndex((r) => Math.abs(r.value) === most), 0], () => {}, (i) => removed(rows[i], say));
  ablationTable("abl", rows);
  if ($("ablheads")) drawHeads(m, column, say);
}

// Rows of [layer, head, probability, change, bits, word] as objects with the shown value.
function shown(which, column) {
  const read = (m) => m.ablation[which];
  return read(model()).map((r, i) => ({ layer: r[0], head: r[1], p: r[2], change: r[3], bits: r[4], word: words[r[5]], value: both() ? read(data.models[0])[i][column] - read(data.models[1])[i][column] : r[column] }));
}
const what = (r) => (r.head === null ? `layer ${r.layer + 1}` : `layer ${r.layer + 1}, head ${r.head + 1}`);
function removed(r, say) {
  if (both()) return `Without ${what(r)}: ${say(r.value)} more in ${NAMES[0]} than in ${NAMES[1]}`;
  return `Without ${what(r)}: ${percent(r.p)} (${percent(r.change, true)}), ${bits(r.bits)} from the whole model; likeliest is then \u201c${marked(r.word)}\u201d`;
}
function ablationTable(id, rows) {
  table(id, () => ({
    head: both() ? ["without", "difference"] : ["without", "probability", "change", "divergence", "likeliest then"],
    rows: rows.map((r) => (both() ? [what(r), $("abl-by").value === "bits" ? bits(r.value, true) : percent(r.value, true)] : [what(r), percent(r.p), percent(r.change, true), bits(r.bits), marked(r.word)])),
  }));
}

function drawHeads(m, column, say) {
  const rows = shown("heads", column), L = m.facts.layers, H = Math.max(...m.facts.heads), scale = scales();
  const by = new Map(rows.map((r) => [`${r.layer},${r.head}`, r])), most = Math.max(1e-6, ...rows.map((r) => Math.abs(r.value)));
  heading("ablheads", both() ? "Difference of what each head changes" : "Without each head");
  const left = 30, top = 20, w = Math.max(30, Math.min(64, (room("ablheads") - left) / H)), h = 26;
  const svg = begin("ablheads", Math.ceil(left + w * H + 2), top + h * L + 2, `${$("ablheads-title").textContent}; the strongest is ${say(most)}`);
  for (let i = 0; i < H; i++) label(svg, left + (i + 0.5) * w, 13, String(i + 1), { muted: true, at: { "text-anchor": "middle", "font-size": 11 } });
  for (let l = 0; l < L; l++) {
    label(svg, left - 6, top + (l + 0.5) * h + 4, String(l + 1), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
    for (let i = 0; i < H; i++) {
      const r = by.get(`${l},${i}`);
      if (!r) continue;
      const c = scale.both(r.value / most);
      rect(svg, left + i * w + 0.5, top + l * h + 0.5, w - 1, h - 1, paint(c), { rx: 2 });
      if (w >= 40) draw("text", { x: left + (i + 0.5) * w, y: top + (l + 0.5) * h + 4, "font-size": 11, "text-anchor": "middle", style: `fill:${over(c)}` }, svg, column === 4 ? fixed(r.value, 1) : signed(100 * r.value, Math.abs(r.value) < 0.0995 ? 1 : 0));
    }
  }
  walk("ablheads", svg, { x: left, y: top, w, h, rows: L, columns: H, has: (l, i) => by.has(`${l},${i}`) }, [rows[0]?.layer ?? 0, 0], (l, i) => {
    Object.assign(state, { layer: l, head: i, view: "matrix" });
    $("att-view").value = "matrix"; fillLayers(); drawAttention();
  }, (l, i) => removed(by.get(`${l},${i}`), say));
  ablationTable("ablheads", rows);
}
function setUpAblation() { $("abl-by")?.addEventListener("change", drawAblation); }
