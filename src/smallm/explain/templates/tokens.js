// The prompt as tokens: coloured by how they were predicted, and what was expected in place of the chosen one.
const surpriseOf = (m) => array(m.p).map((p) => -Math.log2(p));
const COLOURS = {
  surprise: ["surprise", () => shownArray(surpriseOf), bits, 12],
  p: ["probability", () => shownArray((m) => array(m.p)), percent, 1],
  rank: ["rank", () => shownArray((m) => Float32Array.from(array(m.rank), (r) => (r ? Math.log2(r) : NaN))), (x, sign) => (sign ? `${signed(x, 1)} doublings` : `rank ${Math.round(2 ** x).toLocaleString("en")}`), 12],
  entropy: ["entropy of what follows", () => shownArray((m) => array(m.entropy)), bits, 12],
  divergence: ["divergence of the two predictions of what follows", () => array(data.divergence), (x) => bits(x), 4],
};

function drawTokens() {
  const by = $("colour-by").value, [name, read, say, top] = COLOURS[by], values = read(), scale = scales();
  const differs = both() && by !== "divergence", limit = differs ? top / 3 : top;
  const place = $("strip");
  place.replaceChildren();
  for (let t = 0; t < T; t++) {
    const v = values[t], option = el("span", "token", token(t), place);
    option.id = `token-${t}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", String(t === state.at));
    option.setAttribute("aria-label", `${t + 1}: ${marked(token(t))}, ${Number.isFinite(v) ? `${name} ${say(v, differs)}` : "nothing stands before it"}`);
    if (Number.isFinite(v)) {
      const colour = differs ? scale.both(v / limit) : by === "p" ? scale.plain(v) : scale.heat(v / limit);
      option.style.background = paint(colour);
      option.style.color = over(colour);
    }
    option.addEventListener("click", () => choose(t));
    if (token(t).endsWith("\u23ce")) el("br", "", null, place);
  }
  place.setAttribute("aria-activedescendant", `token-${state.at}`);
  const legend = $("strip-legend"), from = differs ? scale.both(-1) : scale.plain(0), to = differs ? scale.both(1) : by === "p" ? scale.plain(1) : scale.heat(1);
  legend.replaceChildren(differs ? say(-limit, true) : say(0));
  const bar = el("i", "", null, legend);
  bar.style.background = `linear-gradient(90deg,${paint(from)},${differs ? paint(scale.both(0)) + "," : ""}${paint(to)})`;
  legend.append(`${say(limit, differs)}${by === "p" ? "" : " and more"}`);
  drawChosen();
  drawSurprise();
}

function drawChosen() {
  const place = $("chosen"), t = state.at;
  place.replaceChildren();
  const left = el("div", "", null, place), right = el("div", "", null, place);
  const first = el("p", "", `Token ${t + 1} of ${T}: `, left);
  el("b", "w", marked(token(t)), first);
  first.append(` (id ${data.ids[t].toLocaleString("en")})`);
  data.models.forEach((m, i) => {
    const p = array(m.p)[t], who = data.models.length > 1 ? `${NAMES[i]}: ` : "";
    el("p", "", t ? `${who}${percent(p)} likely, rank ${array(m.rank)[t].toLocaleString("en")}, ${bits(-Math.log2(p))} of surprise` : `${who}nothing stands before it, so nothing predicted it`, left);
    el("p", "small", `What follows it: ${bits(array(m.entropy)[t])} of entropy`, left);
  });
  if (data.divergence) el("p", "small", `The two predictions of what follows are ${bits(array(data.divergence)[t])} apart`, left);
  const m = model(), n = m.alternatives, from = t ? t - 1 : T - 1;
  el("p", "small", `${data.models.length > 1 ? NAMES[data.models.indexOf(m)] + ": " : ""}${t ? "what it expected in its place" : "what it expects after the whole prompt"}`, right);
  for (let k = 0; k < n; k++) {
    const word = array(m.top)[from * n + k], p = array(m.topP)[from * n + k], it = t && word === data.tokens[t];
    const row = el("div", it ? "bar it" : "bar", null, right);
    el("span", "name w", marked(words[word]), row);
    el("span", it ? "fill b2" : "fill b1", null, el("span", "track", null, row)).style.width = `${Math.max(0.5, 100 * p)}%`;
    el("span", "n", percent(p), row);
  }
}

function drawSurprise() {
  const values = shownArray(surpriseOf), width = room("surprise"), left = 38, base = 18, height = 170, differs = both();
  const step = Math.max(5, (width - left - 8) / T), whole = left + step * T + 8;
  heading("surprise", differs ? "Difference in surprise by token" : "Surprise by token");
  const svg = begin("surprise", Math.max(width, Math.ceil(whole)), height, $("surprise-title").textContent);
  const most = peak(values, 1);
  const zero = differs ? height / 2 : height - base, scale = (zero - 12) / most;
  for (const v of differs ? [-most, 0, most] : [0, most / 2, most]) {
    const y = zero - v * scale;
    line(svg, left, y, whole - 8, y);
    label(svg, left - 6, y + 4, fixed(v, most < 3 ? 1 : 0), { muted: true, at: { "text-anchor": "end" } });
  }
  for (let t = 0; t < T; t++) {
    const v = values[t];
    if (!Number.isFinite(v)) continue;
    rect(svg, left + t * step + step * 0.12, v < 0 ? zero : zero - v * scale, step * 0.76, Math.abs(v) * scale, differs && v < 0 ? "var(--c2)" : differs ? "var(--c1)" : "var(--c3)");
    if (step >= 34) label(svg, left + (t + 0.5) * step, height - 4, cut(token(t), Math.floor(step / 8)), { muted: true, at: { "text-anchor": "middle", class: "mono", "font-size": 11 } });
  }
  if (!differs && step < 34) label(svg, left, height - 4, "first token", { muted: true, at: { "font-size": 11 } });
  walk("surprise", svg, { x: left, y: 0, w: step, h: height, rows: 1, columns: T }, [0, state.at], (_, t) => choose(t),
    (_, t) => `${t + 1}: ${marked(token(t))} \u2014 ${Number.isFinite(values[t]) ? bits(values[t], differs) : "nothing stands before it"}`);
  table("surprise", () => ({
    head: ["token", "text", ...data.models.flatMap((_, i) => ["probability", "rank", "surprise", "expected instead"].map((h) => (data.models.length > 1 ? `${h} (${NAMES[i]})` : h)))],
    rows: Array.from({ length: T }, (_, t) => [String(t + 1), marked(token(t)), ...data.models.flatMap((m) => {
      const n = m.alternatives, some = [...Array(t ? n : 0).keys()].map((k) => `${marked(words[array(m.top)[(t - 1) * n + k]])} ${percent(array(m.topP)[(t - 1) * n + k])}`);
      return [t ? percent(array(m.p)[t]) : "\u2013", t ? String(array(m.rank)[t]) : "\u2013", t ? bits(-Math.log2(array(m.p)[t])) : "\u2013", some.join(", ")];
    })]),
  }));
}

function choose(t) {
  const before = state.at;
  state.at = t;
  for (const follow of follows) follow(t, before);
}
function tokensFollow(t, before) {
  for (const at of [before, t]) $(`token-${at}`).setAttribute("aria-selected", String(at === t));
  $("strip").setAttribute("aria-activedescendant", `token-${t}`);
  drawChosen();
  marks.surprise.move(0, t);
}
function setUpTokens() {
  for (const [value, [name]] of Object.entries(COLOURS)) if (value !== "divergence" || data.divergence) el("option", "", name, $("colour-by")).value = value;
  $("colour-by").addEventListener("change", drawTokens);
  $("strip").addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -T, End: T }[event.key];
    if (!step) return;
    event.preventDefault();
    choose(Math.min(T - 1, Math.max(0, state.at + step)));
    $(`token-${state.at}`).scrollIntoView({ block: "nearest" });
  });
}
