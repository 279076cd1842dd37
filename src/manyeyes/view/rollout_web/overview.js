// What the run is doing and did: figures, and charts of the differences between snapshots, whose counts only grow.

import { byId, compact, duration, el, setText } from "./dom.js";
import { Bars, TimeChart } from "./charts.js";

const KNOWN_WAITS = ["model", "tool", "judge", "pool", "spawn", "gate"], MOST_BANDS = 12;
const SPENT = ["sample", "tool", "judge", "pool", "wait"];
const PLACES = { model: 0, sample: 0, tool: 1, judge: 2, pool: 3, spawn: 4, wait: 4, gate: 7, "at work": 5, suspended: 6 };
const POOLED = ["leased", "warm", "waiting"];
const WINDOW = 30;  // points over which a rate or a mean is taken
const percent = (value) => Math.round(100 * value) + "%";
const short = (value) => (Math.abs(value) >= 1000 ? compact(value) : String(Number(value.toPrecision(3))));

export class Overview {
  constructor() {
    this.concurrency = new TimeChart(byId("concurrency"), { kind: "area", format: compact, places: PLACES });
    this.queue = new TimeChart(byId("queue"), { kind: "line", format: compact });
    this.time = new TimeChart(byId("time"), { kind: "area", format: percent, most: 1, places: PLACES });
    this.rewards = new TimeChart(byId("rewards"), { kind: "line", format: short });
    this.rate = new TimeChart(byId("rate"), { kind: "line", format: compact });
    this.lag = new TimeChart(byId("lag"), { kind: "line", format: short });
    this.lengths = new Bars(byId("lengths"), { format: compact });
    this.failures = new Bars(byId("failures"), { format: compact });
    this.staleness = new Bars(byId("staleness"), { format: compact });
    this.pools = new TimeChart(byId("pool"), { kind: "line", format: compact });
    this.tiles = new Map();
    this.poolRows = el("tbody");
    byId("pool").append(el("div", { class: "scroll" }, el("table", {}, this.poolHead = el("thead"), this.poolRows)));
  }

  draw() {
    for (const chart of [this.concurrency, this.queue, this.pools, this.time, this.rewards, this.rate, this.lag]) chart.draw();
    if (this.rows?.length) this.bars(this.rows.at(-1));
  }

  show(rows) {
    this.rows = rows;
    byId("no-snapshots").hidden = rows.length > 0;
    byId("charts").hidden = !rows.length;
    if (!rows.length) return;
    const times = rows.map((row) => row.seconds), last = rows.at(-1), each = (act) => rows.map(act);
    this.figures(rows, last);
    const waits = [...new Set([...KNOWN_WAITS, ...Object.keys(last.waiting_for || {})])].slice(0, MOST_BANDS);
    const idle = each((row) => Math.max(0, row.running - (row.suspended || 0) - waits.reduce((sum, key) => sum + (row.waiting_for?.[key] || 0), 0)));
    const suspended = each((row) => row.suspended || 0), some = (values) => values.some((value) => value > 0);
    const bands = [...waits.map((key) => [key, each((row) => row.waiting_for?.[key] || 0)]), ["at work", idle], ["suspended", suspended]].filter(([, values]) => some(values));
    const cap = rows.some((row) => row.concurrency_cap) ? each((row) => row.concurrency_cap || 0) : null;
    this.concurrency.show(bands.map(([key]) => key), times, bands.map(([, values]) => values), cap);
    this.queue.show(["queued"], times, [each((row) => row.queued || 0)]);
    this.pools.show(POOLED, times, POOLED.map((state) => each((row) => Object.values(row.pool || {}).reduce((sum, kind) => sum + (Number(kind[state]) || 0), 0))));
    const spent = SPENT.filter((key) => last.seconds_in?.[key]);
    const deltas = spent.map((key) => differences(rows, (row) => row.seconds_in?.[key] || 0));
    const sums = times.map((_, i) => deltas.reduce((sum, row) => sum + row[i], 0));
    this.time.show(spent, times, deltas.map((row) => row.map((value, i) => (sums[i] ? value / sums[i] : 0))));
    const parts = Object.keys(last.rewards || {});
    this.rewards.show(parts, times, parts.map((part) => {
      const total = differences(rows, (row) => row.rewards?.[part]?.[0] || 0, true), count = differences(rows, (row) => row.rewards?.[part]?.[1] || 0);
      return total.map((value, i) => (count[i] ? value / count[i] : null));
    }));
    const passed = differences(rows, (row) => row.seconds);
    this.rate.show(["sampled"], times, [differences(rows, (row) => row.tokens_sampled || 0).map((value, i) => (passed[i] ? value / passed[i] : null))]);
    this.lag.show(["p99", "worst"], times, [each((row) => 1000 * (row.loop_lag?.p99 || 0)), each((row) => 1000 * (row.loop_lag?.max || 0))]);
    this.bars(last);
    this.pool(last.pool || {});
    if (Object.keys(last.pool || {}).length) this.pools.draw();
  }

