// A lane for each agent, stretches coloured by what they were spent on, and the critical path as one line through the lanes.

import { CanvasScroller } from "./scroller.js";
import { drawPath } from "./path_line.js";
import { colours } from "./theme.js";
import { compact, duration, hideTip, sharp, showTip } from "./dom.js";

const AXIS = 24, BOTTOM = 10, SHORTEST = 0.05;
const STEPS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];

export class Timeline {
  constructor(box, { select }) {
    this.box = box;
    this.select = select;
    this.scroller = new CanvasScroller(box, () => this.draw());
    this.run = null;
    this.lanes = [];
    this.laneOf = new Map();
    this.span = null;  // seconds from the run's beginning; null shows all of it
    this.now = this.end = 0;
    this.path = [];
    this.head = null;
    this.chosen = null;
    this.drawn = 0;
    this.listen();
  }

  get laneHeight() {
    const count = this.lanes.length;
    if (count <= 8) return 30;
    return count <= 16 ? 25 : count <= 32 ? 20 : count <= 100 ? 14 : 9;
  }

  get gutter() { return this.laneHeight >= 14 ? Math.min(210, this.scroller.width * 0.24) : 8; }

  // What to draw; `now` in Unix seconds ends stretches that last, `end` is where the whole run ends.
  show(run, lanes, { now, end, chosen, path, head }) {
    Object.assign(this, { run, now, end, path, head });
    if (lanes !== this.lanes) {
      this.lanes = lanes;
      this.laneOf = new Map(lanes.map((agent, place) => [agent.name, place]));
      this.scroller.length = AXIS + lanes.length * this.laneHeight + BOTTOM;
    }
    this.chosen = chosen;
    this.scroller.dirty = true;
  }

  frame() { this.scroller.frame(); }

  get seconds() { return Math.max(SHORTEST, this.end - this.run.began); }

  get window() {
    if (!this.span) return [0, this.seconds * 1.02];
    return this.span;
  }

  x(time) {
    const [from, to] = this.window;
    return this.gutter + (time - this.run.began - from) / (to - from) * (this.scroller.width - this.gutter - 8);
  }

  timeAt(x) {
    const [from, to] = this.window;
    return from + (x - this.gutter) / (this.scroller.width - this.gutter - 8) * (to - from);
  }

  y(place) { return AXIS + place * this.laneHeight - this.scroller.top; }

  draw() {
    if (!this.run || !this.run.count) return;
    const { width, height } = this.scroller, context = sharp(this.scroller.canvas, width, height);
    context.clearRect(0, 0, width, height);
    const first = Math.max(0, Math.floor((this.scroller.top - AXIS) / this.laneHeight));
    const last = Math.min(this.lanes.length, Math.ceil((this.scroller.top + height) / this.laneHeight));
    this.drawGrid(context, width, height);
    context.save();
    context.beginPath();
    context.rect(0, AXIS, width, height - AXIS);
    context.clip();
    for (let place = first; place < last; place++) this.drawLane(context, this.lanes[place], this.y(place), width);
    context.beginPath();
    context.rect(this.gutter - 6, AXIS, width, height);
    context.clip();
    this.drawGroups(context, first, last);
    if (this.now < this.end) this.drawMoment(context, height);
    drawPath(context, this.points(), { left: this.gutter, width, height });
    context.restore();
    this.drawn += 1;
  }

