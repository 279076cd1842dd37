// A cell for each agent, coloured by what it does: how a thousand agents fit on a screen.

import { CanvasScroller } from "./scroller.js";
import { colours } from "./theme.js";
import { compact, hideTip, sharp, showTip } from "./dom.js";

const PAD = 8;

export class Heat {
  constructor(box, { select }) {
    this.box = box;
    this.scroller = new CanvasScroller(box, () => this.draw());
    this.agents = [];
    this.now = 0;
    box.addEventListener("pointermove", (event) => this.hover(event));
    box.addEventListener("pointerleave", hideTip);
    box.addEventListener("click", (event) => { const agent = this.at(event); if (agent) select(agent.name); });
  }

  get cell() { return this.agents.length <= 240 ? 15 : this.agents.length <= 1500 ? 11 : 8; }
  get columns() { return Math.max(1, Math.floor((this.scroller.width - 2 * PAD) / this.cell)); }

  // `path` holds the names of agents that the critical path runs through.
  show(agents, now, chosen, path) {
    Object.assign(this, { agents, now, chosen, path });
    this.fit();
    this.scroller.dirty = true;
  }

  // As high as its cells need, within what its style allows; known once it is seen.
  fit() {
    if (!this.scroller.width) return;
    const pixels = Math.ceil(this.agents.length / this.columns) * this.cell + 2 * PAD;
    if (this.scroller.pixels !== pixels) this.box.style.height = pixels + 1 + "px";
    this.scroller.length = pixels;
  }

  frame() { this.scroller.frame(); }

  draw() {
    this.fit();
    const { width, height, top } = this.scroller, context = sharp(this.scroller.canvas, width, height), { cell, columns } = this;
    context.clearRect(0, 0, width, height);
    const first = Math.max(0, Math.floor((top - PAD) / cell)) * columns;
    const last = Math.min(this.agents.length, (Math.ceil((top + height) / cell) + 1) * columns);
    for (let place = first; place < last; place++) {
      const agent = this.agents[place];
      const x = PAD + (place % columns) * cell, y = PAD + Math.floor(place / columns) * cell - top;
      const fresh = agent.alive ? Math.max(0.45, 1 - Math.max(0, this.now - agent.since) / 20) : 0.9;
      context.globalAlpha = fresh;
      context.fillStyle = colours[agent.activity];
      context.fillRect(x + 1, y + 1, cell - 2, cell - 2);
      context.globalAlpha = 1;
      const critical = this.path.has(agent.name);
      if (critical || agent === this.chosen) {
        context.strokeStyle = agent === this.chosen ? colours.ink : colours.path;
        context.lineWidth = 2;
        context.strokeRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
      }
    }
  }

  at(event) {
    const area = this.box.getBoundingClientRect();
    const column = Math.floor((event.clientX - area.left - PAD) / this.cell);
    const row = Math.floor((event.clientY - area.top + this.scroller.top - PAD) / this.cell);
    return column >= 0 && column < this.columns ? this.agents[row * this.columns + column] || null : null;
  }

  hover(event) {
    const agent = this.at(event);
    if (!agent) return hideTip();
    showTip(event.clientX, event.clientY, `${agent.number} ${agent.title}`.trim(),
      [...new Set(agent.doing.values())].join(", ") || agent.activity,
      `${agent.turns} turns, ${agent.calls} calls, ${compact(agent.tokens)} tokens`, agent.reason || agent.said.slice(0, 110));
  }
}
