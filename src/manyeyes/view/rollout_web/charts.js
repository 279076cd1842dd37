// Charts over time on a canvas each, and bars; what is under the pointer is told in words.

import { el, hideTip, setText, sharp, showTip } from "./dom.js";
import { colours, series } from "./colours.js";

const LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 20, HEIGHT = 190;

// `kind` "area" stacks the series, "line" draws them over each other.
export class TimeChart {
  constructor(panel, { kind, format, most, places = {} }) {
    Object.assign(this, { kind, format, most, places, keys: [], times: [], values: [], mark: null });
    this.canvas = el("canvas", { role: "img" });
    this.box = el("div", { class: "plot" }, this.canvas);
    this.legend = el("ul", { class: "key" });
    panel.append(this.box, this.legend);
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { hideTip(); this.mark = null; this.draw(); });
  }

  // `values[k][i]` is what `keys[k]` is at `times[i]`; null where it is not known. `over` is a limit.
  show(keys, times, values, over = null) {
    Object.assign(this, { times, values, over });
    if (this.keys.join() !== keys.join()) {
      this.keys = keys;
      this.legend.replaceChildren();
      this.swatches = keys.map((key, place) => {
        const swatch = el("i");
        this.legend.append(el("li", {}, swatch, key));
        return swatch;
      });
    }
    this.draw();
  }

  get top() {
    let most = 0;
    for (let i = 0; i < this.times.length; i += 1) {
      let sum = 0;
      for (const row of this.values) {
        const value = row[i] || 0;
        sum = this.kind === "area" ? sum + value : Math.max(sum, value);
      }
      most = Math.max(most, sum);
    }
    // A limit that is far away would leave no room for what it limits.
    const limit = this.over ? Math.max(...this.over) : 0;
    return this.most || nice(limit <= 3 * most ? Math.max(most, limit) : most);
  }

  get bottom() {
    if (this.kind === "area") return 0;
    let least = 0;
    for (const row of this.values) for (const value of row) if (value < least) least = value;
    return least < 0 ? -nice(-least) : 0;
  }

  draw() {
    const width = this.box.clientWidth;
    if (!width) return;
    const context = this.context = sharp(this.canvas, width, HEIGHT);
    (this.swatches || []).forEach((swatch, place) => { swatch.style.background = this.colour(place); });
    context.clearRect(0, 0, width, HEIGHT);
    const [low, high] = [this.bottom, this.top];
    const first = this.times[0] || 0, last = this.times.at(-1) || 1;
    this.x = (time) => LEFT + (width - LEFT - RIGHT) * (time - first) / Math.max(1e-9, last - first);
    this.y = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / Math.max(1e-9, high - low);
    this.grid(context, width, low, high, first, last);
    if (this.kind === "area") this.areas(context);
    else this.values.forEach((row, place) => this.line(context, row, this.colour(place)));
    if (this.over && Math.max(...this.over) <= high) this.line(context, this.over, colours.quiet, [4, 4]);
    if (this.mark !== null && this.mark < this.times.length) {
      context.fillStyle = colours.quiet;
      context.fillRect(this.x(this.times[this.mark]), TOP, 1, HEIGHT - TOP - BOTTOM);
    }
    const told = this.keys.map((key, place) => `${key} ${this.format(this.values[place].at(-1) || 0)}`);
    this.canvas.setAttribute("aria-label", told.join(", "));
  }

  // The same thing has the same colour in every chart.
  colour(place) { return series(this.places[this.keys[place]] ?? place); }

  grid(context, width, low, high, first, last) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let step = 0; step <= 4; step += 1) {
      const value = low + (high - low) * step / 4, y = Math.round(this.y(value)) + 0.5;
      context.fillStyle = colours.grid;
      context.fillRect(LEFT, y - 0.5, width - LEFT - RIGHT, 1);
      context.fillStyle = colours.quiet;
      const label = this.format(value);
      if (!(Math.abs(Number(label) - value) > (high - low) / 100)) context.fillText(label, LEFT - 6, y); // 0.25 is not "0"
    }
    context.textBaseline = "alphabetic";
    const steps = width < 420 ? 2 : 4;
    for (let step = 0; step <= steps; step += 1) {
      context.textAlign = step === 0 ? "left" : step === steps ? "right" : "center";
      const time = first + (last - first) * step / steps;
      context.fillText(clock(time), this.x(time), HEIGHT - 5);
    }
  }

  areas(context) {
    const below = new Float64Array(this.times.length);
    this.values.forEach((row, place) => {
      context.fillStyle = this.colour(place);
      context.beginPath();
      for (let i = 0; i < this.times.length; i += 1) context.lineTo(this.x(this.times[i]), this.y(below[i] + (row[i] || 0)));
      for (let i = this.times.length - 1; i >= 0; i -= 1) context.lineTo(this.x(this.times[i]), this.y(below[i]));
      context.fill();
      for (let i = 0; i < this.times.length; i += 1) below[i] += row[i] || 0;
    });
  }

  line(context, row, colour, dash = []) {
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.setLineDash(dash);
    context.beginPath();
    let open = false;
    for (let i = 0; i < this.times.length; i += 1) {
      if (row[i] === null || row[i] === undefined) { open = false; continue; }
      if (open) context.lineTo(this.x(this.times[i]), this.y(row[i]));
      else context.moveTo(this.x(this.times[i]), this.y(row[i]));
      open = true;
    }
    context.stroke();
    context.setLineDash([]);
  }

  point(event) {
    if (!this.times.length || !this.x) return;
    const box = this.canvas.getBoundingClientRect(), at = event.clientX - box.left;
    let best = 0;
    for (let i = 1; i < this.times.length; i += 1) if (Math.abs(this.x(this.times[i]) - at) < Math.abs(this.x(this.times[best]) - at)) best = i;
    this.mark = best;
    this.draw();
    showTip(event.clientX, event.clientY, clock(this.times[best]), ...this.keys.map((key, place) => {
      const value = this.values[place][best];
      return value === null || value === undefined ? "" : `${key}: ${this.format(value)}`;
    }));
  }
}

// Rows of a label, a bar and a figure.
export class Bars {
  constructor(panel, { format }) {
    this.format = format;
    this.box = el("div", { class: "bars" });
    panel.append(this.box);
  }

  show(pairs, colour = "c1") {
    const most = Math.max(1e-9, ...pairs.map(([, value]) => value)), total = pairs.reduce((sum, [, value]) => sum + value, 0);
    while (this.box.children.length > pairs.length) this.box.lastChild.remove();
    while (this.box.children.length < pairs.length) this.box.append(el("div", { class: "bar-row" }, el("span"), el("i", {}, el("b")), el("em")));
    pairs.forEach(([label, value], place) => {
      const [name, bar, figure] = this.box.children[place].children;
      setText(name, label);
      bar.firstChild.style.width = `${100 * value / most}%`;
      bar.firstChild.style.background = colours[colour];
      setText(figure, `${this.format(value)}${total ? ` · ${Math.round(100 * value / total)}%` : ""}`);
    });
    this.box.classList.toggle("empty", !pairs.length);
  }
}

export function clock(seconds) {
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  const two = (value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

// The next round number above a value, so that a scale does not jump about.
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 1.02) || 10 * power;
}