  bars(last) {
    const edges = Object.keys(last.lengths || {}).map(Number).sort((a, b) => a - b).filter((edge) => last.lengths[edge]);
    this.lengths.show(edges.map((edge) => [`≤ ${compact(edge)}`, last.lengths[edge]]), "c1");
    this.failures.show(Object.entries(last.failures || {}).filter(([, count]) => count).sort((a, b) => b[1] - a[1]), "bad");
    this.staleness.show(Object.entries(last.staleness || {}).map(([behind, tokens]) => [behind === "0" ? "newest" : `${behind} behind`, tokens]), "c3");
    for (const [id, empty] of [["lengths", "No attempt has ended yet."], ["failures", "Nothing has failed."], ["staleness", "No attempt has ended yet."]])
      byId(id).querySelector(".bars").dataset.none = empty;
  }

  figures(rows, last) {
    const before = rows[Math.max(0, rows.length - WINDOW)], seconds = Math.max(1e-9, last.seconds - before.seconds);
    const rate = Math.max(0, (last.tokens_sampled || 0) - (before.tokens_sampled || 0)) / seconds, mean = last.rewards?.reward;
    const lag = last.loop_lag || {};
    const tiles = [
      ["running", compact(last.running || 0), last.suspended ? `${compact(last.suspended)} suspended` : `cap ${compact(last.concurrency_cap || 0)}`],
      ["queued", compact(last.queued || 0), `of ${compact(last.submitted || 0)}`],
      ["finished", compact(last.finished || 0), last.resumed ? `${compact(last.resumed)} from before` : `${compact(last.turns || 0)} turns`],
      ["failed", compact(last.failed || 0), `${compact(last.cancelled || 0)} cancelled`],
      ["groups", compact(last.groups_done || 0), `of ${compact(last.groups || 0)}`],
      ["mean reward", mean && mean[1] ? short(mean[0] / mean[1]) : "–", mean ? `${compact(mean[1])} judged` : ""],
      ["sampled", compact(last.tokens_sampled || 0), `${compact(rate)} /s`],
      ["version", String(last.version || 0), ""],
      ["loop lag", `${short(1000 * (lag.p99 || 0))} ms`, "p99"],
      ["time", duration(last.seconds), ""],
      ["not kept", compact(last.dropped_records || 0), "records"],
    ];
    for (const [name, value, more] of tiles) {
      let tile = this.tiles.get(name);
      if (!tile) {
        this.tiles.set(name, tile = { value: el("b"), more: el("small") });
        byId("tiles").append(tile.box = el("div", {}, el("dt", { text: name }), el("dd", {}, tile.value, tile.more)));
      }
      tile.box.hidden = name === "not kept" && !last.dropped_records;
      setText(tile.value, value);
      setText(tile.more, more);
      tile.value.classList.toggle("bad", (name === "not kept" && last.dropped_records > 0) || (name === "loop lag" && lag.p99 > 0.3));
    }
  }

  pool(kinds) {
    const names = Object.keys(kinds), columns = [...new Set(names.flatMap((name) => Object.keys(kinds[name])))];
    byId("pool").hidden = !names.length;
    this.poolHead.replaceChildren(el("tr", {}, el("th", { text: "kind" }), ...columns.map((name) => el("th", { text: name }))));
    this.poolRows.replaceChildren(...names.map((name) => el("tr", {}, el("th", { text: name }), ...columns.map((key) => {
      const value = kinds[name][key];
      return el("td", { text: typeof value === "number" ? short(value) : value === undefined || value === null ? "" : String(value) });
    }))));
  }
}

// How much a count grew over a window that ends at each row; a run that was resumed may begin again from 0.
function differences(rows, value, signed = false) {
  return rows.map((row, i) => {
    const difference = value(row) - value(rows[Math.max(0, i - WINDOW)]);
    return signed ? difference : Math.max(0, difference);
  });
}
