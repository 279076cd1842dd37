// The critical path as it glows: three strokes over one another, which costs a canvas far less than a blur.

import { colours } from "./theme.js";

const FAR = 20;

// Draw a line through points, with round corners where it goes over to another lane; what is out of sight is left out.
export function drawPath(context, points, { left, width, height }) {
  if (points.length < 2) return;
  const outside = (a, b) => (a.x < left - FAR && b.x < left - FAR) || (a.x > width + FAR && b.x > width + FAR)
    || (a.y < -FAR && b.y < -FAR) || (a.y > height + FAR && b.y > height + FAR);
  context.lineJoin = context.lineCap = "round";
  for (const [colour, thick] of [["path-glow", 9], ["path-glow", 5.5], ["path", 2.6], ["path-core", 1]]) {
    context.strokeStyle = colours[colour];
    context.lineWidth = thick;
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (let place = 1; place < points.length; place++) {
      const before = points[place - 1], point = points[place];
      if (outside(before, point)) context.moveTo(point.x, point.y);
      else if (Math.abs(point.y - before.y) < 1) context.lineTo(point.x, point.y);
      else corner(context, before, point, points[place + 1]);
    }
    context.stroke();
  }
  const end = points.at(-1);
  context.fillStyle = colours.path;
  context.beginPath();
  context.arc(end.x, end.y, 4, 0, 7);
  context.fill();
}

// Along its lane, over to the other one, and on: with round corners, however near the two moments are.
function corner(context, from, to, next) {
  const down = Math.sign(to.y - from.y), bend = Math.min(8, Math.abs(to.y - from.y) / 2), x = Math.max(from.x, to.x);
  const out = next && next.y === to.y ? Math.min(bend, Math.max(0, next.x - x)) : 0;
  context.lineTo(x - Math.min(bend, Math.max(0, x - from.x)), from.y);
  context.quadraticCurveTo(x, from.y, x, from.y + down * bend);
  context.lineTo(x, to.y - down * bend);
  context.quadraticCurveTo(x, to.y, x + out, to.y);
}
