// A run's state at any moment: a pure fold over thin events (see view/swarm_page_events.py), the same live and replayed.

import { Graph, StepCounter } from "./critical.js";
import { ResultTables } from "./result_table.js";

export const ALIVE = ["thinking", "tool", "delegating", "waiting"];
const ENDS = { done: "finished", cancelled: "cancelled" };
const TOOLS = {
  search: "search", open: "page", find: "page", scroll: "page", click: "page", type: "page", download: "page",
  ipython: "code", shell: "code", python: "code", assign_task: "delegate", create_subagent: "other",
  read_media: "media", read_file: "media", write_file: "media", list_files: "media",
};

export const useOf = (tool) => TOOLS[tool] || "other";

// Stretches of one agent's time, in order of their beginning; `end` is NaN while one lasts.
class Lane {
  constructor() {
    this.uses = [];
    this.begins = [];
    this.ends = [];
    this.names = [];
  }

  begin(use, time, name) {
    this.uses.push(use);
    this.begins.push(time);
    this.ends.push(NaN);
    this.names.push(name);
    return this.uses.length - 1;
  }
}

export class Agent {
  constructor(index, name, time) {
    Object.assign(this, {
      index, name, role: "", prompt: "", call: "", parent: null, group: null, groups: [], children: [], depth: name.split("/").length - 1,
      activity: "waiting", doing: new Map(), turns: 0, calls: 0, tokensIn: 0, tokensOut: 0, cached: 0, cost: 0, context: 0,
      waited: 0, attempts: 0, since: time, began: time, ended: null, stop: "", reason: "", said: "", last: -1,
      lane: new Lane(), asking: -1, using: -1, pages: new Map(), failures: 0,
    });
  }

  get tokens() { return this.tokensIn + this.tokensOut; }
  get alive() { return this.ended === null; }
  get number() { return this.depth ? "#" + this.name.slice(this.name.indexOf("/") + 1) : ""; }
  get title() { return this.role || (this.depth ? this.name : "Orchestrator"); }
}

export class Run {
  constructor() {
    this.agents = [];
    this.byName = new Map();
    this.graph = new Graph();
    this.steps = new StepCounter();
    this.tables = new ResultTables();
    this.counts = {};
    this.groups = [];
    this.roles = new Map();
    this.mode = "";
    this.model = "";
    this.stop = "";
    this.began = 0;
    this.last = 0;
    this.stopped = this.stoppedAt = this.pausedBefore = this.pausedAt = 0;
    this.pausedFor = null;  // why it stands still
    this.serial = 0;
    this.tokensIn = this.tokensOut = this.cached = this.cost = 0;
    this.sharded = 0;
    this.profile = { times: [], values: [] };
    this.structure = 0;
    this.front = null;
  }

  get count() { return this.graph.times.length; }
  get main() { return this.byName.get("main") || this.agents[0] || null; }
  get alive() { return ALIVE.reduce((sum, one) => sum + (this.counts[one] || 0), 0); }
  get over() { return this.stop !== ""; }

  take([seq, kind, time, name, after, data]) {
    if (seq !== this.count) return;  // told twice after a reconnection
    if (!seq) this.began = time;
    this.pauses(kind, time, data);
    this.last = time;
    this.graph.take(kind, time, name, after, data);
    if (data.usage) this.paid(data);
    else if (kind === "tool.finished" && data.name !== "assign_task") this.serial += data.seconds;
    if (name) {
      const agent = this.agentOf(name, time);
      this.steps.take(kind, name);
      agent.since = time;
      agent.last = seq;
      this.apply(agent, kind, time, data);
    } else if (kind === "run.started" || kind === "run.resumed") {
      this.mode = data.mode || "";
      this.model = data.model || "";
      this.stop = "";
    } else if (kind === "run.finished") this.stop = data.stop || "done";
  }

  // Time without a process, and time that a person or the endpoint held the run; neither is its own.
  pauses(kind, time, data) {
    if (kind === "run.resumed") {
      this.stoppedAt = this.last;
      this.stopped += time - this.last;
    }
    if (kind === "run.paused" && this.pausedFor === null) [this.pausedAt, this.pausedFor] = [time, data.reason || "paused"];
    else if ((kind === "run.continued" || kind === "run.resumed") && this.pausedFor !== null) {
      this.pausedBefore += (kind === "run.resumed" ? this.last : time) - this.pausedAt;
      this.pausedFor = null;
    }
  }

  get paused() { return this.pausedBefore + (this.pausedFor === null ? 0 : this.last - this.pausedAt); }

  paid(data) {
    const [prompt, completion, cached, cost] = data.usage;
    this.tokensIn += prompt;
    this.tokensOut += completion;
    this.cached += cached;
    this.cost += cost;
    this.serial += data.seconds;
  }

  agentOf(name, time) {
    let agent = this.byName.get(name);
    if (!agent) {
      agent = new Agent(this.agents.length, name, time);
      agent.parent = this.byName.get(name.slice(0, Math.max(0, name.lastIndexOf("/")))) || null;
      this.agents.push(agent);
      this.byName.set(name, agent);
      this.count1("waiting", 1);
      if (agent.parent) agent.parent.children.push(agent);
      this.structure += 1;
      this.atWork(time);
    }
    return agent;
  }

