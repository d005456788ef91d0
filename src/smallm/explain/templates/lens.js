// The logit lens: a row for the state after each layer, a column for each token, its first choice in the cell. Of a long
// prompt the cells are colours alone, and a cell's words stand below it when it is pointed at.
const LENS_WORDS = 5000;  // 150 tokens of 32 layers
const rowName = (l, rows) => (l === 0 ? "embedding" : l === rows - 1 ? "output" : `layer ${l}`);

function drawLens() {
  const m = model(), lens = m.lens, by = $("lens-by").value, differs = both();
  heading("lensmap", differs ? "Difference in the logit lens" : "Logit lens");
  if (!lens) return nothing("lensmap", "Not measured: this model's output is not a function of its last layer alone.");
  if (differs && MISSING.lens) return nothing("lensmap", `No difference: ${MISSING.lens}.`);
  const rows = lens.rows, n = lens.alternatives, top = array(lens.top), topP = array(lens.topP), scale = scales();
  const read = { p: (x) => array(x.lens.topP).filter((_, i) => i % n === 0), entropy: (x) => array(x.lens.entropy), actual: (x) => array(x.lens.actual) }[by];
  const values = shownArray(read), most = peak(values, by === "entropy" ? 1 : 0.02);
  const colour = (v) => (differs ? scale.both(v / most) : by === "entropy" ? scale.heat(v / most) : scale.plain(v));
  const say = (v) => (by === "entropy" ? bits(v, differs) : percent(v, differs));
  const written = rows * T <= LENS_WORDS, left = 76, h = 24, head = 24;
  const w = written ? Math.max(64, Math.min(110, (room("lensmap") - left) / T)) : 14;
  const svg = begin("lensmap", Math.ceil(left + w * T + 2), head + h * rows + 2, $("lensmap-title").textContent);
  picture(svg, left, head, w * T, h * rows, rows, T, (l, t) => colour(values[l * T + t]));
  for (let t = 0; t < T; t++) {
    line(svg, left + t * w, head, left + t * w, head + h * rows, "var(--card)");
    if (written) label(svg, left + (t + 0.5) * w, 16, cut(token(t), Math.floor(w / 8)), { at: { "text-anchor": "middle", class: "mono", "data-token": t } });
    else if (t % 16 === 0) label(svg, left + t * w, 16, String(t + 1), { muted: true, at: { "font-size": 11 } });
  }
  for (let l = 0; l < rows; l++) {
    line(svg, left, head + l * h, left + w * T, head + l * h, "var(--card)");
    label(svg, left - 6, head + (l + 0.5) * h + 4, rowName(l, rows), { muted: l < rows - 1, at: { "text-anchor": "end" } });
    for (let t = 0; written && t < T; t++) {
      const i = l * T + t, text = differs ? (by === "entropy" ? signed(values[i], 1) : percent(values[i], true)) : cut(words[top[i * n]], Math.floor(w / 8));
      draw("text", { x: left + (t + 0.5) * w, y: head + (l + 0.5) * h + 4, "font-size": 12, "text-anchor": "middle", class: "mono", style: `fill:${over(colour(values[i]))}` }, svg, text);
    }
  }
  embolden("lensmap", state.at);
  const says = (l, t) => {
    const i = l * T + t, some = [...Array(n).keys()].map((k) => `\u201c${marked(words[top[i * n + k]])}\u201d ${percent(topP[i * n + k])}`);
    const own = data.models.map((x, k) => `${data.models.length > 1 ? NAMES[k] + ": " : ""}${bits(array(x.lens.entropy)[i])} of entropy, ${percent(array(x.lens.actual)[i])} for what came next`);
    return `After \u201c${marked(token(t))}\u201d, ${rowName(l, rows)}: ${differs ? say(values[i]) + "; " + own.join("; ") : some.join(", ") + "; " + own[Math.min(state.whose, 1)]}`;
  };
  walk("lensmap", svg, { x: left, y: head, w, h, rows, columns: T }, [rows - 1, state.at], (_, t) => choose(t), says);
  table("lensmap", () => ({
    head: ["row", ...Array.from({ length: T }, (_, t) => `${t + 1} ${marked(token(t))}`)],
    rows: Array.from({ length: rows }, (_, l) => [rowName(l, rows), ...Array.from({ length: T }, (_, t) => {
      const i = l * T + t;
      return differs ? say(values[i]) : `${marked(words[top[i * n]])} ${percent(topP[i * n])}, ${bits(array(lens.entropy)[i])}`;
    })]),
  }));
}
// Another token was chosen: the mark stays in its row.
function lensFollows(t, before) {
  if (!marks.lensmap) return;
  embolden("lensmap", t, before);
  if (marks.lensmap.column() !== t) marks.lensmap.move(marks.lensmap.row(), t);
}
function setUpLens() { $("lens-by").addEventListener("change", drawLens); }
