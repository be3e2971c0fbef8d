// Frames: where the boxes of a folded graph stand, how the lines run. The same algorithm as
// csrc/core/layout.cpp (which explains it), so that scopes open and close without a kernel. Only
// rectangles and links are known here.

import { type Folded, type FoldedBox, FRAME, type Graph, NODE } from "./folding.js";
import { arrange, type Level, newItem, newLevel, type Point, type Spacing } from "./layered.js";

/** Sizes of what the boxes of a folded graph show. */
export interface Sizes {
  /** Width and height of a node; asked for visible ones only. */
  node(node: number): [width: number, height: number];
  /** Width and height of a scope while it is closed. */
  scope(scope: number): [width: number, height: number];
}

export interface LayoutOptions {
  spacing: Spacing;
  mark: [width: number, height: number, gap: number];
  frame: [before: number, after: number, left: number, right: number];
}

export interface PlacedBox extends FoldedBox {
  x: number;
  y: number;
  width: number;
  height: number;
}

export const LINE = 0;
export const STUB = 1;
export const GRADIENT = 2;

export interface Segment {
  kind: number;
  arrow: boolean;
  start: boolean;
  from: number;
  to: number;
  edge: number;
  points: Point[];
}

export interface Picture {
  boxes: PlacedBox[];
  segments: Segment[];
  width: number;
  height: number;
}

interface Shared {
  level: number;
  link: number;
  from: number;
  to: number;
  edge: number;
  start: boolean;
  arrow: boolean;
}

class Placing {
  readonly #boxes: PlacedBox[];
  readonly #segments: Segment[] = [];
  #levelOfFrame: number[] = [];
  #itemOf: number[] = [];
  #depth: number[] = [];
  readonly #levels: Level[] = [newLevel()]; // 0 is the root's
  readonly #ports = new Map<number, number>();
  readonly #links = new Set<string>();
  readonly #shared: Shared[] = [];
  readonly #ends: [number, number][] = [];
  readonly #hidden: boolean[] = [];

  readonly #graph: Graph;
  readonly #folded: Folded;
  readonly #options: LayoutOptions;

