"use strict";

/* The values under the pointer, said in a small box. */
function watchChart(figure) {
  const svg = figure.querySelector(".plot svg");
  const tip = figure.querySelector(".tip");
  const cursor = svg.querySelector(".cursor");
  const { dots, lines } = JSON.parse(figure.querySelector("script").textContent);

  function nearest(line, x, y) {
    let best = null;
    line.at.forEach(([px, py], index) => {
      const away = dots ? Math.hypot(px - x, py - y) : Math.abs(px - x);
      if (best === null || away < best.away) best = { away, index, px, line };
    });
    return best;
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const unit = svg.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
    let found = lines.map((line) => nearest(line, x, y)).sort((a, b) => a.away - b.away);
    found = dots ? found.slice(0, 1) : found.filter((each) => Math.abs(each.px - found[0].px) < 2);
    const said = found.map((each) => [each.line.name, each.line.said[each.index]]);
    tip.textContent = dots
      ? `${said[0][0]}\nenergy ${said[0][1][0]}, error ${said[0][1][1]}`
      : [said[0][1][0], ...said.map(([name, [, value]]) => `${name}: ${value}`)].join("\n");
    tip.hidden = false;
    const left = found[0].px / unit;
    tip.style.top = "8px";
    tip.style.left = left < box.width / 2 ? `${left + 10}px` : "auto";
    tip.style.right = left < box.width / 2 ? "auto" : `${box.width - left + 10}px`;
    if (!figure.closest(".solve")) moveCursor(cursor, found[0].px);
  });
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    if (!figure.closest(".solve")) cursor.setAttribute("visibility", "hidden");
  });
}

function moveCursor(cursor, x) {
  cursor.setAttribute("transform", `translate(${x} 0)`);
  cursor.setAttribute("visibility", "visible");
}

document.querySelectorAll("figure.chart").forEach(watchChart);
