// The page: unpack, set the controls up, draw; draw again when the theme, the width or the shown model changes.
function drawAll() {
  drawTokens(); drawAttention(); drawLens(); drawAblation(); drawPositions(); drawGeneration();
}
async function start() {
  $("wait").hidden = false;
  await unpack();
  state.at = T - 1;
  $("wait").hidden = true; $("views").hidden = false;
  setUpTokens(); setUpAttention(); setUpLens(); setUpAblation(); setUpGeneration();
  fillLayers();
  follows.push(tokensFollow, attentionFollows, lensFollows);
  drawAll();
  for (const radio of document.querySelectorAll("[name=whose]")) radio.addEventListener("change", () => {
    state.whose = Number(radio.value);
    fillLayers(); drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = innerWidth, wait = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(wait);
    wait = setTimeout(drawAll, 120);
  });
  document.documentElement.dataset.ready = "yes";
}
start().catch((error) => {
  $("wait").hidden = false;
  $("wait").textContent = `The data of this page could not be unpacked: ${error.message}.`;
});
