// What the chosen agent read, thought, called and said, from its whole events; they are fetched when it is chosen.

import { byId, compact, duration, el, money, setText } from "./dom.js";

const LONG = 700, LONGEST = 20000;

export class Transcript {
  constructor(source, { select }) {
    this.source = source;
    this.select = select;
    this.box = byId("transcript");
    this.name = "";
    this.after = -1;
    this.calls = new Map();
    this.loading = false;
    this.shown = [];
  }

  // By name: a replay makes its agents anew.
  choose(name) {
    this.name = name;
    this.after = -1;
    this.calls.clear();
    this.unlinked = [];
    this.shown = [];
    this.missing = false;
    this.box.replaceChildren();
    this.box.scrollTop = 0;
    this.filesAt = -1;
    byId("files").replaceChildren();
  }

  // Fetch what is new up to an event; called at most a few times a second.
  async update(run, agent) {
    if (agent && agent.name !== this.name) this.choose(agent.name);
    this.figures(agent);
    if (!agent || this.loading || this.missing || agent.last <= this.after) return this.upTo(run.count);
    this.loading = true;
    try {
      await this.fetchMore(agent, run);
    } catch {
      this.missing = this.source.offline;  // a server that is gone comes back; what an export left out does not
    } finally {
      this.loading = false;
    }
    this.link(agent);
    this.upTo(run.count);
  }

  async fetchMore(agent, run) {
    for (;;) {
      const events = await this.source.transcript(agent.name, this.after);
      if (agent.name !== this.name) return;
      if (events === null) {
        this.missing = true;
        this.box.replaceChildren(el("p", { class: "quiet", text: "This agent's transcript was too large for this file." }));
        return;
      }
      if (!events.length) return;
      const bottom = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 60;  // so is an empty box
      for (const event of events) this.add(event);
      this.after = events.at(-1).seq;
      if (bottom && agent.alive && !run.over) this.toEnd();
      if (this.after >= agent.last) return;
    }
  }

  // Messages out of sight have guessed heights until they are reached, so the end is reached in steps.
  toEnd(steps = 4) {
    this.box.scrollTop = this.box.scrollHeight;
    if (steps > 1) requestAnimationFrame(() => this.toEnd(steps - 1));
  }

  // Calls that started an agent lead to it.
  link(agent) {
    if (!this.unlinked.length || !agent) return;
    const children = new Map(agent.children.map((child) => [child.call, child]));
    this.unlinked = this.unlinked.filter(([place, results]) => {
      const child = children.get(place);
      if (child) results.before(el("button", { type: "button", class: "link", text: `→ ${child.number} ${child.title}`, on: { click: () => this.select(child.name) } }));
      return !child;
    });
  }

  // Replayed: what has not happened yet is hidden.
  upTo(count) {
    for (const { seq, node } of this.shown) {
      const hidden = seq >= count;
      if (node.hidden !== hidden) node.hidden = hidden;
    }
  }

  figures(agent) {
    const title = byId("agent-title"), line = byId("agent-figures"), task = byId("agent-task");
    if (!agent) {
      setText(title, "No agent yet");
      return;
    }
    setText(title, `${agent.number} ${agent.title}`.trim());
    const took = (agent.ended || Math.max(agent.since, agent.began)) - agent.began;
    const parts = [
      agent.alive ? agent.activity : agent.stop, duration(took), `${agent.turns} turns`, `${agent.calls} calls`,
      `${compact(agent.tokensIn)} in`, `${compact(agent.tokensOut)} out`,
    ];
    if (agent.cost) parts.push(money(agent.cost));
    if (agent.waited > 0.05) parts.push(`${duration(agent.waited)} waiting for the limiter`);
    if (agent.failures) parts.push(`${agent.failures} failures`);
    setText(line, parts.join(" · ") + (agent.reason ? ` — ${agent.reason}` : ""));
    setText(task, agent.prompt);
    this.pages(agent);
    if (!this.source.offline && this.filesAt !== agent.turns + agent.calls) this.files(agent);
  }

  pages(agent) {
    const box = byId("pages");
    if (box.dataset.of === `${agent.name} ${agent.pages.size}`) return;
    box.dataset.of = `${agent.name} ${agent.pages.size}`;
    setText(byId("pages-count"), String(agent.pages.size));
    box.replaceChildren(...[...agent.pages].slice(0, 60).map(([url, title]) => el("li", {}, el("b", { text: title || url }), " ", el("small", { text: url }))));
  }

  async files(agent) {
    this.filesAt = agent.turns + agent.calls;
    const files = await this.source.files(agent.name).catch(() => []);
    if (agent.name !== this.name) return;
    setText(byId("files-count"), String(files.length));
    byId("files").replaceChildren(...files.map(([path, size]) => el("li", {},
      el("a", { href: this.source.fileUrl(agent.name, path), download: true, text: path }), " ", el("small", { text: `${compact(size)}B` }))));
  }

