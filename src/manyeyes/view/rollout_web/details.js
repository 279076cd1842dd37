// What is known of the rollout, of the agent, turn, token or event that was chosen.

import { duration, el } from "./dom.js";

const figure = (value) => (value === null || value === undefined || Number.isNaN(value) ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(5)).toString());

export class Details {
  constructor(box) {
    this.box = box;
    this.chosen = el("div");
    this.rollout = el("div");
    box.append(this.chosen, this.rollout);
  }

  forget() {
    this.chosen.replaceChildren();
    this.rollout.replaceChildren();
  }

  begin(forest) {
    const { outline } = this.forest = forest;
    this.chosen.replaceChildren();
    this.rollout.replaceChildren(...[
      section("Verdict", facts({ reward: figure(outline.reward), ...parts(outline.rewards), ...group(outline.group) }), ...this.words("judge")),
      outline.findings.length && section("Checks", el("ul", { class: "findings" }, ...outline.findings.map((words) => el("li", { text: words })))),
      section("Rollout", facts({
        task: outline.task, environment: outline.environment, ended: outline.stop, masked: outline.masked,
        tokens: figure(forest.tokens), sampled: figure(forest.sampled), turns: figure(forest.nodes.filter((node) => node.length > node.given).length),
        agents: figure(forest.agents.length), branches: figure(forest.branches.reduce((sum, one) => sum + one.length, 0)),
      })),
      ...this.words("failed").map((words) => section("Failure", words)),
      Object.keys(outline.variant).length && section("Variant that was drawn", plain(outline.variant)),
      this.others(),
    ].filter(Boolean));
  }

  // What events of a kind say.
  words(kind) {
    const said = this.forest.outline.events.filter((event) => event.kind === kind).map(({ data: { reward, parts: _, ...rest } }) => ("notes" in rest && Object.keys(rest).length === 1 ? rest.notes : rest));
    return said.filter((data) => Object.keys(data ?? {}).length).map(plain);
  }

  // Events of no turn that are shown nowhere else.
  others() {
    const { outline, loose } = this.forest, rest = loose.map((number) => outline.events[number]).filter(({ kind }) => kind !== "judge" && kind !== "failed");
    return rest.length && section("Other events", ...rest.slice(0, 200).map((event) => el("details", {}, el("summary", { text: `${event.kind} at ${duration(event.at)}` }), plain(event.data))));
  }

  agent(number) {
    const agent = this.forest.agents[number];
    this.choose(section(`Agent ${agent.name}`, facts({
      role: agent.role, policy: agent.policy === "frozen" ? "frozen: its tokens are part of the world" : agent.policy, task: agent.task, began: duration(agent.began),
      took: agent.ended === null ? "no end" : duration(agent.ended - agent.began), ended: agent.stop, reason: agent.reason,
    }), agent.text && el("pre", { text: agent.text })));
  }

  node(number) {
    const node = this.forest.nodes[number];
    this.choose(section(`Turn ${number}`, facts({
      agent: this.forest.agents[node.agent].name, asked: duration(node.at), took: duration(node.seconds), given: figure(node.given),
      sampled: figure(node.length - node.given), stop: node.stop, "log-probabilities": node.kind, "continues turn": node.parent < 0 ? "none" : node.parent,
      fork: node.fork, malformed: node.malformed, masked: node.masked, pictures: node.media.length || "",
    })));
  }

  token(token) {
    const { forest } = this, node = forest.nodeOf(token), drawn = forest.drawnOf(token, node), id = forest.ids[token];
    const values = drawn < 0 ? {} : {
      "log-probability": figure(forest.logprobs[drawn]), probability: figure(Math.exp(forest.logprobs[drawn])), version: figure(forest.versions[drawn]),
      ...Object.fromEntries([...forest.values].map(([name, array]) => [name, figure(array[drawn])])),
    };
    const entry = forest.outline.texts && forest.outline.texts[id];
    this.choose(section(`Token ${token - node.start} of turn ${node.number}`, facts({
      id: String(id), bytes: entry ? JSON.stringify(entry[0]) : "", is: drawn < 0 ? "given" : forest.learns(drawn, node) ? "sampled, trained on" : "sampled, not trained on", ...values,
    })));
  }

  event(number) {
    const event = this.forest.outline.events[number], { name, arguments: given, result, ...rest } = event.data;
    const tool = event.kind === "tool" && name !== undefined;
    this.choose(section(tool ? `Tool ${name}` : event.kind, facts({ at: duration(event.at), took: duration(event.seconds), failure: tool && result && result.failure }),
      ...(tool ? [el("h4", { text: "called with" }), plain(given), el("h4", { text: "answered" }), plain(result && result.parts ? result.parts : result), Object.keys(rest).length && plain(rest)] : [plain(event.data)])));
  }

  choose(content) {
    this.chosen.replaceChildren(content);
    this.box.scrollTop = 0;
  }
}

const parts = (rewards) => Object.fromEntries(Object.entries(rewards).map(([part, value]) => [`· ${part}`, figure(value)]));

function group(place) {
  return place ? { group: place.group + (place.complete ? "" : " (no quorum)"), "mean of group": `${figure(place.mean)} of ${place.count}`, deviation: figure(place.deviation) } : {};
}

function section(title, ...content) {
  return el("section", {}, el("h3", { text: title }), ...content.filter(Boolean));
}

function facts(pairs) {
  const shown = Object.entries(pairs).filter(([, value]) => value !== "" && value !== undefined && value !== null && value !== false);
  return el("dl", { class: "facts" }, ...shown.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: String(value) })]));
}

// Any JSON as text; a text that is JSON itself is set in lines.
function plain(value) {
  if (value === undefined || value === null) return el("pre", { text: "–" });
  if (typeof value === "string") {
    try {
      value = JSON.parse(value);
    } catch {
      return el("pre", { text: value });
    }
  }
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return el("pre", { text: value.join("\n") });
  return el("pre", { text: typeof value === "string" ? value : JSON.stringify(value, null, 2) });
}
