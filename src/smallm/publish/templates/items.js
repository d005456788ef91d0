// Browse items: unpack the rows, filter, show a page of them. Texts are set as text, never as markup.
const $ = (id) => document.getElementById(id), PAGE = 20, LONG = 700, MINUS = "\u2212";
const OUTCOMES = {
  right: ["right", (r) => r.correct === true], wrong: ["wrong", (r) => r.correct === false],
  lost: ["right \u2192 wrong", (r) => flip(r) < 0], won: ["wrong \u2192 right", (r) => flip(r) > 0], flipped: ["flipped, either way", (r) => flip(r) !== 0],
};
const TRAINING = { yes: ["in the training text", (r) => r.contaminated === true], no: ["not in it", (r) => r.contaminated === false], unknown: ["not checked", (r) => r.contaminated === undefined] };
const ORDERS = { file: "as in the file", worst: "lowest score first", best: "highest score first", sure: "surest first" };
const KEYS = ["task", "outcome", "source", "mark", "training", "order", "q"];
let data, shown = [], page = 0;

// 1 where a wrong answer became right, -1 where a right one became wrong, else 0.
function flip(r) {
  const was = r.other?.correct, now = r.correct;
  return was === undefined || now === undefined || was === now ? 0 : now ? 1 : -1;
}

