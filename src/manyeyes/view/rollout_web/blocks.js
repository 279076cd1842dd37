// A list of rows of heights that are known, of which only those in sight exist.

import { el } from "./dom.js";

const AROUND = 300;  // pixels above and below what is in sight

export class BlockScroller {
  constructor(box, make) {
    Object.assign(this, { box, make, rows: [], nodes: new Map(), dirty: true, height: 0 });
    this.tops = new Float64Array(1);
    this.space = el("div", { class: "space" });
    this.layer = el("div", { class: "rows" });
    box.append(this.space, this.layer);
    box.addEventListener("scroll", () => { this.dirty = true; }, { passive: true });
    new ResizeObserver(() => {
      this.height = box.clientHeight;
      this.dirty = true;
      if (this.onWidth && this.width !== box.clientWidth) this.onWidth(this.width = box.clientWidth);
    }).observe(box);
  }

  show(rows) {
    this.rows = rows;
    this.tops = new Float64Array(rows.length + 1);
    rows.forEach((row, place) => { this.tops[place + 1] = this.tops[place] + row.height; });
    this.space.style.height = this.tops[rows.length] + "px";
    this.again();
  }

  // Rows look different now.
  again() {
    for (const node of this.nodes.values()) node.remove();
    this.nodes.clear();
    this.dirty = true;
  }

  frame() {
    if (!this.dirty || !this.height) return;
    this.dirty = false;
    const first = this.at(this.box.scrollTop - AROUND), last = this.at(this.box.scrollTop + this.height + AROUND);
    for (const [place, node] of this.nodes) {
      if (place >= first && place <= last) continue;
      node.remove();
      this.nodes.delete(place);
    }
    for (let place = first; place <= last && place < this.rows.length; place += 1) {
      if (this.nodes.has(place)) continue;
      const node = this.make(this.rows[place], place);
      node.style.transform = `translateY(${this.tops[place]}px)`;
      node.style.height = this.rows[place].height + "px";
      this.nodes.set(place, node);
      this.layer.append(node);
    }
  }

  // Number of the row at a height.
  at(pixels) {
    let low = 0, high = this.rows.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= pixels) low = middle;
      else high = middle - 1;
    }
    return Math.min(low, Math.max(0, this.rows.length - 1));
  }

  reveal(place) {
    const top = this.tops[place];
    if (top < this.box.scrollTop || top > this.box.scrollTop + this.height - 60) this.box.scrollTop = Math.max(0, top - 40);
  }
}
