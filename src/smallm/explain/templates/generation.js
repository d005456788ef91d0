// A generation, step by step: the distribution as the sampler narrows it, and the draw.
const FILTERS = { model: "the model's own", temperature: "after temperature", "top-k": "after top-k", "top-p": "after top-p", "min-p": "after min-p" };
const steps = () => model().generation.steps;

function setUpGeneration() {
  if (!$("gen")) return;
  const go = (n) => { state.step = Math.min(steps().length - 1, Math.max(0, n)); drawGeneration(); };
  $("gen-back").addEventListener("click", () => go(state.step - 1));
  $("gen-next").addEventListener("click", () => go(state.step + 1));
  $("gen-at").addEventListener("input", () => go(Number($("gen-at").value) - 1));
}

function settings(it) {
  const s = it.sampling;
  if (it.greedy) return "Greedy: always the likeliest token, nothing is drawn";
  return [`temperature ${s.temperature}`, s.top_k ? `top-k ${s.top_k}` : "", s.top_p < 1 ? `top-p ${s.top_p}` : "", s.min_p ? `min-p ${s.min_p}` : "", `seed ${s.seed}`].filter(Boolean).join(", ").replace(/^t/, "T");
}
function parted() {
  const [a, b] = data.models.map((m) => m.generation.steps.map((s) => s.words[s.drawn]));
  const at = a.findIndex((w, i) => w !== b[i]);
  return at < 0 && a.length === b.length ? "Both models write the same tokens." : `They part at token ${(at < 0 ? Math.min(a.length, b.length) : at) + 1}.`;
}

function drawGeneration() {
  if (!$("gen")) return;
  const it = model().generation, all = steps();
  $("gen-hint").textContent = `${settings(it)}; the same sampler as smallm generate. Ended by: ${it.reason}.${data.models.length > 1 ? " " + parted() + (both() ? ` Shown: ${NAMES[0]}.` : "") : ""}`;
  if (!all.length) { $("gen-text").textContent = ""; nothing("gen", "The prompt fills the context: there is no room for another token."); return; }
  state.step = Math.min(state.step, all.length - 1);
  const step = all[state.step], range = $("gen-at"), word = (s) => words[s.words[s.drawn]];
  range.max = all.length; range.value = state.step + 1;
  range.setAttribute("aria-valuetext", `token ${state.step + 1} of ${all.length}: ${marked(word(step))}`);
  $("gen-back").disabled = state.step === 0; $("gen-next").disabled = state.step === all.length - 1;
  const text = $("gen-text");
  text.replaceChildren();
  el("span", "old", Array.from({ length: T }, (_, t) => token(t)).join(""), text);
  for (let i = 0; i <= state.step; i++) el("span", i === state.step ? "now" : "", word(all[i]), text);
  drawStep(step);
}

function drawStep(step) {
  const names = Object.keys(step.stages), n = step.words.length, wide = room("gen"), phone = wide < 560;
  heading("gen", `Token ${state.step + 1}: \u201c${marked(words[step.words[step.drawn]])}\u201d`);
  const left = Math.min(130, wide * 0.27), h = 21, column = phone ? wide - left - 64 : (wide - left) / names.length, blocks = phone ? names.length : 1;
  const tall = 24 + n * h + 14, line_ = step.number === null ? 0 : 62;
  const svg = begin("gen", wide, blocks * tall + line_, $("gen-title").textContent);
  names.forEach((name, k) => {
    const x0 = phone ? left : left + k * column, y0 = phone ? k * tall : 0, p = step.stages[name];
    label(svg, x0, y0 + 14, `${FILTERS[name]} (${step.remaining[name].toLocaleString("en")} ids)`, { muted: true, at: { "font-size": 11.5 } });
    for (let i = 0; i < n; i++) {
      const y = y0 + 22 + i * h, unit = phone ? column : column - 62;
      if (phone || k === 0) label(svg, left - 8, y + 14, cut(words[step.words[i]], Math.floor((left - 10) / 7.6)), { at: { "text-anchor": "end", class: "mono", ...(i === step.drawn ? { "font-weight": 700 } : {}) } });
      rect(svg, x0, y + 3, unit, h - 7, "var(--soft)", { rx: 2 });
      if (p[i] > 0) rect(svg, x0, y + 3, Math.max(1, p[i] * unit), h - 7, i === step.drawn ? "var(--c2)" : "var(--c1)", { rx: 2 });
      label(svg, x0 + unit + 5, y + 14, p[i] > 0 ? percent(p[i]) : "out", { muted: !(p[i] > 0), at: { "font-size": 11.5 } });
    }
  });
  if (step.number !== null) {
    const y = blocks * tall + 8, x = (v) => 6 + (wide - 12) * v, [low, high] = step.interval;
    label(svg, 6, y + 4, "the draw: all ids in a row, each as wide as its probability", { muted: true, at: { "font-size": 11.5 } });
    rect(svg, x(0), y + 14, wide - 12, 12, "var(--soft)", { rx: 3 });
    rect(svg, x(low), y + 14, Math.max(2, x(high) - x(low)), 12, "var(--c2)");
    line(svg, x(step.number), y + 9, x(step.number), y + 31, "var(--ink)", { "stroke-width": 2 });
    label(svg, Math.min(Math.max(x(step.number), 40), wide - 40), y + 46, fixed(step.number, 4), { at: { "text-anchor": "middle", "font-size": 11.5 } });
  }
  const drawn = step.number === null ? "taken as the likeliest" : `drawn: the number ${fixed(step.number, 4)} fell between ${fixed(step.interval[0], 4)} and ${fixed(step.interval[1], 4)}`;
  const ends = step.ends ? " It ends the text." : "";
  walk("gen", svg, { x: 0, y: 22, w: phone ? wide : wide, h, rows: n, columns: 1 }, [step.drawn, 0], () => {}, (i) => `\u201c${marked(words[step.words[i]])}\u201d: ${names.map((k) => `${FILTERS[k]} ${step.stages[k][i] > 0 ? percent(step.stages[k][i]) : "out"}`).join(", ")}${i === step.drawn ? `; ${drawn}.${ends}` : ""}`);
  table("gen", () => ({
    head: ["token", ...names.map((k) => FILTERS[k]), ""],
    rows: step.words.map((w, i) => [marked(words[w]), ...names.map((k) => (step.stages[k][i] > 0 ? percent(step.stages[k][i]) : "out")), i === step.drawn ? "drawn" : ""]),
  }));
}
