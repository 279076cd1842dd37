// The page: one run, one moment, one chosen agent; every panel shows these three. Nothing is drawn that did not change.

import { byId, setText } from "./dom.js";
import { onThemeChange, readColours } from "./theme.js";
import { Player } from "./player.js";
import { FileSource, LiveSource } from "./source.js";
import { TreePanel } from "./tree_panel.js";
import { Timeline } from "./timeline.js";
import { Heat } from "./heat.js";
import { Transcript } from "./transcript.js";
import { TablePanel } from "./table_panel.js";
import { Roles } from "./roles.js";
import { Header } from "./header.js";
import { Scrubber } from "./scrubber.js";

const MANY = 60;  // agents above which the heat grid is shown
const PANELS_MS = 150, MOVING_MS = 50;

class Page {
  constructor() {
    this.player = new Player();
    this.chosen = "";
    this.newest = 0;
    this.changed = true;
    this.panelsAt = this.movedAt = this.shown = 0;
    const select = (name) => this.select(name);
    const listeners = {
      begin: () => this.begin(),
      events: (events) => { this.player.add(events); this.changed = true; },
      vitals: (vitals) => this.vitals(vitals),
      last: () => this.player.log.length - 1,
      connected: (well) => { byId("offline").hidden = well; },
      problem: (words) => {
        setText(byId("offline"), words);
        byId("offline").hidden = false;
      },
    };
    this.source = byId("data") ? new FileSource(listeners) : new LiveSource(listeners);
    this.tree = new TreePanel({ select });
    this.timeline = new Timeline(byId("timeline"), { select });
    this.heat = new Heat(byId("heat"), { select });
    this.transcript = new Transcript(this.source, { select });
    this.table = new TablePanel({ select });
    this.roles = new Roles({ choose: (role) => { byId("role").value = role; this.tree.filter({ role }); } });
    this.header = new Header(this.source, { select, shown: (run) => this.source.follow(run) });
    this.scrubber = new Scrubber(this.player, { moved: () => { this.changed = true; } });
    this.tree.onFilter = () => { this.changed = true; this.lanes = null; };
    this.tabs();
    byId("fit").addEventListener("click", () => this.timeline.fit());
    byId("to-path").addEventListener("click", () => this.timeline.showPath());
    byId("closer").addEventListener("click", () => this.timeline.zoom(0.6));
    byId("wider").addEventListener("click", () => this.timeline.zoom(1.6));
    new ResizeObserver(() => { this.changed = true; }).observe(document.body);
  }

  async start() {
    readColours();
    onThemeChange(() => { this.changed = true; });
    requestAnimationFrame((time) => this.frame(time));
    try {
      await this.source.open();
    } catch {
      byId("offline").hidden = false;
    }
  }

  begin() {
    this.player.clear();
    this.player.speed = Number(byId("speed-choice").value);
    this.chosen = "";
    this.lanes = null;
    this.timeline.span = null;
    this.transcript.choose("");
    this.table.close();
    this.changed = true;
  }

  vitals(vitals) {
    const newest = vitals.runs.at(-1).id, watched = this.source.run || 0;
    if (newest > this.newest && watched === this.newest) {  // who watches the newest run goes on with the next
      this.newest = newest;
      return this.source.follow(newest);
    }
    this.newest = newest;
    this.player.running = vitals.live;
    this.header.take(vitals, watched);
    byId("export").hidden = this.source.offline;
    if (!this.source.offline) byId("export").href = this.source.exportUrl;
    this.changed = true;
  }

  select(name) {
    this.chosen = name;
    this.changed = true;
  }

  // Canvases and panels each show a change at their own pace.
  set changed(_) { this.forCanvases = this.forPanels = true; }

  get agent() { return this.player.run.byName.get(this.chosen) || this.player.run.main; }

  frame(time) {
    requestAnimationFrame((next) => this.frame(next));
    const seconds = this.before ? (time - this.before) / 1000 : 0;
    this.before = time;
    if (this.player.playing) {
      this.player.pass(seconds);
      this.changed = true;
    }
    const moving = this.player.live && this.player.running && !this.player.over;
    if ((this.forCanvases || moving) && time - this.movedAt > MOVING_MS) this.canvases(time);
    if ((this.forPanels && time - this.panelsAt > PANELS_MS) || time - this.panelsAt > 1000) this.panels(time);
    for (const part of [this.timeline, this.heat, this.tree, this.table]) part.frame();
  }

  canvases(time) {
    this.movedAt = time;
    const fresh = this.forCanvases, { run } = this.player, head = run.head;
    this.forCanvases = false;
    if (!this.lanes || this.lanesOf !== run || this.structure !== run.structure || (this.tree.filtered && fresh)) {
      this.lanes = this.tree.agentsOf(run);
      this.lanesOf = run;
      this.structure = run.structure;
    }
    const path = run.graph.path(head.seq);
    const { now, end } = this.player;
    this.timeline.show(run, this.lanes, { now, end, chosen: this.agent, path, head: head.agent });
    const many = run.agents.length > MANY;
    if (byId("heat").hidden === many) byId("heat").hidden = !many;
    if (many) this.heat.show(this.lanes, now, this.agent, new Set(path.map((link) => link.agent)));
  }

  panels(time) {
    this.panelsAt = time;
    this.forPanels = false;
    const { run } = this.player, { agent } = this;
    this.tree.show(run, agent);
    this.header.show(run, this.player, agent);
    this.scrubber.show();
    if (!byId("table-pane").hidden) this.table.show(run);
    if (!byId("roles").hidden) this.roles.show(run.roles);
    this.transcript.update(run, agent);
    this.shown = run.count;
  }

  tabs() {
    const tabs = [...document.querySelectorAll('[role="tab"]')];
    const open = (tab) => {
      for (const one of tabs) {
        one.setAttribute("aria-selected", String(one === tab));
        one.tabIndex = one === tab ? 0 : -1;
        byId(one.getAttribute("aria-controls")).hidden = one !== tab;
      }
      this.changed = true;
    };
    for (const tab of tabs) {
      tab.addEventListener("click", () => open(tab));
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
        open(next);
        next.focus();
      });
    }
  }
}

const page = new Page();

// For tests and the curious: what the page knows, nothing of which can be changed through it.
const hooks = {
  get events() { return page.player.log.length; },
  get position() { return page.player.run.count; },
  get shown() { return page.shown; },
  get figures() { return page.player.run.figures; },
  get path() { return page.player.run.graph.path(page.player.run.count - 1); },
  get points() { return page.timeline.points().map(({ x, y }) => [x, y]); },
  get agents() { return page.player.run.agents.map(({ name, role, activity }) => ({ name, role, activity })); },
  get lanes() { return page.timeline.lanes.map(({ name }) => name); },
  get drawn() { return page.timeline.drawn; },
  get live() { return page.player.live; },
};
Object.defineProperty(window, "manyeyes", { value: Object.freeze(hooks) });
page.start();
