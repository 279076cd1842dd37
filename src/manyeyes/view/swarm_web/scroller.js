// Canvases and lists that are longer than the screen: the browser scrolls an empty space, what is seen is drawn over it.

import { el } from "./dom.js";

// A canvas that fills its box while the box scrolls over `height` pixels.
export class CanvasScroller {
  constructor(box, draw) {
    this.box = box;
    this.draw = draw;
    this.canvas = el("canvas", { "aria-hidden": true });
    this.space = el("div", { class: "space" });
    box.append(this.canvas, this.space);
    this.width = this.height = 0;
    this.dirty = true;
    box.addEventListener("scroll", () => { this.dirty = true; }, { passive: true });
    new ResizeObserver(() => {
      this.width = box.clientWidth;
      this.height = box.clientHeight;
      this.dirty = true;
    }).observe(box);
  }

  set length(pixels) {
    if (this.pixels === pixels) return;
    this.pixels = pixels;
    this.space.style.height = pixels + "px";
    this.dirty = true;
  }

  get top() { return this.box.scrollTop; }

  // Called once a frame; draws when something changed.
  frame() {
    if (!this.dirty || !this.width || !this.height) return;
    this.dirty = false;
    this.draw();
  }
}

// A list of rows of one height of which only those in sight exist.
export class RowScroller {
  constructor(box, rowHeight, make, fill) {
    Object.assign(this, { box, rowHeight, make, fill, rows: [], nodes: [], dirty: true, width: 0, height: 0 });
    this.space = el("div", { class: "space" });
    this.layer = el("div", { class: "rows" });
    box.append(this.space, this.layer);
    box.addEventListener("scroll", () => { this.dirty = true; }, { passive: true });
    new ResizeObserver(() => {
      this.width = box.clientWidth;
      this.height = box.clientHeight;
      this.dirty = true;
    }).observe(box);
  }

  show(rows) {
    this.rows = rows;
    this.dirty = true;
    const pixels = rows.length * this.rowHeight;
    if (this.pixels !== pixels) this.space.style.height = (this.pixels = pixels) + "px";
  }

  frame() {
    if (!this.dirty || !this.height) return;
    this.dirty = false;
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.rowHeight) - 2);
    const count = Math.min(this.rows.length - first, Math.ceil(this.height / this.rowHeight) + 4);
    while (this.nodes.length < count) {
      const node = this.make();
      this.nodes.push(node);
      this.layer.append(node.row);
    }
    this.nodes.forEach((node, place) => {
      const hidden = place >= count;
      if (node.row.hidden !== hidden) node.row.hidden = hidden;
      if (!hidden) this.fill(node, this.rows[first + place], first + place);
    });
    this.layer.style.transform = `translateY(${first * this.rowHeight}px)`;
  }

  reveal(place) {
    const top = place * this.rowHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.rowHeight > this.box.scrollTop + this.height) this.box.scrollTop = top + this.rowHeight - this.height;
  }
}
