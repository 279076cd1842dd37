// Values under the pointer: a vertical line, and a small table of each curve's nearest point.
for (const chart of document.querySelectorAll("figure.chart")) {
  const svg = chart.querySelector("svg"), pointer = svg.querySelector(".pointer"), box = chart.querySelector(".values");
  const data = JSON.parse(svg.dataset.chart);
  const write = (v) => data.unit === "percent" ? (100 * v).toFixed(1) + "%"
    : Math.abs(v) >= 1e4 ? Math.round(v).toLocaleString() : String(Number(v.toPrecision(4)));
  const show = (event) => {
    const area = svg.getBoundingClientRect(), place = (event.clientX - area.left) / area.width * data.width;
    const at = data.low + (place - data.left) / (data.right - data.left) * (data.high - data.low);
    const nearest = data.lines.map((line) => {
      let best = 0;
      line.x.forEach((x, i) => { if (Math.abs(x - at) < Math.abs(line.x[best] - at)) best = i; });
      return { line, x: line.x[best], y: line.y[best] };
    });
    const x = nearest.reduce((a, b) => Math.abs(a.x - at) <= Math.abs(b.x - at) ? a : b).x;
    const screen = data.left + (x - data.low) / (data.high - data.low) * (data.right - data.left);
    pointer.setAttribute("x1", screen);
    pointer.setAttribute("x2", screen);
    box.replaceChildren(row("", data.x, String(Math.round(x))), ...nearest.map((n) => row("c" + n.line.colour, n.line.name, write(n.y))));
    box.hidden = false;
    const left = screen / data.width * area.width + svg.offsetLeft;
    box.style.left = (left > chart.clientWidth / 2 ? left - box.offsetWidth - 10 : left + 10) + "px";
    box.style.top = svg.offsetTop + 14 + "px";
  };
  const hide = () => { box.hidden = true; pointer.setAttribute("x1", -9); pointer.setAttribute("x2", -9); };
  svg.addEventListener("pointermove", show);
  svg.addEventListener("pointerdown", show);
  svg.addEventListener("pointerleave", hide);
}
function row(colour, name, value) {
  const line = document.createElement("div"), mark = document.createElement("i");
  mark.className = colour;
  line.append(mark, name + " ", Object.assign(document.createElement("b"), { textContent: value }));
  return line;
}
