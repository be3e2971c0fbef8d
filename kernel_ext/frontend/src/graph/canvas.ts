// Draws a scene on a canvas, only what is in sight: for pictures of thousands of boxes. One invisible
// button stands where the focus is, for keyboards and screen readers.

import { h, s } from "../dom.js";
import { longWay, trace } from "./curve.js";
import type { Point } from "./layered.js";
import { boxShapes, type Drawing, floor, type Marks, type Shape, stubs } from "./shapes.js";
import { askedLines, type Renderer, shapeElement, type Transform } from "./svg.js";

const LEGIBLE = 0.32; // below this scale words are left out

/** Buckets of a grid, so that what is in sight is found without looking at everything. */
class Grid {
  readonly #cells = new Map<string, number[]>();
  readonly #size = 512;

  #visit(x0: number, y0: number, x1: number, y1: number, each: (key: string) => void): void {
    const cell = (v: number): number => Math.floor(v / this.#size);
    for (let a = cell(x0); a <= cell(x1); ++a) {
      for (let b = cell(y0); b <= cell(y1); ++b) each(`${a},${b}`);
    }
  }
  add(i: number, x0: number, y0: number, x1: number, y1: number): void {
    this.#visit(x0, y0, x1, y1, (key) => {
      const cell = this.#cells.get(key);
      if (cell) cell.push(i);
      else this.#cells.set(key, [i]);
    });
  }
  within(x0: number, y0: number, x1: number, y1: number): number[] {
    const found = new Set<number>();
    this.#visit(x0, y0, x1, y1, (key) => {
      for (const i of this.#cells.get(key) ?? []) found.add(i);
    });
    return [...found].sort((p, q) => p - q);
  }
}

interface Style {
  fill: string;
  stroke: string;
  width: number;
  dash: number[];
  font: string;
}

