// Time: how many agents were at work when, and the moment that is shown.

import { byId, duration, setText, sharp } from "./dom.js";
import { colours } from "./theme.js";

const PARTS = 10000;

export class Scrubber {
  constructor(player, { moved }) {
    this.player = player;
    this.slider = byId("moment");
    this.canvas = byId("profile");
    this.stamp = "";
    this.slider.max = String(PARTS);
    this.slider.addEventListener("input", () => {
      const { began, end } = player;
      player.pause();
      Number(this.slider.value) >= PARTS ? player.goLive() : player.seek(began + (end - began) * Number(this.slider.value) / PARTS);
      moved();
    });
    byId("play").addEventListener("click", () => { player.playing ? player.pause() : player.play(); moved(); });
    byId("live").addEventListener("click", () => { player.goLive(); moved(); });
    byId("speed-choice").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
    player.speed = Number(byId("speed-choice").value);
  }

  show() {
    const { player, slider } = this, whole = Math.max(1e-6, player.end - player.began);
    const value = String(player.live ? PARTS : Math.round((player.now - player.began) / whole * PARTS));
    if (document.activeElement !== slider || player.playing || player.live) slider.value = value;
    slider.setAttribute("aria-valuetext", duration(player.now - player.began));
    setText(byId("moment-now"), clock(player.now - player.began));
    setText(byId("moment-end"), clock(whole));
    setText(byId("play"), player.playing ? "❚❚" : "▶");
    byId("play").setAttribute("aria-label", player.playing ? "stop the replay" : "replay");
    byId("live").hidden = player.live;
    setText(byId("live"), player.running && !player.over ? "Live" : "End");
    this.profile();
  }

  // The number of agents at work over the whole run, whatever moment is shown.
  profile() {
    const { player, canvas } = this, width = canvas.parentNode.clientWidth, height = canvas.parentNode.clientHeight;
    if (player.live) this.known = player.run.profile;
    if (!this.known || !width || !player.log.length) return;
    const stamp = `${this.known.times.length} ${width} ${Math.round(player.end * 2)} ${Math.round(player.now * 10)} ${colours.ink}`;
    if (stamp === this.stamp) return;
    this.stamp = stamp;
    const context = sharp(canvas, width, height), { times, values } = this.known, most = Math.max(1, ...sampled(values));
    const x = (time) => (time - player.began) / Math.max(1e-6, player.end - player.began) * width, y = (value) => height - value / most * (height - 3);
    const area = (opaque) => {
      context.globalAlpha = opaque;
      context.beginPath();
      context.moveTo(0, height);
      let before = 0;
      times.forEach((time, place) => {
        context.lineTo(x(time), y(before));
        context.lineTo(x(time), y(before = values[place]));
      });
      context.lineTo(x(player.end), y(before));
      context.lineTo(x(player.end), height);
      context.fill();
    };
    context.clearRect(0, 0, width, height);
    context.fillStyle = colours.model;
    area(0.3);
    context.save();
    context.beginPath();
    context.rect(0, 0, x(player.now), height);
    context.clip();
    area(0.55);
    context.restore();
  }
}

// At most ten thousand values: `Math.max` takes no more arguments than that safely.
const sampled = (values) => (values.length <= 10000 ? values : values.filter((_, place) => place % Math.ceil(values.length / 10000) === 0));

function clock(seconds) {
  const whole = Math.max(0, seconds), minutes = Math.floor(whole / 60);
  return minutes >= 60 ? `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${String(Math.floor(whole % 60)).padStart(2, "0")}`
    : `${minutes}:${(whole % 60).toFixed(1).padStart(4, "0")}`;
}
