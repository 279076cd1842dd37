// The counters, the run that is watched, and what a person can do to it.

import { byId, compact, duration, el, money, setText } from "./dom.js";

const REALLY = 3000;
const CONTEXT_TOKENS = 256000;  // where a run does not say

export class Header {
  constructor(source, { select, shown }) {
    this.source = source;
    this.vitals = null;
    this.chosen = "";
    this.asked = {};
    byId("runs").addEventListener("change", (event) => { shown(Number(event.target.value)); });
    byId("pause").addEventListener("click", () => this.act(this.vitals.paused ? "go_on" : "pause"));
    this.twice(byId("stop-all"), "Stop all", () => this.act("cancel", "main"));
    this.twice(byId("stop"), "Stop this agent", () => this.act("cancel", this.chosen));
    byId("steer").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("say");
      if (field.value.trim()) this.act("say", this.chosen, field.value.trim()).then((done) => { if (done) field.value = ""; });
    });
  }

  // What cannot be undone is asked for twice.
  twice(button, words, act) {
    let asked = 0;
    button.addEventListener("click", () => {
      if (Date.now() - asked < REALLY) {
        asked = 0;
        setText(button, words);
        return act();
      }
      asked = Date.now();
      setText(button, "Really stop?");
      setTimeout(() => { if (Date.now() - asked >= REALLY - 50) setText(button, words); }, REALLY);
    });
  }

  async act(action, agent, text) {
    try {
      await this.source.control(action, agent, text);
      this.say({ pause: "Paused: no new call starts.", go_on: "Going on.", cancel: "Stopping.", say: "It will be read before the next turn." }[action]);
      return true;
    } catch (error) {
      this.say(error.message);
      return false;
    }
  }

  say(text) {
    const box = byId("said");
    setText(box, text);
    box.hidden = !text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { box.hidden = true; }, 4000);
  }

  take(vitals, run) {
    this.vitals = vitals;
    const select = byId("runs"), names = vitals.runs.map((one) => one.name).join("\u0000");
    if (this.names !== names) {
      this.names = names;
      select.replaceChildren(...vitals.runs.map((one) => el("option", { value: one.id, text: one.name })));
      select.hidden = vitals.runs.length < 2;
    }
    select.value = String(run);
    const { name, asked } = vitals.runs.find((one) => one.id === run) || { name: "", asked: {} };
    this.asked = asked;
    setText(byId("name"), name);
    setText(byId("task"), asked.task || "");
    byId("task").title = asked.task || "";
    setText(byId("model"), [asked.mode, asked.model].filter(Boolean).join(" · "));
    document.title = `${name} · manyeyes`;
    for (const node of document.querySelectorAll(".control")) node.hidden = !vitals.steerable;
    setText(byId("pause"), vitals.paused ? "Go on" : "Pause");
  }

  show(run, player, agent) {
    const { vitals } = this, stands = run.over || run.pausedFor !== null;
    const took = Math.max(0, (stands ? run.last : player.now) - run.began - run.stopped - run.paused);
    this.status(run, player);
    setText(byId("critical"), String(run.steps.critical));
    setText(byId("total"), `of ${compact(run.steps.total)} in all`);
    setText(byId("speed"), took > 0.5 ? `×${(run.serial / took).toFixed(1)}` : "–");
    setText(byId("elapsed"), duration(took));
    setText(byId("work"), String(run.alive));
    setText(byId("agents"), `of ${run.agents.length} agents`);
    const queue = player.live && vitals ? vitals.queue : null;
    setText(byId("flight"), String(queue ? queue.in_flight : run.counts.thinking || 0));
    this.queue(queue);
    setText(byId("tokens"), compact(run.tokensIn));
    setText(byId("tokens-out"), `in, ${compact(run.tokensOut)} out`);
    byId("cost-tile").hidden = !run.cost;
    setText(byId("cost"), money(run.cost));
    this.context(run);
    this.chosen = agent ? agent.name : "";
    for (const node of document.querySelectorAll(".of-agent")) node.disabled = !agent || !agent.alive;
  }

  status(run, player) {
    const pill = byId("status"), { vitals } = this;
    let words = ["idle", ""];
    if (!player.live) words = ["replay", "warn"];
    else if (run.over) words = run.stop === "done" ? ["finished", "good"] : [run.stop, "bad"];
    else if (run.pausedFor !== null) words = ["paused", "warn"];
    else if (player.running) words = ["live", "good beat"];
    else if (run.count) words = ["not running", "warn"];
    pill.title = run.pausedFor || "";
    setText(pill, words[0]);
    pill.className = "pill " + words[1];
  }

  queue(queue) {
    const waits = queue ? queue.queued : 0, node = byId("waits");
    const why = queue && queue.state === "waiting" ? "rate-limited" : queue && queue.state === "paused" ? "out of quota" : "waiting";
    setText(node, queue ? `${waits} ${why}` : "model calls");
    node.className = queue && (waits || queue.state !== "open") ? "warn" : "";
  }

  context(run) {
    const main = run.main, most = this.asked.context_tokens || CONTEXT_TOKENS, used = main ? main.context : 0;
    byId("context-bar").style.width = Math.min(100, 100 * used / most) + "%";
    setText(byId("context"), `${(100 * used / most).toFixed(used / most < 0.1 ? 1 : 0)} %`);
    setText(byId("kept-out"), run.sharded > 0 ? `${compact(run.sharded)} kept out` : "of its context");
  }
}