async function unpack() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack gzip: use one of 2023 or later");
  const bytes = Uint8Array.from(atob($("payload").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function el(tag, name, text, parent) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined && text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function signed(number, digits) { return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", MINUS); }
function value(task, v) { return v === undefined || v === null ? "not measured" : signed(v * task.factor, task.digits) + task.unit; }

// Softmax over the choices' log-likelihoods, of a single text its own probability; null where one is no number.
function shares(logprobs) {
  if (!logprobs?.length || logprobs.some((x) => x === null)) return null;
  if (logprobs.length === 1) return [Math.exp(logprobs[0])];
  const top = Math.max(...logprobs), weights = logprobs.map((x) => Math.exp(x - top)), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

function percent(share) { return (share < 0.0005 && share > 0 ? "< 0.1" : (100 * share).toFixed(1)) + "\u00a0%"; }

// Long texts show one end: of a prompt the last words (what is asked stands there), of others the first.
function longText(text, tail, parent) {
  const box = el("div", "text", null, parent);
  box.dir = "auto";
  const letters = text.length > LONG ? Array.from(text) : [];
  if (letters.length <= LONG) { box.textContent = text; return; }
  const cut = tail ? "\u2026" + letters.slice(-LONG).join("") : letters.slice(0, LONG).join("") + "\u2026";
  box.textContent = cut;
  const button = el("button", "more", `Show all ${letters.length.toLocaleString("en")} characters`);
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") === "true";
    box.textContent = open ? cut : text;
    button.setAttribute("aria-expanded", String(!open));
    button.textContent = open ? `Show all ${letters.length.toLocaleString("en")} characters` : "Show less";
  });
  if (tail) parent.insertBefore(button, box); else parent.append(button);
}

function gauge(row, i, name, css, task, parent) {
  const share = shares(row.logprobs), line = el("div", "gauge" + css, null, parent), logprob = row.logprobs?.[i];
  const track = el("span", "track", null, line), fill = el("span", "fill", null, track);
  fill.style.width = share ? (100 * share[i]).toFixed(1) + "%" : "0";
  track.setAttribute("aria-hidden", "true");
  el("span", "", share ? percent(share[i]) : "no probability", line);
  let words = logprob === null || logprob === undefined ? "log-likelihood not measured" : `log-likelihood ${signed(logprob, 2)}`;
  const length = task.by === "byte" ? new TextEncoder().encode(row.texts[i]).length : Array.from(row.texts[i]).length;
  if (task.by && logprob !== null && length) words += `, ${signed(logprob / length, 3)} a ${task.by}`;
  el("span", "small", name + words, line);
}

function choices(r, task, parent) {
  const list = el("ol", "choices", null, parent), both = r.other?.logprobs;
  r.choices.forEach((text, i) => {
    const li = el("li", i === r.gold ? "gold" : "", null, list), badges = [];
    if (i === r.gold && r.choices.length > 1) badges.push(["\u2713", "right answer", "right"]);
    if (r.choices.length === 1) badges.push(["\u2192", `target: ${r.correct ? "what" : "not what"} the model would write first`, ""]);
    const chose = r.choices.length === 1 ? [] : [r.other && i === r.other.chosen && data.names[1], i === r.chosen && (r.other ? data.names[0] : "the model")].filter(Boolean);
    if (chose.length) badges.push(["\u25b6", `chosen by ${chose.join(" and ")}`, i === r.gold ? "right" : "wrong"]);
    if (badges.length) {
      const line = el("div", "badges", null, li);
      for (const [sign, words, css] of badges) {
        const badge = el("b", "", null, line);
        el("span", "sign " + css, sign + " ", badge).setAttribute("aria-hidden", "true");
        badge.append(words);
      }
    }
    longText(text.trim() || "(empty)", false, el("div", "", null, li));
    const bars = el("div", "", null, li);
    if (both) gauge({ logprobs: both, texts: r.choices }, i, data.names[1] + ": ", " before", task, bars);
    if (r.logprobs) gauge({ logprobs: r.logprobs, texts: r.choices }, i, both ? data.names[0] + ": " : "", "", task, bars);
  });
}

function versus(r, parent) {
  const box = el("div", "versus", null, parent);
  const part = (title, texts) => {
    const div = el("div", "", null, box);
    el("h3", "", title, div);
    for (const text of texts) if (text) longText(text, false, div); else el("div", "empty", "(nothing)", div);
  };
  if (r.other && r.other.text !== undefined) part(`written by ${data.names[1]}`, [r.other.text]);
  if (r.text !== undefined || r.answer) part(r.other ? `written by ${data.names[0]}` : "written by the model", [r.text]);
  if (r.answer) part(r.answer.length > 1 ? "references, any of which is right" : "reference", r.answer);
}

function outcome(r, task, parent) {
  const word = (correct) => (correct === undefined ? "" : correct ? "right" : "wrong"), sign = (correct) => (correct ? "\u2713" : "\u2717");
  const box = el("span", "outcome", null, parent);
  const say = (correct) => { el("span", "sign " + word(correct), sign(correct) + " ", box).setAttribute("aria-hidden", "true"); box.append(word(correct)); };
  if (flip(r)) { say(r.other.correct); box.append(" \u2192 "); }
  if (r.correct !== undefined) say(r.correct);
  if (!task.binary && r.value !== undefined) {
    const was = r.other?.value !== undefined ? value(task, r.other.value) + " \u2192 " : "";
    box.append(`${r.correct === undefined ? "" : ", "}${was}${value(task, r.value)} ${task.title}`);
  }
}

function card(r) {
  const task = data.tasks[r.task], li = el("li", "item" + (r.correct === undefined ? "" : r.correct ? " right" : " wrong"));
  const header = el("header", "", null, li);
  outcome(r, task, header);
  el("span", "task", r.task, header);
  if (r.source) el("span", "", r.source, header);
  for (const mark of r.marks ?? []) { el("span", "chip", mark, header).title = MARKS[mark] ?? mark; }
  if (r.contaminated) el("span", "chip warn", "in the training text", header);
  if (r.tokens) el("span", "small", `${r.tokens.toLocaleString("en")} token${r.tokens === 1 ? "" : "s"} scored`, header);
  el("span", "id", r.id, header);
  if (r.prompt) longText(r.prompt, Boolean(r.choices || r.answer), li);
  if (r.choices) choices(r, task, li);
  if (r.continuation) longText("\u2026" + r.continuation, false, li);
  if (r.text !== undefined || r.answer) versus(r, li);
  return li;
}

function haystack(r) {
  r.found ??= [r.prompt, r.text, r.other?.text, r.id, ...(r.choices ?? []), ...(r.answer ?? [])].filter(Boolean).join("\n").toLowerCase();
  return r.found;
}

function order(rows, how) {
  if (how === "file") return rows;
  const none = (x) => (x === undefined || x === null ? -Infinity : x);
  const better = (r) => none(r.value) * (data.tasks[r.task].higher ? 1 : -1);
  const sure = (r) => { const s = shares(r.logprobs); return s && r.chosen !== undefined ? s[r.chosen] : -1; };
  const key = new Map(rows.map((r) => [r, how === "sure" ? sure(r) : better(r)]));
  return [...rows].sort((a, b) => (how === "worst" ? key.get(a) - key.get(b) : key.get(b) - key.get(a)) || 0);
}

function apply(keepPage) {
  const get = (name) => $(name)?.value ?? "", q = get("q").trim().toLowerCase();
  const tests = [];
  if (get("task")) tests.push((r) => r.task === get("task"));
  if (get("outcome")) tests.push(OUTCOMES[get("outcome")][1]);
  if (get("source")) tests.push((r) => r.source === get("source"));
  if (get("mark")) tests.push((r) => r.marks?.includes(get("mark")));
  if (get("training")) tests.push(TRAINING[get("training")][1]);
  if (q) tests.push((r) => haystack(r).includes(q));
  shown = order(data.rows.filter((r) => tests.every((test) => test(r))), get("order") || "file");
  page = keepPage ? Math.min(page, Math.max(0, Math.ceil(shown.length / PAGE) - 1)) : 0;
  draw();
  const state = new URLSearchParams(KEYS.filter((k) => get(k) && !(k === "order" && get(k) === "file")).map((k) => [k, get(k)])).toString();
  if (state !== location.hash.slice(1)) history.replaceState(null, "", state ? "#" + state : location.pathname);
}

function draw() {
  const first = page * PAGE, last = Math.min(first + PAGE, shown.length), n = (x) => x.toLocaleString("en");
  $("list").replaceChildren(...shown.slice(first, last).map(card));
  $("status").textContent = shown.length ? `${n(first + 1)} to ${n(last)} of ${n(shown.length)}` + (shown.length < data.rows.length ? ` (${n(data.rows.length)} in all)` : "") : `None of ${n(data.rows.length)} items: loosen a filter.`;
  for (const button of document.querySelectorAll(".previous")) button.disabled = !page;
  for (const button of document.querySelectorAll(".next")) button.disabled = last >= shown.length;
  document.querySelector(".pager.below").hidden = shown.length <= PAGE;
}

function options(id, entries) {
  const select = $(id);
  if (!select) return;
  if (entries.length < 2 && id !== "order") { select.closest("label").remove(); return; }
  for (const [key, words] of entries) { el("option", "", words, select).value = key; }
}

function counted(names) {
  const found = new Map();
  for (const name of names) if (name) found.set(name, (found.get(name) ?? 0) + 1);
  return [...found].map(([name, n]) => [name, `${name} (${n.toLocaleString("en")})`]);
}

function fromAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const key of KEYS) {
    const field = $(key);
    if (!field) continue;
    field.value = state.get(key) ?? (key === "order" ? "file" : "");
    if (field.value === "" && key === "order") field.value = "file";
  }
  apply();
}

