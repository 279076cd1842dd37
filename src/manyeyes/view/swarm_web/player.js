// Which moment is shown: the newest, or an earlier one that is replayed. Forward adds events, backward folds anew.

import { Run } from "./fold.js";

export class Player {
  constructor() { this.clear(); }

  clear() {
    this.log = [];
    this.run = new Run();
    this.live = true;
    this.playing = false;
    this.speed = 1;
    this.at = 0;
    this.running = false;
  }

  // Events in order of their numbers; those that are known already are passed over.
  add(events) {
    for (const event of events) {
      if (event[0] !== this.log.length) continue;
      this.log.push(event);
      if (this.live) this.run.take(event);
    }
  }

  get began() { return this.log.length ? this.log[0][2] : 0; }
  get last() { return this.log.length ? this.log.at(-1)[2] : 0; }

  // The end of what can be shown: now while the run goes on.
  get end() { return this.running && !this.over ? Math.max(this.last, Date.now() / 1000) : this.last; }
  get over() { return this.log.length > 0 && this.log.at(-1)[1] === "run.finished"; }
  get now() { return this.live ? this.end : this.at; }

  seek(time) {
    this.live = false;
    this.at = Math.min(this.end, Math.max(this.began, time));
    if (this.run.count && this.run.last > this.at) this.run = new Run();
    while (this.run.count < this.log.length && this.log[this.run.count][2] <= this.at) this.run.take(this.log[this.run.count]);
  }

  goLive() {
    this.live = true;
    this.playing = false;
    while (this.run.count < this.log.length) this.run.take(this.log[this.run.count]);
  }

  play() {
    if (this.live || this.at >= this.last) this.seek(this.began);
    this.playing = true;
  }

  pause() { this.playing = false; }

  // Let `seconds` of the watcher's time pass.
  pass(seconds) {
    if (!this.playing || this.live) return;
    this.seek(this.at + seconds * this.speed);
    if (this.at >= this.end) this.over ? this.pause() : this.goLive();
  }
}