  constructor(graph: Graph, folded: Folded, sizes: Sizes, options: LayoutOptions) {
    this.#graph = graph;
    this.#folded = folded;
    this.#options = options;
    this.#boxes = folded.boxes.map((box) => {
      const [width, height] = box.kind === NODE ? sizes.node(box.index) : sizes.scope(box.index);
      return { ...box, x: 0, y: 0, width, height };
    });
  }

  run(): Picture {
    this.#makeLevels();
    this.#place();
    const { width, height } = this.#levels[0];
    return { boxes: this.#boxes, segments: this.#segments, width, height };
  }

  #levelOf(frame: number): number {
    return frame < 0 ? 0 : this.#levelOfFrame[frame];
  }

  #port(frame: number, source: number, pin: number): number {
    const key = (frame * this.#boxes.length + source) * 2 + (pin > 0 ? 1 : 0);
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const { items } = this.#levels[this.#levelOf(frame)];
    this.#ports.set(key, items.length);
    return items.push(newItem(0, 0, 0, pin)) - 1;
  }

  /** Adds a line once; `aPort` and `bPort` are the ports of frames at its ends, or -1. */
  #link(
    frame: number,
    a: number,
    b: number,
    aPort: number,
    bPort: number,
    use: Shared,
    hidden: boolean,
  ): void {
    const level = this.#levelOf(frame);
    const key = `${level},${a},${b},${aPort},${bPort},${hidden}`;
    if (this.#links.has(key)) return;
    this.#links.add(key);
    const { links } = this.#levels[level];
    this.#shared.push({ ...use, level, link: links.length });
    links.push({
      from: a,
      to: b,
      fromAt: 0,
      toAt: 0,
      stub: hidden,
      upwards: false,
      first: 0,
      count: 0,
    });
    this.#ends.push([aPort, bPort]);
    this.#hidden.push(hidden);
  }

  #makeLevels(): void {
    const boxes = this.#boxes;
    const options = this.#options;
    this.#levelOfFrame = new Array(boxes.length).fill(0);
    for (let i = 0; i < boxes.length; ++i) {
      if (boxes[i].kind === FRAME) this.#levelOfFrame[i] = this.#levels.push(newLevel()) - 1;
    }
    for (const box of boxes) {
      const { items } = this.#levels[this.#levelOf(box.frame)];
      this.#depth.push(box.frame < 0 ? 0 : this.#depth[box.frame] + 1);
      this.#itemOf.push(items.length);
      const half = box.width / 2;
      const mark = box.gradients > 0 ? options.mark[2] + options.mark[0] : 0;
      const item = newItem(half, half + mark, box.height);
      item.spread = box.kind !== FRAME;
      items.push(item);
    }
    for (const edge of this.#folded.lines) this.#addLine(edge);
  }

  /** The boxes at the ends of an edge. */
  #boxesOf(edge: number): [source: number, target: number] {
    const { from, to } = this.#graph;
    const { boxOfNode } = this.#folded;
    return [boxOfNode[from[edge]], boxOfNode[to[edge]]];
  }

  #addLine(e: number): void {
    const boxes = this.#boxes;
    const itemOf = this.#itemOf;
    const [source, target] = this.#boxesOf(e);
    const uFolded = this.#graph.beside[this.#graph.from[e]] >= 0;
    const use: Shared = {
      level: 0,
      link: 0,
      from: source,
      to: target,
      edge: e,
      start: true,
      arrow: false,
    };
    let a = source;
    let b = target;
    let aPort = -1;
    let bPort = -1;
    let da = this.#depth[a];
    let db = this.#depth[b];
    const down: [frame: number, box: number, port: number][] = [];
    // What is made of a gradient leaves frames without ports: it only puts the outer boxes in order.
    while (boxes[a].frame !== boxes[b].frame) {
      if (da >= db) {
        // Leave the frame of a.
        const { frame } = boxes[a];
        if (!uFolded) {
          const out = this.#port(frame, source, 1);
          this.#link(frame, itemOf[a], out, aPort, -1, use, false);
          aPort = out;
        }
        use.start = false;
        a = frame;
        --da;
      } else {
        // Enter the frame of b, drawn once the outer part is.
        if (!uFolded) {
          down.push([boxes[b].frame, b, bPort]);
          bPort = this.#port(boxes[b].frame, source, -1);
        }
        b = boxes[b].frame;
        --db;
      }
    }
    if (a === b) return;
    use.arrow = down.length === 0;
    this.#link(boxes[a].frame, itemOf[a], itemOf[b], aPort, bPort, use, uFolded);
    use.start = false;
    for (let i = down.length - 1; i >= 0; --i) {
      use.arrow = i === 0;
      const [frame, box, port] = down[i];
      const into = this.#port(frame, source, -1);
      this.#link(frame, into, itemOf[box], -1, port, use, false);
    }
  }

  #insideLeft(frame: PlacedBox, inner: Level): number {
    const [, , left, right] = this.#options.frame;
    return left + (frame.width - inner.width - (left + right)) / 2;
  }

  #place(): void {
    const boxes = this.#boxes;
    const levels = this.#levels;
    const options = this.#options;
    const itemOf = this.#itemOf;
    const [frameBefore, frameAfter, frameLeft, frameRight] = options.frame;
    const sharedIn: number[][] = levels.map(() => []);
    for (let i = 0; i < this.#shared.length; ++i) sharedIn[this.#shared[i].level].push(i);
    const boxesIn: number[][] = levels.map(() => []);
    for (let i = 0; i < boxes.length; ++i) boxesIn[this.#levelOf(boxes[i].frame)].push(i);
    // Inner levels have higher numbers: their sizes are known when the outer level needs them.
    for (let k = levels.length - 1; k >= 0; --k) {
      const level = levels[k];
      const boxOfItem = new Int32Array(level.items.length).fill(-1);
      for (const i of boxesIn[k]) {
        boxOfItem[itemOf[i]] = i;
        const box = boxes[i];
        if (box.kind !== FRAME) continue;
        const inner = levels[this.#levelOfFrame[i]];
        box.width = Math.max(inner.width + (frameLeft + frameRight), box.width);
        box.height = inner.height + frameBefore + frameAfter;
        const item = level.items[itemOf[i]];
        item.left = box.width / 2;
        item.right = item.left;
        if (box.gradients > 0) item.right += options.mark[2] + options.mark[0];
        item.height = box.height;
      }
      for (const i of sharedIn[k]) {
        const l = level.links[this.#shared[i].link];
        const portAt = (item: number, portItem: number): number => {
          const box = boxOfItem[item];
          const inner = levels[this.#levelOfFrame[box]];
          const left = this.#insideLeft(boxes[box], inner);
          return left + inner.items[portItem].x - boxes[box].width / 2;
        };
        if (this.#ends[i][0] >= 0) l.fromAt = portAt(l.from, this.#ends[i][0]);
        if (this.#ends[i][1] >= 0) l.toAt = portAt(l.to, this.#ends[i][1]);
      }
      arrange(level, options.spacing);
    }
    // Outer frames come before what is in them: absolute places from the outside in.
    const origin: Point[] = levels.map(() => ({ x: 0, y: 0 }));
    for (let i = 0; i < boxes.length; ++i) {
      const box = boxes[i];
      const k = this.#levelOf(box.frame);
      const item = levels[k].items[itemOf[i]];
      box.x = origin[k].x + item.x - box.width / 2;
      box.y = origin[k].y + item.y;
      if (box.kind !== FRAME) continue;
      const inner = this.#levelOfFrame[i];
      origin[inner] = {
        x: box.x + this.#insideLeft(box, levels[inner]),
        y: box.y + frameBefore,
      };
    }
    for (let i = 0; i < this.#shared.length; ++i) {
      if (this.#hidden[i]) continue;
      const use = this.#shared[i];
      const level = levels[use.level];
      const l = level.links[use.link];
      const at = origin[use.level];
      const points = level.points
        .slice(l.first, l.first + l.count)
        .map((p) => ({ x: p.x + at.x, y: p.y + at.y }));
      // The border of a frame lies outside its padding.
      if (!use.start && this.#ends[i][0] < 0) points[0].y -= frameBefore;
      if (!use.arrow && this.#ends[i][1] < 0) points[points.length - 1].y += frameAfter;
      this.#segments.push({
        kind: l.stub ? STUB : LINE,
        arrow: use.arrow,
        start: use.start,
        from: use.from,
        to: use.to,
        edge: use.edge,
        points,
      });
    }
    this.#placeMarks();
    this.#placeUpdates();
  }

  #gradient(from: number, to: number, edge: number, points: Point[]): void {
    this.#segments.push({ kind: GRADIENT, arrow: true, start: true, from, to, edge, points });
  }

  /** Gradients run from mark to mark against the lines of the forward nodes; only beside short ones. */
  #placeMarks(): void {
    const boxes = this.#boxes;
    const [width, height, gap] = this.#options.mark;
    const aside = gap + width / 2;
    const lines = new Map<number, boolean>();
    for (const s of this.#segments) {
      if (s.kind === LINE && s.arrow && s.start && s.points.length === 2)
        lines.set(s.from * boxes.length + s.to, true);
    }
    for (const edge of this.#folded.marks) {
      const [from, to] = this.#boxesOf(edge);
      const key = to * boxes.length + from;
      if (!lines.get(key)) continue;
      lines.set(key, false);
      const a = boxes[from];
      const b = boxes[to];
      this.#gradient(from, to, edge, [
        { x: a.x + a.width + aside, y: a.y + (a.height - height) / 2 },
        { x: b.x + b.width + aside, y: b.y + (b.height + height) / 2 },
      ]);
    }
  }

  /** What is made of a gradient, such as the new value of a variable, hangs on its mark. */
  #placeUpdates(): void {
    const [width, height, gap] = this.#options.mark;
    const aside = gap + width / 2;
    for (const edge of this.#folded.updates) {
      const [from, to] = this.#boxesOf(edge);
      const a = this.#boxes[from];
      const b = this.#boxes[to];
      this.#gradient(from, to, edge, [
        { x: a.x + a.width + aside, y: a.y + (a.height + height) / 2 },
        { x: b.x + b.width / 2, y: b.y },
      ]);
    }
  }
}

/** Places the boxes of a folded graph, and draws the lines between them. */
export function layout(
  graph: Graph,
  folded: Folded,
  sizes: Sizes,
  options: LayoutOptions,
): Picture {
  return new Placing(graph, folded, sizes, options).run();
}