  put(seq, node, into = this.box) {
    into.append(node);
    this.shown.push({ seq, node });
    return node;
  }

  add({ seq, kind, data }) {
    const notice = (text, mood = "") => this.put(seq, el("p", { class: "notice " + mood, text }));
    switch (kind) {
      case "agent.began": return this.began(seq, data.messages);
      case "agent.told": return this.put(seq, this.message("told", data.message));
      case "llm.finished": return this.answered(seq, data);
      case "tool.started": return this.started(data);
      case "tool.finished": return this.returned(seq, data);
      case "llm.failed": return notice(`The model gave no answer (${data.cause}): ${data.why}`, "bad");
      case "context.applied": return notice(`context: ${data.strategy}, ${data.left} of ${data.before} messages shown`);
      case "context.summarised": return notice(`context: began anew with its own notes\n${data.text}`);
      case "agent.resumed": return notice("went on after the run was interrupted");
      case "agent.finished":
      case "agent.stopped":
        return notice(`${data.outcome.stop}${data.outcome.reason ? ": " + data.outcome.reason : ""}`, data.outcome.stop === "done" ? "good" : "bad");
      case "agent.created": case "agent.addressed": case "llm.started": case "round.finished": return null;
      default: return notice(kind);
    }
  }

  began(seq, messages) {
    for (const message of messages) {
      if (message.role === "system") {
        this.put(seq, el("details", { class: "system" }, el("summary", { text: "system prompt" }), this.content(message.content)));
      } else this.put(seq, this.message(message.role, message));
    }
  }

  message(role, message) {
    return el("article", { class: "message " + role }, el("h3", { text: role === "told" ? "told" : role }), this.content(message.content));
  }

  answered(seq, data) {
    const { message, usage } = data, node = el("article", { class: "message assistant" }, el("h3", { text: `turn ${data.turn + 1}` },
      el("small", { text: `${compact(usage[0])} in, ${compact(usage[1])} out, ${duration(data.seconds)}${data.waited > 0.05 ? `, waited ${duration(data.waited)}` : ""}${data.attempts > 1 ? `, ${data.attempts} attempts` : ""}` })));
    if (message.reasoning) node.append(el("details", { class: "reasoning" }, el("summary", { text: "reasoning" }), this.content(message.reasoning)));
    if (message.content && message.content.length) node.append(this.content(message.content));
    (message.calls || []).forEach(([, name, given], position) => {
      const state = el("small", { text: "" }), results = el("div", { class: "results" });
      const call = el("section", { class: "call" }, el("h4", {}, el("code", { text: name }), state), args(given), results);
      this.calls.set(`${data.turn}.${position}`, { call, state, results });
      if (name === "assign_task") this.unlinked.push([`${data.turn}.${position}`, results]);
      node.append(call);
    });
    this.put(seq, node);
  }

  started({ place }) {
    const call = this.calls.get(place);
    if (call) setText(call.state, "under way");
  }

  returned(seq, { place, name, seconds, result }) {
    const node = el("div", { class: result.failure ? "result bad" : "result" }, this.content(result.parts)), call = this.calls.get(place);
    if (!call) return this.put(seq, el("section", { class: "call" }, el("h4", {}, el("code", { text: name })), node));
    setText(call.state, duration(seconds) + (result.failure ? ` · ${result.failure}` : ""));
    this.put(seq, node, call.results);
  }

  content(content) {
    const parts = typeof content === "string" ? [content] : content || [];
    return el("div", { class: "content" }, ...parts.map((part) => {
      if (typeof part === "string") return longText(part);
      const names = part.image ? [part.image] : part.video || [];
      return el("div", { class: "pictures" }, ...names.slice(0, 64).map((name) => this.picture(name)));
    }));
  }

  picture(name) {
    const url = this.source.pictureUrl(name);
    return url ? el("img", { src: url, alt: "picture that the agent saw", loading: "lazy" }) : el("small", { text: "(picture left out)" });
  }
}

function longText(text) {
  if (text.length <= LONG) return el("pre", { text });
  const rest = el("pre", {}), more = el("details", { class: "more" }, el("summary", { text: `${compact(text.length - LONG)} more characters` }), rest);
  more.addEventListener("toggle", () => {
    if (!rest.textContent) rest.textContent = text.slice(LONG, LONG + LONGEST) + (text.length > LONG + LONGEST ? "\n…" : "");
  });
  return el("div", {}, el("pre", { text: text.slice(0, LONG) }), more);
}

// Arguments of a call: one line each where they are a JSON object, as written where they are not.
function args(given) {
  let known = null;
  try { known = JSON.parse(given); } catch { /* shown as written */ }
  if (!known || typeof known !== "object" || Array.isArray(known)) return el("pre", { text: given });
  return el("dl", {}, ...Object.entries(known).flatMap(([name, value]) => [
    el("dt", { text: name }), el("dd", {}, longText(plainly(value))),
  ]));
}

function plainly(value) {
  if (typeof value === "string") return value;
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value.join("\n") : JSON.stringify(value);
}