function turn(step) {
  page += step;
  draw();
  $("items").scrollIntoView();
  $("status").focus({ preventScroll: true });
}

unpack().then((content) => {
  data = content;
  const any = (test) => data.rows.some(test);
  options("task", counted(data.rows.map((r) => r.task)));
  options("outcome", Object.entries(OUTCOMES).filter(([, [, test]]) => any(test)).map(([key, [words, test]]) => [key, `${words} (${data.rows.filter(test).length.toLocaleString("en")})`]));
  options("source", counted(data.rows.map((r) => r.source)));
  options("mark", counted(data.rows.flatMap((r) => r.marks ?? [])));
  options("training", Object.entries(TRAINING).filter(([, [, test]]) => any(test)).map(([key, [words]]) => [key, words]));
  options("order", Object.entries(ORDERS));
  let timer;
  $("filters").addEventListener("input", (event) => { clearTimeout(timer); timer = setTimeout(apply, event.target.id === "q" ? 150 : 0); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("filters").addEventListener("reset", () => setTimeout(() => { $("order").value = "file"; apply(); }));
  for (const button of document.querySelectorAll(".previous")) button.addEventListener("click", () => turn(-1));
  for (const button of document.querySelectorAll(".next")) button.addEventListener("click", () => turn(1));
  addEventListener("hashchange", fromAddress);
  fromAddress();
  $("browser").hidden = false;
  $("wait").remove();
}).catch((error) => { $("wait").textContent = `The items could not be shown: ${error.message}`; });
