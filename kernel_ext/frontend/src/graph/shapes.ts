// The parts of a box as plain shapes with class names: what SVG elements are made of, and what the
// canvas paints in the styles of the same sheet.

import { shorten, textWidth } from "../words.js";
import type { Painter } from "./paint.js";
import { SOURCES } from "./record.js";
import type { Box, Scene } from "./scene.js";

/** A rectangle (w, h, r), a circle (r), a straight stroke to (x + w, y + h), or a text. */
export interface Shape {
  kind: "rect" | "circle" | "stroke" | "text";
  cls: string;
  x: number;
  y: number;
  w?: number;
  h?: number;
  r?: number;
  words?: string;
  anchor?: "middle" | "end";
  opacity?: number;
}

/** Added to boxes by comparisons and by what the last run found. */
export interface Badge {
  kind: "added" | "changed" | "nan";
  text: string;
}

/** A scene with everything that is painted on it. */
export interface Drawing {
  scene: Scene;
  painter: Painter;
  badges: ReadonlyMap<number, Badge>;
  labels: string[];
}

/** What is emphasised at the moment; box numbers, -1 for none. */
export interface Marks {
  hover: number;
  focus: number;
  selected: ReadonlySet<number>;
  /** Boxes that hold a match of the search, if one is on. */
  found?: ReadonlySet<number>;
  current: number;
}

const LEAST_SHARE = 0.02; // smaller ones show no bar

/** The parts of one box, at its place in the drawing; back to front. */
export function boxShapes({ scene, painter, badges }: Drawing, index: number): Shape[] {
  const box = scene.boxes[index];
  const paint = painter.of(index);
  const { x, y, width: w, height: h } = box;
  const out: Shape[] = [];
  const rect = (cls: string, r: number, shift = 0, opacity?: number): void => {
    out.push({ kind: "rect", cls, x: x + shift, y: y + shift, w, h, r, opacity });
  };
  const text = (
    dx: number,
    dy: number,
    words: string,
    cls: string,
    anchor?: "middle" | "end",
  ): void => {
    if (words) out.push({ kind: "text", cls, x: x + dx, y: y + dy, words, anchor });
  };
  const pill = (
    cls: string,
    left: number,
    top: number,
    height: number,
    words: string,
    size: number,
  ): void => {
    const width = textWidth(words, size, "bold") + 12;
    const at = left < 0 ? x + w + left - width : x + left;
    out.push(
      { kind: "rect", cls, x: at, y: y + top, w: width, h: height, r: height / 2 },
      {
        kind: "text",
        cls: `${cls.split(" ")[0]}-text`,
        x: at + width / 2,
        y: y + top + height / 2 + 3.7,
        words,
        anchor: "middle",
      },
    );
  };
  if (box.kind === "frame") {
    rect("panel", 10);
    const count = box.repeat > 1 ? `×${box.repeat}` : "";
    const room = w - 26 - (count ? textWidth(count, 10.5, "bold") + 16 : 0);
    const title = `▾ ${fitting(box.title, room - 14, 11.5)}`;
    out.push({
      kind: "rect",
      cls: "grip",
      x: x + 5,
      y: y + 5,
      w: textWidth(title, 11.5, "bold") + 14,
      h: 18,
      r: 6,
    });
    text(12, 18, title, "panel-title");
    if (count) pill("pill", -8, 6, 16, count, 10.5);
    return out;
  }
  const sub = paint.value ?? box.sub;
  const source = SOURCES.has(box.look);
  const round = source ? h / 2 : 7;
  if (box.repeat > 2) rect("card behind", 7, 8);
  if (box.kind === "scope") rect("card behind", 7, 4);
  rect(
    `card${source ? " source" : ""}${box.failed ? " failed" : box.output ? " output" : ""}`,
    round,
  );
  if (paint.share) rect("heat", round, 0, 0.04 + 0.5 * paint.share);
  if (box.kind === "scope") {
    text(11, 18.5, "▸", "chevron");
    const count = box.repeat > 1 ? `×${box.repeat}` : "";
    const room = w - 36 - (count ? textWidth(count, 10.5, "bold") + 12 : 0);
    text(24, 19, fitting(box.title, room, 12.5), "title");
    text(24, 34, sub, "sub");
    if (count) pill("pill", -8, 7, 16, count, 10.5);
  } else if (box.look === "constant") {
    text(w / 2, h / 2 + 3.8, box.title, "sub mono", "middle");
  } else if (source) {
    text(w / 2, sub ? 17 : 24, box.title, "title", "middle");
    text(w / 2, 31, sub, "sub mono", "middle");
  } else {
    out.push({ kind: "stroke", cls: "bar", x: x + 5.5, y: y + 8, w: 0, h: h - 16 });
    text(14, 17, box.title, "title");
    text(w - 11, 17, box.tag, "tag", "end");
    text(14, 31, sub || (box.failed ? "failed" : ""), "sub mono");
    if (box.rows.length)
      out.push({ kind: "stroke", cls: "rule", x: x + 14, y: y + 38, w: w - 25, h: 0 });
    box.rows.forEach(([name, spec], k) => {
      text(14, 51 + 13 * k, name, "row");
      text(w - 11, 51 + 13 * k, spec, "row mono", "end");
    });
  }
  if (paint.share && paint.share >= LEAST_SHARE) {
    const width = Math.max(2, (w - 16) * paint.share);
    out.push({ kind: "rect", cls: "meter", x: x + 8, y: y + h - 4.5, w: width, h: 2.5, r: 1.2 });
  }
  if (box.gradients) out.push(...gradientMark(box, scene));
  if (box.failed) {
    out.push({ kind: "circle", cls: "alarm", x: x + w, y, r: 8 });
    text(w, 4, "!", "alarm-text", "middle");
  }
  const badge = badges.get(index);
  if (badge)
    pill(
      `badge ${badge.kind}`,
      -w - 4 + textWidth(badge.text, 9.5, "bold") + 12,
      -8,
      15,
      badge.text,
      9.5,
    );
  return out;
}

