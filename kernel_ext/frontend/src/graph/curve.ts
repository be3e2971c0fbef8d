// The curves of lines: smooth, leaving and arriving along the picture's direction.

import type { Point } from "./layered.js";
import type { Box, Scene } from "./scene.js";

/** What SVG paths and canvases have in common. */
export interface Pen {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  bezierCurveTo(a: number, b: number, c: number, d: number, x: number, y: number): void;
}

export function trace(points: Point[], right: boolean, pen: Pen): void {
  let [{ x, y }] = points;
  pen.moveTo(x, y);
  for (let i = 1; i < points.length; ++i) {
    const { x: a, y: b } = points[i];
    if (Math.abs(right ? b - y : a - x) < 0.6) pen.lineTo(a, b);
    else if (right) pen.bezierCurveTo((x + a) / 2, y, (x + a) / 2, b, a, b);
    else pen.bezierCurveTo(x, (y + b) / 2, a, (y + b) / 2, a, b);
    x = a;
    y = b;
  }
}

const n = (value: number): string => String(Math.round(value * 10) / 10);

/** The curve as the `d` of an SVG path. */
export function pathOf(points: Point[], right: boolean): string {
  const out: string[] = [];
  trace(points, right, {
    moveTo: (x, y) => out.push(`M${n(x)} ${n(y)}`),
    lineTo: (x, y) => out.push(`L${n(x)} ${n(y)}`),
    bezierCurveTo: (...c) => out.push(`C${c.map(n).join(" ")}`),
  });
  return out.join("");
}

/** The way of a long line, which is drawn only when someone asks for it. */
export function longWay(scene: Scene, source: number, target: number): Point[] {
  const a = scene.boxes[source];
  const b = scene.boxes[target];
  const right = scene.direction === "right";
  const end = (box: Box, out: boolean): Point =>
    right
      ? { x: out ? box.x + box.width : box.x, y: box.y + box.height / 2 }
      : { x: box.x + box.width / 2, y: out ? box.y + box.height : box.y };
  return [end(a, true), end(b, false)];
}