export class CanvasRenderer implements Renderer {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "drawing", "aria-hidden": "true" });
  readonly #proxy = h("button", { class: "proxy", tabindex: 0, type: "button" });
  /** Elements whose computed styles the canvas borrows. */
  readonly #probes = s("svg", { class: "hidden", "aria-hidden": "true" });
  readonly #styles = new Map<string, Style>();
  #shapes: (Shape[] | undefined)[] = []; // made when they come into sight
  #ends = new Map<number, Shape[]>();
  #drawing: Drawing | undefined;
  #boxes = new Grid();
  #lines = new Grid();
  #at: Transform = { x: 0, y: 0, k: 1 };
  #marks: Marks = { hover: -1, focus: -1, selected: new Set(), current: -1 };
  #frame = 0;
  readonly #resized?: ResizeObserver;

  constructor() {
    this.element = h("div", { class: "canvas-stage" }, this.#canvas, this.#probes, this.#proxy);
    if (typeof ResizeObserver !== "undefined") {
      this.#resized = new ResizeObserver(() => this.#schedule());
      this.#resized.observe(this.element);
    }
  }

  draw(drawing: Drawing): void {
    const { scene } = drawing;
    this.#drawing = drawing;
    this.#boxes = new Grid();
    this.#lines = new Grid();
    this.#styles.clear(); // the theme may have changed
    this.#probes.replaceChildren();
    this.#shapes = new Array(scene.boxes.length);
    this.#ends = new Map();
    for (const { box, stroke, label } of stubs(scene))
      this.#ends.set(box, [...(this.#ends.get(box) ?? []), stroke, label]);
    scene.boxes.forEach((b, i) => {
      this.#boxes.add(i, b.x - 60, b.y - 14, b.x + b.width + 80, b.y + b.height + 24);
    });
    scene.lines.forEach(({ kind, points }, i) => {
      if (kind === "stub") return;
      const xs = points.map((p) => p.x);
      const ys = points.map((p) => p.y);
      this.#lines.add(i, Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    });
    this.#schedule();
  }

  transform(t: Transform): void {
    this.#at = t;
    this.#schedule();
  }

  mark(marks: Marks): void {
    this.#marks = marks;
    this.#placeProxy();
    this.#schedule();
  }

  focus(box: number): void {
    if (box >= 0) this.#proxy.focus({ preventScroll: true });
  }

  boxAt(event: MouseEvent): number {
    const drawing = this.#drawing;
    const at = this.#at;
    if (!drawing) return -1;
    const rect = this.element.getBoundingClientRect();
    const x = (event.clientX - rect.left - at.x) / at.k;
    const y = (event.clientY - rect.top - at.y) / at.k;
    let best = -1;
    for (const i of this.#boxes.within(x, y, x, y)) {
      const b = drawing.scene.boxes[i];
      const bottom = b.y + (b.kind === "frame" ? 28 : b.height); // of a frame, the title counts
      if (x >= b.x && x <= b.x + b.width && y >= b.y && y <= bottom) best = i;
    }
    return best;
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#resized?.disconnect();
    this.element.remove();
  }

  #placeProxy(): void {
    const box = this.#drawing?.scene.boxes[this.#marks.focus];
    const { x, y, k } = this.#at;
    this.#proxy.setAttribute("aria-label", this.#drawing?.labels[this.#marks.focus] ?? "graph");
    if (box && box.kind !== "node")
      this.#proxy.setAttribute("aria-expanded", String(box.kind === "frame"));
    else this.#proxy.removeAttribute("aria-expanded");
    const [left, top, width, height] = box
      ? [box.x * k + x, box.y * k + y, box.width * k, box.height * k]
      : [0, 0, 1, 1];
    this.#proxy.style.cssText = `left:${left}px;top:${top}px;width:${width}px;height:${height}px`;
  }

  #schedule(): void {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  /** The style that the sheet gives to a shape's class, for a box of some colour. */
  #style(shape: Shape, colour: string): Style {
    const key = `${shape.kind} ${shape.cls} ${colour}`;
    const known = this.#styles.get(key);
    if (known) return known;
    const probe = shapeElement({ ...shape, words: "", opacity: undefined });
    probe.style.setProperty("--c", colour);
    this.#probes.append(probe);
    const { fill, stroke, strokeWidth, strokeDasharray, font } = getComputedStyle(probe);
    const dash =
      strokeDasharray === "none" ? [] : strokeDasharray.split(/[ ,]+/).map(Number.parseFloat);
    const style = { fill, stroke, width: Number.parseFloat(strokeWidth), dash, font };
    this.#styles.set(key, style);
    return style;
  }

  #paint(): void {
    this.#frame = 0;
    const canvas = this.#canvas;
    const drawing = this.#drawing;
    const marks = this.#marks;
    const context = canvas.getContext("2d");
    if (!drawing || !context) return;
    const { clientWidth: width, clientHeight: height } = this.element;
    const ratio = globalThis.devicePixelRatio || 1;
    const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide) canvas.width = wide;
    if (canvas.height !== tall) canvas.height = tall;
    const { x, y, k } = this.#at;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, wide, tall);
    context.setTransform(ratio * k, 0, 0, ratio * k, ratio * x, ratio * y);
    const sight = [-x / k, -y / k, (width - x) / k, (height - y) / k] as const;
    const boxes = this.#boxes.within(...sight);
    const lines = this.#lines.within(...sight);
    const { scene } = drawing;
    const frames = boxes.filter((i) => scene.boxes[i].kind === "frame");
    for (const i of frames) this.#shape(context, floor(scene.boxes[i]), "");
    const drawn = lines.map((i) => scene.lines[i]);
    this.#curves(
      context,
      "line",
      drawn.filter((line) => line.kind === "line"),
    );
    for (const i of frames) this.#box(context, i);
    for (const i of boxes) {
      if (scene.boxes[i].kind !== "frame") this.#box(context, i);
    }
    this.#curves(
      context,
      "gradient",
      drawn.filter((line) => line.kind === "gradient"),
    );
    this.#curves(
      context,
      "lit",
      askedLines(scene, marks).map((line) =>
        line.kind === "stub"
          ? { ...line, arrow: true, points: longWay(scene, line.source, line.target) }
          : line,
      ),
    );
    this.#placeProxy();
  }

  #curves(
    context: CanvasRenderingContext2D,
    cls: string,
    lines: { points: Point[]; arrow: boolean }[],
  ): void {
    if (!lines.length) return;
    const right = this.#drawing!.scene.direction === "right";
    const style = this.#style({ kind: "stroke", cls, x: 0, y: 0, w: 1, h: 1 }, "");
    context.beginPath();
    for (const { points } of lines) trace(points, right, context);
    context.setLineDash(style.dash);
    context.lineWidth = style.width;
    context.strokeStyle = context.fillStyle = style.stroke;
    context.stroke();
    context.setLineDash([]);
    if (this.#at.k < LEGIBLE) return;
    context.beginPath();
    for (const { points, arrow } of lines) {
      if (!arrow) continue;
      const { x, y } = points[points.length - 1];
      const from = points[points.length - 2];
      const [dx, dy] = right ? [Math.sign(x - from.x) || 1, 0] : [0, Math.sign(y - from.y) || 1];
      context.moveTo(x, y);
      context.lineTo(x - 7 * dx - 3.2 * dy, y - 7 * dy - 3.2 * dx);
      context.lineTo(x - 7 * dx + 3.2 * dy, y - 7 * dy + 3.2 * dx);
    }
    context.fill();
  }

  #box(context: CanvasRenderingContext2D, i: number): void {
    const marks = this.#marks;
    const drawing = this.#drawing!;
    const { colour } = drawing.painter.of(i);
    this.#shapes[i] ??= [...boxShapes(drawing, i), ...(this.#ends.get(i) ?? [])];
    const base =
      marks.found && !marks.found.has(i) && drawing.scene.boxes[i].kind !== "frame" ? 0.32 : 1;
    const strong =
      i === marks.hover || i === marks.focus || i === marks.current || marks.selected.has(i);
    for (const shape of this.#shapes[i]) {
      context.globalAlpha = base * (shape.opacity ?? 1);
      this.#shape(context, shape, colour);
      const outline = /^(card|panel)(?! behind)/.test(shape.cls);
      if (outline && (strong || marks.found?.has(i))) {
        context.lineWidth = strong ? 2.4 : 2;
        context.strokeStyle = strong ? this.#style({ ...shape, cls: "lit" }, "").stroke : colour;
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }

  #shape(context: CanvasRenderingContext2D, shape: Shape, colour: string): void {
    if (shape.kind === "text" && this.#at.k < LEGIBLE) return;
    const { fill, stroke, width, font } = this.#style(shape, colour);
    const { x, y, w = 0, h: tall = 0, r = 0 } = shape;
    context.fillStyle = fill;
    if (shape.kind === "text") {
      context.font = font;
      context.textAlign = shape.anchor === "middle" ? "center" : (shape.anchor ?? "left");
      context.fillText(shape.words!, x, y);
      return;
    }
    context.beginPath();
    if (shape.kind === "rect") context.roundRect(x, y, w, tall, r);
    else if (shape.kind === "circle") context.arc(x, y, r, 0, 7);
    else {
      context.moveTo(x, y);
      context.lineTo(x + w, y + tall);
    }
    if (shape.kind !== "stroke" && fill !== "none") context.fill();
    if (stroke === "none") return;
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
  }
}