/** What lies below the lines that cross a frame; its outline and title lie above them. */
export function floor({ x, y, width, height }: Box): Shape {
  return { kind: "rect", cls: "floor", x, y, w: width, h: height, r: 10 };
}

/** A title, shortened to the room that it has. */
function fitting(title: string, room: number, size: number): string {
  let limit = title.length;
  let words = title;
  while (limit > 4 && textWidth(words, size, "bold") > room) words = shorten(title, --limit);
  return words;
}

/** The mark that stands for the gradient nodes of a box, beside it. */
function gradientMark(box: Box, scene: Scene): Shape[] {
  const [w, h, gap] = scene.mark;
  const right = scene.direction === "right";
  const x = right ? box.x + box.width / 2 - w / 2 : box.x + box.width + gap;
  const y = right ? box.y + box.height + gap : box.y + box.height / 2 - h / 2;
  return [
    { kind: "rect", cls: "mark", x, y, w, h, r: h / 2 },
    {
      kind: "text",
      cls: "mark-text",
      x: x + w / 2,
      y: y + h / 2 + 3.6,
      words: `∂ ${box.gradients}`,
      anchor: "middle",
    },
  ];
}

/** The ends of a long line, with a word for what is on its other side. */
export interface Stub {
  box: number;
  stroke: Shape;
  label: Shape;
  arrow: boolean;
}

export function stubs(scene: Scene): Stub[] {
  const far = [new Map<number, number[]>(), new Map<number, number[]>()];
  for (const line of scene.lines) {
    if (line.kind !== "stub") continue;
    for (const [map, at, other] of [
      [far[0], line.source, line.target],
      [far[1], line.target, line.source],
    ] as const) {
      const list = map.get(at);
      if (list) list.push(other);
      else map.set(at, [other]);
    }
  }
  const right = scene.direction === "right";
  const out: Stub[] = [];
  far.forEach((map, comes) => {
    for (const [i, others] of map) {
      const { x, y, width, height } = scene.boxes[i];
      const { tag, title } = scene.boxes[others[0]];
      const one = others.length === 1 ? shorten(tag || title, 12) : "";
      const words = comes
        ? one || `${others.length} inputs`
        : `→ ${one || `${others.length} uses`}`;
      const cls = "line stub";
      const text = (tx: number, ty: number, anchor?: "end"): Shape => ({
        kind: "text",
        cls: "stub-text",
        x: tx,
        y: ty,
        words,
        anchor,
      });
      let stroke: Shape;
      let label: Shape;
      if (comes) {
        const at = right ? 14 : 8;
        stroke = { kind: "stroke", cls, x: x + at, y: y - 9, w: 0, h: 7 };
        label = right ? text(x + 18, y - 5) : text(x + 4, y - 4, "end");
      } else if (right) {
        stroke = { kind: "stroke", cls, x: x + width, y: y + height - 4, w: 8, h: 0 };
        label = text(x + width + 10, y + height);
      } else {
        stroke = { kind: "stroke", cls, x: x + width - 6, y: y + height, w: 0, h: 8 };
        label = text(x + width - 4, y + height + 16);
      }
      out.push({ box: i, stroke, label, arrow: comes === 1 });
    }
  });
  return out;
}
