// The data: unpacked from the block of pack.py into arrays; the state that all views share.
const $ = (id) => document.getElementById(id), MINUS = "\u2212";
let data, T, words, bytes;
// whose: 0 the model, 1 the other, 2 their difference; at: the chosen token; layer, head: -1 is the mean.
const state = { whose: 0, at: 0, layer: 0, head: -1, view: "matrix", sink: false, step: 0 };
const follows = [];  // functions (token, the one before) that show another choice without drawing anew

async function unpack() {
  if (typeof DecompressionStream === "undefined") throw new Error("this browser cannot unpack gzip: use one of 2023 or later");
  const packed = Uint8Array.from(atob($("payload").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  bytes = await new Response(stream).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  data = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  data.start = 4 + length;
  words = data.words; T = data.tokens.length;
}

const KINDS = { u8: Uint8Array, i8: Int8Array, u32: Uint32Array, f32: Float32Array };
function array([kind, at, size]) { return new KINDS[kind](bytes, data.start + at, size); }

const model = () => data.models[state.whose === 1 ? 1 : 0];  // of a difference the first: its layers and words
const both = () => state.whose === 2;
const token = (t) => words[data.tokens[t]];
// A word where spaces at its ends must be seen: in tables, labels and sentences.
function marked(word) { return word.replace(/^ +| +$/g, (s) => "\u2423".repeat(s.length)); }
function cut(word, n) { const letters = Array.from(marked(word)); return letters.length > n ? letters.slice(0, n - 1).join("") + "\u2026" : letters.join(""); }

// Attention of a model: weights(t, s) of a layer and head (-1: the mean of those that have it), of the rollout, with or
// without the sink.
const unsquare = Float32Array.from({ length: 256 }, (_, q) => (q / 255) ** 2);
const lower = (t) => (t * (t + 1)) / 2;
const cache = new Map();
function weights(m, what, layer, head, sink) {
  const key = [data.models.indexOf(m), what, layer, head, sink].join();
  if (cache.has(key)) return cache.get(key);
  const size = lower(T), out = new Float32Array(size);
  const add = (source, at, share) => { for (let i = 0; i < size; i++) out[i] += share * unsquare[source[at + i]]; };
  if (what === "rollout") {
    add(array(sink ? m.rolloutNoSink : m.rollout), layer * size, 1);
  } else {
    const layers = (layer < 0 ? [...m.attention.keys()] : [layer]).filter((l) => head < headsOf(m, l) && headsOf(m, l));
    for (const l of layers) {
      const source = array(m.attention[l]), some = head < 0 ? [...Array(headsOf(m, l)).keys()] : [head];
      for (const h of some) add(source, h * size, 1 / some.length / layers.length);
    }
    if (sink) for (let t = 1; t < T; t++) {
      let sum = 0;
      out[lower(t)] = 0;
      for (let s = 1; s <= t; s++) sum += out[lower(t) + s];
      if (sum > 1e-6) for (let s = 1; s <= t; s++) out[lower(t) + s] /= sum;
      else out[lower(t) + t] = 1;
    }
  }
  if (cache.size > 400) cache.clear();
  cache.set(key, out);
  return out;
}
const headsOf = (m, layer) => m.attention[layer] ? m.attention[layer][2] / lower(T) : 0;
// The same of what is shown: a model's, or the difference of both.
function shownWeights(what, layer, head, sink) {
  if (!both()) return weights(model(), what, layer, head, sink);
  const [a, b] = data.models.map((m) => weights(m, what, layer, head, sink));
  return a.map((x, i) => x - b[i]);
}

// Numbers of one model, or of the first minus the second.
function shownArray(read) {
  if (!both()) return read(model());
  const [a, b] = data.models.map(read);
  return Float32Array.from(a, (x, i) => x - b[i]);
}

// The largest size in an array, at least `least` (a spread call has no room for a large one).
function peak(values, least) {
  let most = least;
  for (const v of values) if (Math.abs(v) > most) most = Math.abs(v);
  return most;
}
function fixed(x, digits) { return (Number.isFinite(x) ? x.toFixed(digits) : "\u2013").replace("-", MINUS); }
function signed(x, digits) { return (x > 0 ? "+" : "") + fixed(x, digits); }
function percent(p, sign) {
  if (!Number.isFinite(p)) return "\u2013";
  if (sign) return (p > 0 ? "+" : "") + fixed(100 * p, Math.abs(p) < 0.001 && p ? 3 : 1) + "\u00a0pp";  // percentage points
  return p > 0 && p < 0.0005 ? "< 0.1\u00a0%" : fixed(100 * p, 1) + "\u00a0%";
}
function bits(x, sign) { return Number.isFinite(x) ? (sign ? signed(x, 2) : fixed(x, 2)) + " bits" : "\u2013"; }