  drawGrid(context, width, height) {
    const [from, to] = this.window, room = (width - this.gutter) / 78;
    const step = STEPS.find((one) => (to - from) / one <= room) || (to - from) / 4;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "center";
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const x = Math.round(this.x(this.run.began + at)) + 0.5;
      if (x < this.gutter - 1) continue;
      context.strokeStyle = colours.grid;
      context.beginPath();
      context.moveTo(x, AXIS);
      context.lineTo(x, height);
      context.stroke();
      context.fillStyle = colours.quiet;
      context.fillText(this.label(at, step), Math.max(this.gutter + 12, x), AXIS / 2);
    }
  }

  label(at, step) {
    if (at < 60 || step < 1) return at.toFixed(step < 1 ? (step < 0.1 ? 2 : 1) : 0) + " s";
    const pad = (n) => String(Math.floor(n)).padStart(2, "0");
    return at < 3600 ? `${Math.floor(at / 60)}:${pad(at % 60)}` : `${Math.floor(at / 3600)}:${pad(at / 60 % 60)}:${pad(at % 60)}`;
  }

  drawLane(context, agent, y, width) {
    const high = this.laneHeight, thick = Math.max(2, Math.min(13, high - (high > 12 ? 7 : 3))), top = y + (high - thick) / 2;
    if (agent === this.chosen) {
      context.fillStyle = colours.select;
      context.fillRect(0, y, width, high);
    }
    if (high >= 14) this.drawName(context, agent, y + high / 2, high);
    context.save();
    context.beginPath();
    context.rect(this.gutter, y, width - this.gutter, high);
    context.clip();
    const x0 = this.x(agent.began), x1 = this.x(agent.ended || this.now);
    context.fillStyle = colours.line;
    context.fillRect(x0, y + high / 2 - 0.5, Math.max(1, x1 - x0), 1);
    this.drawStretches(context, agent.lane, top, thick, width);
    if (agent.ended && agent.activity !== "finished") {
      context.fillStyle = colours.failed;
      context.fillRect(x1 - 1, y + 2, 3, high - 4);
    }
    context.restore();
  }

  drawStretches(context, lane, top, thick, width) {
    let reached = -1e9;
    for (let i = this.firstIn(lane); i < lane.uses.length; i++) {
      const begin = this.x(lane.begins[i]), end = this.x(isNaN(lane.ends[i]) ? this.now : lane.ends[i]);
      if (begin > width) break;
      const delegates = lane.uses[i] === "delegate";
      if (end < this.gutter || (end <= reached && !delegates)) continue;  // smaller than what is drawn there already
      context.fillStyle = colours[lane.uses[i]];
      const gap = end - begin > 3 ? 0.5 : 0;
      if (delegates) context.fillRect(begin, top + thick / 2 - 1.5, Math.max(0.7, end - begin), 3);
      else context.fillRect(begin + gap / 2, top, Math.max(0.7, end - begin - gap), thick);
      reached = Math.max(reached, Math.floor(end * 2) / 2 - 0.2);
    }
  }

  firstIn(lane) {
    const from = this.run.began + this.window[0];
    let low = 0, high = lane.begins.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (lane.begins[middle] < from) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 2);
  }

  drawName(context, agent, middle, high) {
    const room = this.gutter - 22, indent = Math.min(24, agent.depth * 8);
    context.fillStyle = colours[agent.activity];
    context.beginPath();
    context.arc(10 + indent, middle, 3.2, 0, 7);
    context.fill();
    context.font = `${agent.depth ? "" : "600 "}${high >= 20 ? 12 : 10.5}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillStyle = agent.alive ? colours.ink : colours.quiet;
    context.fillText(fitted(context, `${agent.number} ${agent.title}`.trim(), room - indent), 18 + indent, middle);
  }

  // Which agents began together: a bracket at the moment of their beginning.
  drawGroups(context, first, last) {
    context.strokeStyle = context.fillStyle = colours.quiet;
    context.lineWidth = 1.2;
    for (const group of this.run.groups) {
      const low = this.laneOf.get(group.agents[0].name), high = this.laneOf.get(group.agents.at(-1).name);
      if (low === undefined || high === undefined || low === high || high < first || low > last) continue;
      const x = Math.round(this.x(group.began)) - 3.5, top = this.y(low) + 2, bottom = this.y(high + 1) - 2;
      if (x < this.gutter - 6) continue;
      context.beginPath();
      context.moveTo(x + 3, top);
      context.lineTo(x, top);
      context.lineTo(x, bottom);
      context.lineTo(x + 3, bottom);
      context.stroke();
    }
  }

  drawMoment(context, height) {
    context.fillStyle = colours.accent;
    context.fillRect(this.x(this.now) - 0.5, AXIS, 1, height);
  }

  // Corners of the path on the screen.
  points() {
    const found = [], { graph } = this.run, middle = this.laneHeight / 2;
    let lane = null;
    const at = (time, name) => {
      const place = this.laneOf.get(name);
      if (place !== undefined) found.push({ x: this.x(time), y: this.y(place) + middle });
    };
    for (const link of this.path) {
      const from = graph.agents[link.begin] || link.agent, to = link.agent || from;
      if (from !== lane) at(graph.times[link.begin], from);
      at(graph.times[link.end], to);
      lane = to;
    }
    if (!this.run.over && this.head && found.length) at(this.now, this.head.name);
    return found;
  }

  // Scroll to where the path runs through sub-agents, to the newest of these.
  showPath() {
    const names = this.path.map((link) => link.agent).filter((name) => name.includes("/"));
    const place = this.laneOf.get(names.at(-1) || "main");
    if (place !== undefined) this.box.scrollTop = AXIS + place * this.laneHeight - this.scroller.height / 2;
  }

  // -- pointer and keys

  listen() {
    const box = this.box;
    let drag = null;
    box.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey || event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) return;
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) this.zoom(Math.exp(event.deltaY / 300), event.offsetX);
      else this.pan((event.deltaX || event.deltaY) / (this.scroller.width - this.gutter));
    }, { passive: false });
    box.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; });
    box.addEventListener("pointermove", (event) => {
      if (drag && event.buttons) {
        const moved = event.clientX - drag.x;
        if (drag.moved || Math.abs(moved) > 4) {
          this.pan(-moved / (this.scroller.width - this.gutter));
          drag = { x: event.clientX, y: event.clientY, moved: true };
        }
      } else this.hover(event);
    });
    box.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) this.pick(event);
      drag = null;
    });
    box.addEventListener("pointerleave", hideTip);
    box.addEventListener("dblclick", () => this.fit());
    box.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const acts = {
      "+": () => this.zoom(0.7), "=": () => this.zoom(0.7), "-": () => this.zoom(1.4), 0: () => this.fit(), p: () => this.showPath(),
      ArrowLeft: () => this.pan(-0.1), ArrowRight: () => this.pan(0.1),
    };
    if (!acts[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    acts[event.key]();
  }

  zoom(factor, x = (this.gutter + this.scroller.width) / 2) {
    const [from, to] = this.window, at = Math.max(from, this.timeAt(x));
    const wide = Math.max(SHORTEST, (to - from) * factor);
    if (wide >= this.seconds * 1.02) return this.fit();
    this.place(at - (at - from) * wide / (to - from), wide);
  }

  pan(share) {
    if (!this.span) return;
    const [from, to] = this.span;
    this.place(from + share * (to - from), to - from);
  }

  place(from, wide) {
    const begin = Math.min(Math.max(0, from), Math.max(0, this.seconds * 1.02 - wide));
    this.span = [begin, begin + wide];
    this.scroller.dirty = true;
  }

  fit() {
    this.span = null;
    this.scroller.dirty = true;
  }

  at(event) {
    const top = this.box.getBoundingClientRect().top;
    return this.lanes[Math.floor((event.clientY - top + this.scroller.top - AXIS) / this.laneHeight)] || null;
  }

  pick(event) {
    const agent = this.at(event);
    if (agent) this.select(agent.name);
  }

  hover(event) {
    const agent = this.run && this.at(event);
    if (!agent) return hideTip();
    const left = this.box.getBoundingClientRect().left, time = this.run.began + this.timeAt(event.clientX - left), lane = agent.lane;
    let use = "";
    for (let i = this.firstIn(lane); i < lane.uses.length && lane.begins[i] <= time; i++) {
      const end = isNaN(lane.ends[i]) ? this.now : lane.ends[i];
      if (end >= time) use = `${lane.names[i] || lane.uses[i]}, ${duration(end - lane.begins[i])}`;
    }
    showTip(event.clientX, event.clientY, `${agent.number} ${agent.title}`.trim(),
      use && event.clientX - left > this.gutter ? use : agent.activity,
      `${agent.turns} turns, ${agent.calls} calls, ${compact(agent.tokens)} tokens`, agent.reason || agent.said.slice(0, 110));
  }
}

const widths = new Map();

export function fitted(context, text, room) {
  const key = context.font + text + Math.round(room);
  if (widths.has(key)) return widths.get(key);
  if (widths.size > 5000) widths.clear();
  let found = text;
  if (context.measureText(text).width > room) {
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(text.slice(0, middle) + "…").width <= room) low = middle;
      else high = middle - 1;
    }
    found = text.slice(0, low) + "…";
  }
  widths.set(key, found);
  return found;
}