  apply(agent, kind, time, data) {
    switch (kind) {
      case "agent.created": return this.created(agent, data);
      case "agent.resumed": return this.resumed(agent);
      case "llm.started":
        agent.asking = agent.lane.begin("model", time, "");
        return this.now(agent, "thinking");
      case "llm.finished": return this.answered(agent, time, data);
      case "llm.failed":
        this.close(agent, time, 0);
        agent.said = data.why || "";
        agent.failures += 1;
        return this.now(agent, "waiting");
      case "context.summarised": return this.answered(agent, time, data);
      case "tool.started":
        if (!agent.doing.size) agent.using = agent.lane.begin(useOf(data.name), time, data.name);
        agent.doing.set(data.place, data.name);
        agent.said = data.arguments || agent.said;
        return this.now(agent, data.name === "assign_task" ? "delegating" : "tool");
      case "tool.finished": return this.returned(agent, time, data);
      case "agent.told": agent.said = data.said || agent.said; return;
      case "agent.stopped": return this.now(agent, "waiting");
      case "agent.finished": return this.finished(agent, time, data);
    }
  }

  created(agent, data) {
    agent.role = data.role;
    agent.prompt = data.prompt;
    agent.call = data.call || "";
    if (data.role) this.roles.set(data.role, (this.roles.get(data.role) || 0) + 1);
    if (!agent.parent || agent.group) return;
    const turn = (data.call || "").split(".")[0], parent = agent.parent;
    let group = parent.groups.at(-1);
    if (!group || group.turn !== turn) {
      group = { parent, turn, number: parent.groups.length + 1, agents: [], began: agent.began };
      parent.groups.push(group);
      this.groups.push(group);
    }
    agent.group = group;
    group.agents.push(agent);
  }

  resumed(agent) {
    this.close(agent, this.stoppedAt, 0);
    if (agent.using >= 0) agent.lane.ends[agent.using] = this.stoppedAt;
    agent.using = -1;
    agent.doing.clear();
    Object.assign(agent, { ended: null, stop: "", reason: "" });  // what the endpoint failed may be tried again
    this.now(agent, "waiting");
  }

  answered(agent, time, data) {
    const [prompt, completion, cached, cost] = data.usage;
    agent.turns += data.turn === undefined ? 0 : 1;
    agent.tokensIn += prompt;
    agent.tokensOut += completion;
    agent.cached += cached;
    agent.cost += cost;
    if (agent.depth) this.sharded += prompt + completion - agent.context;
    agent.context = prompt + completion;
    agent.waited += data.waited || 0;
    agent.attempts += data.attempts || 1;
    agent.said = data.said || agent.said;
    this.close(agent, time, data.waited || 0);
    if (data.facts) this.tables.facts(agent.name, time, data.facts);
    for (const table of data.tables || []) this.tables.written(agent.name, time, "result", table);
    this.now(agent, "waiting");
  }

  // A model's stretch is over; what it waited for the limiter stands before it.
  close(agent, time, waited) {
    const lane = agent.lane, at = agent.asking;
    if (at < 0) return;
    if (waited > 0.001) {
      const middle = Math.min(time, lane.begins[at] + waited);
      lane.uses[at] = "limiter";
      lane.ends[at] = middle;
      lane.ends[lane.begin("model", middle, "")] = time;
    } else lane.ends[at] = time;
    agent.asking = -1;
  }

  returned(agent, time, data) {
    agent.calls += 1;
    agent.doing.delete(data.place);
    agent.said = data.name === "assign_task" ? agent.said : data.said || agent.said;
    if (data.failure) agent.failures += 1;
    if (data.page) agent.pages.set(data.page[0], data.page[1]);
    if (agent.doing.size) return;
    if (agent.using >= 0) agent.lane.ends[agent.using] = time;
    agent.using = -1;
    this.now(agent, "waiting");
  }

  finished(agent, time, data) {
    this.close(agent, time, 0);
    if (agent.using >= 0) agent.lane.ends[agent.using] = time;
    agent.using = -1;
    agent.doing.clear();
    Object.assign(agent, { stop: data.stop, reason: data.reason || "", ended: time, said: data.said || agent.said });
    this.now(agent, ENDS[data.stop] || "failed");
    this.atWork(time);
    for (const table of data.tables || []) this.tables.written(agent.name, time, agent.depth ? "result" : "answer", table);
  }

  now(agent, activity) {
    if (agent.activity === activity) return;
    this.count1(agent.activity, -1);
    this.count1(activity, 1);
    agent.activity = activity;
  }

  count1(activity, more) { this.counts[activity] = (this.counts[activity] || 0) + more; }

  atWork(time) {
    this.profile.times.push(time);
    this.profile.values.push(this.alive);
  }

  // As `swarm.session.figures`.
  get figures() {
    const took = this.count ? this.last - this.began - this.stopped - this.paused : 0;
    const path = this.graph.path(this.count - 1).reduce((sum, link) => sum + (link.spent === "stopped" ? 0 : link.seconds), 0);
    return {
      critical_steps: this.steps.critical, total_steps: this.steps.total, agents: Math.max(0, this.agents.length - 1),
      seconds: took, path_seconds: path, serial_seconds: this.serial, speed_up: took ? this.serial / took : 1,
    };
  }

  // Where the path ends now: the run's last event, or while it lasts the newest event of the agent that is furthest.
  get head() {
    if (this.over || !this.agents.length) return { seq: this.count - 1, agent: null };
    let best = null, most = -1;
    for (const agent of this.agents) {
      if (!agent.alive || agent.activity === "delegating") continue;
      const through = this.steps.through(agent.name);
      if (through > most || (through === most && agent === this.front)) [best, most] = [agent, through];
    }
    this.front = best;
    return best ? { seq: best.last, agent: best } : { seq: this.count - 1, agent: null };
  }
}
