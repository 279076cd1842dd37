// The page: an overview of the run, the list of its trajectories, and one of them; the address says which.

import { byId, compact, setText } from "./dom.js";
import { onThemeChange, readColours } from "./colours.js";
import { Series } from "./source.js";
import { Overview } from "./overview.js";
import { TrajectoryList } from "./list.js";
import { Viewer } from "./viewer.js";

const AGAIN_MS = 1000, LIST_MS = 3000;  // between looks at the run, and at its list

class Page {
  constructor() {
    this.series = new Series();
    this.overview = new Overview();
    this.list = new TrajectoryList({
      open: (name) => { location.hash = "t/" + encodeURIComponent(name); },
      problem: (error) => this.tell(worded(error)),
    });
    this.viewer = new Viewer();
    this.view = "";
    this.listed = this.listedAt = -LIST_MS;
    window.addEventListener("hashchange", () => this.route());
    window.addEventListener("resize", () => { this.list.scroller.dirty = true; });
  }

  start() {
    readColours();
    onThemeChange(() => { this.overview.draw(); this.viewer.repaint(); });
    requestAnimationFrame(() => this.frame());
    this.route();
    this.poll();
  }

  route() {
    const hash = location.hash.slice(1), name = hash.startsWith("t/") ? decoded(hash.slice(2)) : "";
    const view = name ? "viewer" : hash === "list" ? "list" : "overview";
    if (view === "list" && this.view !== "list") this.attempt(() => this.list.refresh());
    this.view = view;
    for (const one of ["overview", "list", "viewer"]) byId(one).hidden = one !== view;
    for (const link of document.querySelectorAll("header nav a")) link.toggleAttribute("aria-current", link.dataset.view === view);
    if (name) {
      byId("viewer-link").hidden = false;
      byId("viewer-link").href = "#" + hash;
      setText(byId("viewer-link"), name);
      this.attempt(() => this.viewer.open(name));
    }
    if (view === "overview") this.overview.draw();
  }

  async attempt(act) {
    try {
      await act();
      this.tell("");
    } catch (error) {
      this.tell(worded(error));
    }
  }

  tell(words) {
    setText(byId("banner"), words);
    byId("banner").hidden = !words;
  }

  async poll() {
    try {
      const part = await this.series.refresh();
      if (this.lost) this.tell("");
      this.lost = false;
      this.take(part);
    } catch (error) {
      this.lost = true;
      this.tell(worded(error));
    }
    setTimeout(() => this.poll(), AGAIN_MS);
  }

  take(part) {
    setText(byId("name"), part.name);
    document.title = `${part.name} · manyeyes`;
    const status = byId("status");
    setText(status, part.live ? "live" : "over");
    status.className = part.live ? "pill good beat" : "pill";
    setText(byId("stored"), part.stored ? compact(part.stored) : "");
    if (part.problem) this.tell(part.problem);
    this.overview.show(this.series.rows);
    const now = performance.now();
    if (this.view === "list" && part.stored !== this.listed && now - this.listedAt > LIST_MS) {
      this.listedAt = now;
      this.listed = part.stored;
      this.attempt(() => this.list.refresh());
    }
    this.polled = true;
  }

  frame() {
    requestAnimationFrame(() => this.frame());
    if (this.view === "list") this.list.frame();
    if (this.view === "viewer") this.viewer.frame();
  }
}

const AWAY = "The server does not answer. What was seen stays; the page goes on by itself when it is back.";

const worded = (error) => (error instanceof TypeError && /fetch/i.test(error.message) ? AWAY : error.message);

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const page = new Page();

// For tests and the curious: what the page knows, nothing of which can be changed through it.
const hooks = {
  get rows() { return page.series.rows.length; },
  get polled() { return Boolean(page.polled); },
  get found() { return page.list.count; },
  get opened() { return page.viewer.opened; },
  get milliseconds() { return page.viewer.milliseconds; },
  get stream() { return page.viewer.figures; },
};
Object.defineProperty(window, "manyeyes", { value: Object.freeze(hooks) });
page.start();
