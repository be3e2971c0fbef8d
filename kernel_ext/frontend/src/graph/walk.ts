// Where an arrow key leads: along a line to the box on its other side, else to the nearest box that
// lies in that direction. An open scope has its place where its lines come in: on the way into it, and
// back out of it there, its frame comes first.

import type { Box, Scene } from "./scene.js";

export type Arrow = "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight";

const middle = (box: Box): [number, number] => [box.x + box.width / 2, box.y + box.height / 2];

/** Boxes that a box's lines, stubs included, lead to (or come from). */
export function neighbours(scene: Scene, box: number, forwards: boolean): number[] {
  const out = new Set<number>();
  for (const line of scene.lines) {
    if (line.kind === "gradient") continue;
    if (forwards && line.source === box) out.add(line.target);
    if (!forwards && line.target === box) out.add(line.source);
  }
  out.delete(box);
  return [...out];
}

/** The frames around a box, the innermost first. */
function framesOf(scene: Scene, box: number): number[] {
  const out: number[] = [];
  for (let at = scene.boxes[box].frame; at >= 0; at = scene.boxes[at].frame) out.push(at);
  return out;
}

export function walk(scene: Scene, box: number, key: Arrow): number {
  const next = beside(scene, box, key);
  const own = framesOf(scene, box);
  if (key === (scene.direction === "down" ? "ArrowDown" : "ArrowRight")) {
    const entered = framesOf(scene, next).filter((i) => i !== box && !own.includes(i));
    return entered.pop() ?? next;
  }
  if (key === (scene.direction === "down" ? "ArrowUp" : "ArrowLeft")) {
    const kept = next === box ? [] : framesOf(scene, next);
    return own.find((i) => !kept.includes(i)) ?? next;
  }
  return next;
}

/** The box that a key leads to, whatever frames there are; the same one if there is none. */
function beside(scene: Scene, box: number, key: Arrow): number {
  const down = scene.direction === "down";
  const along = down ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  let [x, y] = middle(scene.boxes[box]);
  // Into an open scope from where its lines come in.
  if (scene.boxes[box].kind === "frame")
    [x, y] = down ? [x, scene.boxes[box].y] : [scene.boxes[box].x, y];
  const way = along.indexOf(key);
  const nearest = (candidates: number[]): number => {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const i of candidates) {
      const [a, b] = middle(scene.boxes[i]);
      const distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least) {
        least = distance;
        best = i;
      }
    }
    return best;
  };
  if (way >= 0) {
    const next = nearest(neighbours(scene, box, way === 1));
    if (next >= 0) return next;
  }
  const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  const flat = key === "ArrowLeft" || key === "ArrowRight";
  const candidates: number[] = [];
  scene.boxes.forEach((other, i) => {
    if (i === box || other.kind === "frame") return;
    const [a, b] = middle(other);
    const ahead = sign * (flat ? a - x : b - y);
    const aside = Math.abs(flat ? b - y : a - x);
    if (ahead > 1 && aside <= 2 * ahead) candidates.push(i);
  });
  const found = nearest(candidates);
  return found >= 0 ? found : box;
}
