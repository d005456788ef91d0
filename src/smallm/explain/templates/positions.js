// The position encoding, as the model has it: angles, rows of a table, slopes, windows.
function drawPositions() {
  const m = model(), it = m.positions, two = both() ? " (the first model's)" : "";
  $("pos-about").textContent = `${it.about}. Made for ${it.context.toLocaleString("en")} tokens.`;
  const shows = { posone: Boolean(it.rotary.length || it.table || it.slopes.length), postwo: Boolean(it.rotary.length || it.table), poswindow: it.windows.some((w) => w !== null) };
  for (const [id, on] of Object.entries(shows)) $(id + "-figure").hidden = !on;
  if (it.rotary.length) drawRotary(it, two);
  else if (it.table) drawPositionTable(it.table, two);
  else if (it.slopes.length) drawSlopes(it, two);
  if (shows.poswindow) drawWindows(it, two);
}

function axes(svg, box, most, least, unit) {
  for (const v of [least, (least + most) / 2, most]) {
    const y = box.y + box.h * (1 - (v - least) / (most - least));
    line(svg, box.x, y, box.x + box.w, y);
    label(svg, box.x - 6, y + 4, fixed(v, 1), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  }
  label(svg, box.x + box.w, box.y + box.h + 16, unit, { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  label(svg, box.x, box.y + box.h + 16, "0", { muted: true, at: { "font-size": 11 } });
}

function drawRotary(it, two) {
  const set = it.rotary[0], frequency = array(set.frequency), R = frequency.length, N = Math.max(32, T), scale = scales();
  heading("posone", `Rotary angles: the cosine of each pair's turn${two}`);
  const width = room("posone"), left = 34, top = 8, w = width - left - 4, h = Math.min(300, Math.max(140, 8 * R));
  const svg = begin("posone", width, top + h + 24, $("posone-title").textContent);
  const cosine = (r, n) => Math.cos(n * frequency[r]);
  picture(svg, left, top, w, h, R, N, (r, n) => { const v = cosine(r, n); return v < 0 ? scale.heat(-v) : scale.plain(v); });
  label(svg, left - 5, top + 10, "1", { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  label(svg, left - 5, top + h, String(R), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  label(svg, left, top + h + 16, "position 0", { muted: true, at: { "font-size": 11 } });
  label(svg, left + w, top + h + 16, `position ${N - 1}`, { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  const turn = (r) => (2 * Math.PI) / frequency[r];
  const saysTurn = (r) => `Pair ${r + 1} of ${R}: a full turn every ${turn(r) < 100 ? fixed(turn(r), 1) : Math.round(turn(r)).toLocaleString("en")} tokens`;
  walk("posone", svg, { x: left, y: top, w: w / N, h: h / R, rows: R, columns: N }, [0, 0], () => {}, (r, n) => `${saysTurn(r)}; at position ${n} its cosine is ${fixed(cosine(r, n), 2)}`);
  table("posone", () => ({ head: ["pair", "radians a token", "tokens of a full turn"], rows: Array.from(frequency, (f, r) => [String(r + 1), f.toPrecision(4), turn(r).toLocaleString("en", { maximumFractionDigits: 1 })]) }));

  heading("postwo", `How alike two equal vectors look at a distance${two}`);
  const sets = it.rotary.map((s) => array(s.closeness)), n = sets[0].length, wide = room("postwo"), box = { x: 40, y: 10, w: wide - 50, h: 170 };
  const plot = begin("postwo", wide, 210, $("postwo-title").textContent), least = Math.min(-0.2, ...sets[0]);
  axes(plot, box, 1, least, `distance ${n - 1}`);
  sets.forEach((s, k) => path(plot, Array.from(s, (v, d) => [box.x + (box.w * d) / Math.max(1, n - 1), box.y + box.h * (1 - (v - least) / (1 - least))]), `var(--c${1 + (k % 6)})`));
  const names = it.rotary.map((s, k) => s.name || `set ${k + 1}`);
  if (sets.length > 1) names.forEach((name, k) => label(plot, box.x + box.w, 22 + 15 * k, name, { at: { "text-anchor": "end", style: `fill:var(--c${1 + (k % 6)})` } }));
  walk("postwo", plot, { x: box.x, y: 0, w: box.w / n, h: 190, rows: 1, columns: n }, [0, Math.min(1, n - 1)], () => {}, (_, d) => `${d} ${d === 1 ? "token" : "tokens"} apart: ${sets.map((s, k) => (sets.length > 1 ? names[k] + " " : "") + fixed(s[d], 2)).join(", ")}${set.scale !== 1 ? `; cosines and sines are scaled by ${fixed(set.scale, 3)}` : ""}`);
  table("postwo", () => ({ head: ["distance", ...names], rows: Array.from({ length: n }, (_, d) => [String(d), ...sets.map((s) => fixed(s[d], 3))]) }));
}

function drawPositionTable(it, two) {
  const n = it.positions.length, C = it.columns, scale = scales(), similarity = array(it.similarity), rows = array(it.rows);
  const signedColour = (v) => (v < 0 ? scale.heat(-v / 127) : scale.plain(v / 127));
  heading("posone", `How alike the rows of two positions are${two}`);
  const left = 44, size = Math.min(420, room("posone") - left - 4), svg = begin("posone", left + size + 4, size + 30, $("posone-title").textContent);
  picture(svg, left, 6, size, size, n, n, (i, j) => signedColour(similarity[i * n + j]));
  for (const k of [0, n - 1]) {
    label(svg, left - 5, 6 + ((k + 0.5) * size) / n + 4, String(it.positions[k]), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
    label(svg, left + ((k + 0.5) * size) / n, size + 22, String(it.positions[k]), { muted: true, at: { "text-anchor": k ? "end" : "start", "font-size": 11 } });
  }
  walk("posone", svg, { x: left, y: 6, w: size / n, h: size / n, rows: n, columns: n }, [0, 0], () => {}, (i, j) => `Positions ${it.positions[i]} and ${it.positions[j]}: cosine ${fixed(similarity[i * n + j] / 127, 2)}`);
  table("posone", () => ({ head: ["position", "cosine with the next", "with the first"], rows: it.positions.map((p, i) => [String(p), i + 1 < n ? fixed(similarity[i * n + i + 1] / 127, 2) : "\u2013", fixed(similarity[i * n] / 127, 2)]) }));
  heading("postwo", `${C} of the ${it.size[1].toLocaleString("en")} numbers of each position's row${two}`);
  const w = room("postwo") - left - 4, h = Math.max(160, Math.min(300, 3 * n)), grid = begin("postwo", left + w + 4, h + 30, $("postwo-title").textContent);
  picture(grid, left, 6, w, h, n, C, (i, j) => signedColour(rows[i * C + j]));
  for (const k of [0, n - 1]) label(grid, left - 5, 6 + ((k + 0.5) * h) / n + 4, String(it.positions[k]), { muted: true, at: { "text-anchor": "end", "font-size": 11 } });
  walk("postwo", grid, { x: left, y: 6, w: w / C, h: h / n, rows: n, columns: C }, [0, 0], () => {}, (i, j) => `Position ${it.positions[i]}, number ${j + 1} of those shown: ${fixed((100 * rows[i * C + j]) / 127, 0)} % of the largest`);
  table("postwo", () => ({ head: ["position", ...Array.from({ length: C }, (_, j) => String(j + 1))], rows: it.positions.map((p, i) => [String(p), ...Array.from({ length: C }, (_, j) => fixed(rows[i * C + j] / 127, 2))]) }));
}

function drawSlopes(it, two) {
  heading("posone", `What each head takes off a score, by distance${two}`);
  const wide = room("posone"), n = Math.max(32, T), box = { x: 44, y: 10, w: wide - 54, h: 200 }, svg = begin("posone", wide, 240, $("posone-title").textContent);
  axes(svg, box, 0, -10, `distance ${n - 1}`);
  it.slopes.forEach((slope, h) => path(svg, Array.from({ length: n }, (_, d) => [box.x + (box.w * d) / (n - 1), box.y + (box.h * Math.min(10, slope * d)) / 10]), `var(--c${1 + (h % 6)})`));
  walk("posone", svg, { x: box.x, y: 0, w: box.w / n, h: 220, rows: 1, columns: n }, [0, 1], () => {}, (_, d) => `${d} tokens back: ${it.slopes.map((s, h) => `head ${h + 1} ${fixed(-s * d, 2)}`).join(", ")}`);
  table("posone", () => ({ head: ["head", "slope"], rows: it.slopes.map((s, h) => [String(h + 1), s.toPrecision(4)]) }));
}

function drawWindows(it, two) {
  heading("poswindow", `How far back each layer sees${two}`);
  const wide = room("poswindow"), left = 62, right = 90, h = 22, rows = it.windows, most = Math.max(T, ...rows.map((w) => w ?? 0), rows.includes(null) ? it.context : 0);
  const svg = begin("poswindow", wide, h * rows.length + 26, $("poswindow-title").textContent), x = (n) => left + ((wide - left - right) * Math.log2(1 + n)) / Math.log2(1 + most);
  rows.forEach((w, l) => {
    label(svg, left - 4, l * h + 17, `layer ${l + 1}`, { muted: true, at: { "text-anchor": "end" } });
    rect(svg, left, l * h + 6, x(w ?? it.context) - left, h - 8, w === null ? "var(--c3)" : "var(--c1)", { rx: 2 });
    label(svg, x(w ?? it.context) + 5, l * h + 17, w === null ? "everything" : `${w.toLocaleString("en")}`, { at: { "font-size": 11.5 } });
  });
  line(svg, x(T), 2, x(T), h * rows.length + 6, "var(--c2)", { "stroke-dasharray": "4 3" });
  label(svg, x(T), h * rows.length + 20, `this prompt, ${T}`, { at: { "font-size": 11.5, "text-anchor": x(T) > wide / 2 ? "end" : "start" } });
  walk("poswindow", svg, { x: 0, y: 2, w: wide, h, rows: rows.length, columns: 1 }, [0, 0], () => {}, (l) => `Layer ${l + 1} sees ${rows[l] === null ? "everything before" : `${rows[l].toLocaleString("en")} tokens, itself included`}${rows[l] !== null && rows[l] < T ? "; this prompt is longer" : ""}`);
  table("poswindow", () => ({ head: ["layer", "tokens seen"], rows: rows.map((w, l) => [String(l + 1), w === null ? "all" : String(w)]) }));
}
