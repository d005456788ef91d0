// The cross-hair of the line charts: the nearest point is named. Without scripts the axes say the same.
for (const svg of document.querySelectorAll("svg[data-points]")) {
  const points = JSON.parse(svg.dataset.points), plot = svg.parentElement;
  const tip = plot.appendChild(document.createElement("div")), dot = plot.appendChild(document.createElement("div"));
  tip.className = "tip"; dot.className = "dot";
  const hide = () => { tip.style.opacity = dot.style.opacity = 0; };
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    if (!box.width) return;
    const scale = box.width / view.width, x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
    let best = null, least = Infinity;
    for (const p of points) {
      const far = (p[0] - x) ** 2 * 9 + (p[1] - y) ** 2;
      if (far < least) { least = far; best = p; }
    }
    if (!best) return hide();
    dot.style.left = best[0] * scale + "px"; dot.style.top = best[1] * scale + "px";
    dot.style.background = "var(" + best[3] + ")";
    tip.textContent = best[2];
    const half = tip.offsetWidth / 2;
    tip.style.left = Math.min(Math.max(best[0] * scale, half), box.width - half) + "px"; tip.style.top = best[1] * scale + "px";
    tip.style.opacity = dot.style.opacity = 1;
  });
}
