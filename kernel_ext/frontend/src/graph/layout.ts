// Folding and frames: which boxes of a graph are visible, where they stand, how the lines run. The
// same algorithm as csrc/core/layout.cpp (which explains it), so that scopes open and close without
// a kernel. Only rectangles and links are known here.

import { arrange, type Level, newItem, newLevel, type Point, type Spacing } from "./layered.js";

export const DECIDE = -1;

/** A graph in plain arrays; inputs come before their readers, scopes before their children. */
export interface Description {
  nodes: number;
  /** Width and height of a node; asked for visible ones only. */
  size(node: number): [width: number, height: number];
  scope: ArrayLike<number>;
  beside: ArrayLike<number>;
  signature: ArrayLike<number>;
  from: ArrayLike<number>;
  to: ArrayLike<number>;
  parent: ArrayLike<number>;
  state: ArrayLike<number>;
  /** Width and height of a scope while it is closed. */
  scopeSize(scope: number): [width: number, height: number];
}

export interface LayoutOptions {
  spacing: Spacing;
  maxBoxes: number;
  foldRepeats: boolean;
  mark: [width: number, height: number, gap: number];
  frame: [before: number, after: number, left: number, right: number];
}

export const NODE = 0;
export const SCOPE = 1;
export const FRAME = 2;

export interface PlacedBox {
  kind: number;
  index: number;
  frame: number;
  repeat: number;
  nodes: number;
  gradients: number;
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
  boxOfNode: Int32Array;
  width: number;
  height: number;
}

interface Scope {
  children: number[]; // scopes; nodes are ~node
  inside: number[]; // all forward nodes below, ascending
  repeat: number;
  run: number;
  member: number;
  open: boolean;
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

/** Entries ordered by depth, growth, scope. */
type Entry = [depth: number, growth: number, scope: number];
const before = (a: Entry, b: Entry): boolean =>
  a[0] !== b[0] ? a[0] < b[0] : a[1] !== b[1] ? a[1] < b[1] : a[2] < b[2];

class Heap {
  readonly #entries: Entry[] = [];
  push(entry: Entry): void {
    const list = this.#entries;
    let i = list.push(entry) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!before(entry, list[up])) break;
      list[i] = list[up];
      i = up;
    }
    list[i] = entry;
  }
  pop(): Entry | undefined {
    const list = this.#entries;
    const top = list[0];
    const last = list.pop();
    if (last === undefined || list.length === 0) return top;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= list.length) break;
      if (down + 1 < list.length && before(list[down + 1], list[down])) ++down;
      if (!before(list[down], last)) break;
      list[i] = list[down];
      i = down;
    }
    list[i] = last;
    return top;
  }
}

class Folder {
  readonly #scopes: Scope[];
  readonly #root: Scope;
  readonly #alias: Int32Array;
  readonly #boxOf: Int32Array;
  readonly #boxes: PlacedBox[] = [];
  readonly #segments: Segment[] = [];
  readonly #boxOfNode: Int32Array;
  #levelOfFrame: number[] = [];
  #itemOf: number[] = [];
  #depth: number[] = [];
  readonly #levels: Level[] = [newLevel()]; // 0 is the root's
  readonly #ports = new Map<number, number>();
  readonly #links = new Set<string>();
  readonly #shared: Shared[] = [];
  readonly #ends: [number, number][] = [];
  readonly #hidden: boolean[] = [];
  readonly #marks: [from: number, to: number, edge: number][] = [];
  readonly #updates: [from: number, to: number, edge: number][] = [];
  #hasRuns = false;

  readonly #graph: Description;
  readonly #options: LayoutOptions;

  constructor(graph: Description, options: LayoutOptions) {
    this.#graph = graph;
    this.#options = options;
    const newScope = (): Scope => ({
      children: [],
      inside: [],
      repeat: 1,
      run: -1,
      member: 0,
      open: false,
    });
    this.#scopes = Array.from({ length: graph.parent.length + 1 }, newScope);
    this.#root = this.#scopes[graph.parent.length];
    const { nodes } = graph;
    this.#alias = new Int32Array(nodes);
    this.#boxOf = new Int32Array(nodes).fill(-1);
    this.#boxOfNode = new Int32Array(nodes);
  }

  run(): Picture {
    this.#collect();
    if (this.#options.foldRepeats) for (const scope of this.#scopes) this.#foldChildren(scope);
    this.#decide();
    this.#makeBoxes();
    this.#makeLevels();
    this.#place();
    const boxes = this.#boxes;
    const segments = this.#segments;
    const boxOfNode = this.#boxOfNode;
    const { width, height } = this.#levels[0];
    return { boxes, segments, boxOfNode, width, height };
  }

  #folded(node: number): boolean {
    return this.#graph.beside[node] >= 0;
  }

  #collect(): void {
    const graph = this.#graph;
    const scopes = this.#scopes;
    const listed = new Uint8Array(scopes.length);
    for (let node = 0; node < this.#alias.length; ++node) {
      this.#alias[node] = node;
      if (this.#folded(node)) continue;
      let entry = ~node;
      for (let s = graph.scope[node]; ; s = graph.parent[s]) {
        const scope = s < 0 ? this.#root : scopes[s];
        if (entry < 0 || !listed[entry]) {
          if (entry >= 0) listed[entry] = 1;
          scope.children.push(entry);
        }
        scope.inside.push(node);
        if (s < 0) break;
        entry = s;
      }
    }
  }

  #alike(a: Scope, b: Scope): boolean {
    const { signature } = this.#graph;
    if (a.inside.length !== b.inside.length) return false;
    for (let i = 0; i < a.inside.length; ++i) {
      if (signature[a.inside[i]] !== signature[b.inside[i]]) return false;
    }
    return true;
  }

  /** Finds runs of three or more equal scopes that follow each other; the first stands for all. */
  #foldChildren(scope: Scope): void {
    const list = scope.children;
    const kept: number[] = [];
    for (let i = 0; i < list.length; ) {
      let j = i + 1;
      if (list[i] >= 0) {
        const first = this.#scopes[list[i]];
        while (j < list.length && list[j] >= 0 && this.#alike(this.#scopes[list[j]], first)) ++j;
      }
      if (j - i >= 3) {
        this.#scopes[list[i]].repeat = j - i;
        this.#hasRuns = true;
        for (let m = i; m < j; ++m) {
          const other = this.#scopes[list[m]];
          other.run = list[i];
          other.member = m - i;
        }
        kept.push(list[i]);
      } else {
        for (let m = i; m < j; ++m) kept.push(list[m]);
      }
      i = j;
    }
    scope.children = kept;
  }

  /** Opens scopes, outer and small ones first, while the picture stays readable. */
  #decide(): void {
    const graph = this.#graph;
    const scopes = this.#scopes;
    for (let s = 0; s < graph.parent.length; ++s) scopes[s].open = graph.state[s] === 1;
    this.#root.open = true;
    const waiting = new Heap();
    let boxes = 0;
    const show = (scope: Scope, depth: number): void => {
      for (const child of scope.children) {
        ++boxes;
        if (child < 0) continue;
        const inner = scopes[child];
        if (inner.open) show(inner, depth + 1);
        else if (graph.state[child] === DECIDE) waiting.push([depth, inner.children.length, child]);
      }
    };
    show(this.#root, 0);
    for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
      const [depth, growth, s] = entry;
      if (boxes + growth > this.#options.maxBoxes) continue;
      scopes[s].open = true;
      show(scopes[s], depth + 1);
    }
    // Nodes of a repeated block stand for those of its first member.
    for (let s = 0; s < graph.parent.length; ++s) {
      const scope = scopes[s];
      if (scope.run < 0 || scope.run === s) continue;
      const first = scopes[scope.run].inside;
      for (let i = 0; i < first.length; ++i) this.#alias[scope.inside[i]] = first[i];
    }
  }

  #seenAs(start: number): number {
    let node = start;
    while (this.#folded(node)) node = this.#graph.beside[node];
    while (this.#alias[node] !== node) node = this.#alias[node];
    return node;
  }

  #makeBoxes(): void {
    this.#boxesBelow(this.#root, -1, 1);
    for (let i = 0; i < this.#boxOfNode.length; ++i) {
      const box = this.#boxOf[this.#seenAs(i)];
      this.#boxOfNode[i] = box;
      if (this.#folded(i) && box >= 0) ++this.#boxes[box].gradients;
    }
  }

  #boxesBelow(scope: Scope, frame: number, times: number): void {
    const graph = this.#graph;
    const boxes = this.#boxes;
    for (const child of scope.children) {
      const id = boxes.length;
      const box: PlacedBox = {
        kind: NODE,
        index: child,
        frame,
        repeat: 1,
        nodes: 1,
        gradients: 0,
        x: 0,
        y: 0,
        width: 0,
        height: 0,
      };
      boxes.push(box);
      if (child < 0) {
        box.index = ~child;
        [box.width, box.height] = graph.size(box.index);
        this.#boxOf[box.index] = id;
        continue;
      }
      const inner = this.#scopes[child];
      box.repeat = inner.repeat;
      box.nodes = inner.inside.length * inner.repeat * times;
      box.kind = inner.open ? FRAME : SCOPE;
      [box.width, box.height] = graph.scopeSize(child);
      if (inner.open) this.#boxesBelow(inner, id, times * inner.repeat);
      else for (const node of inner.inside) this.#boxOf[node] = id;
    }
  }

  /** True where the edge joins different members of one repeated block: "xN" says that already. */
  #withinRun(u: number, v: number): boolean {
    const graph = this.#graph;
    const scopes = this.#scopes;
    for (let a = graph.scope[u]; a >= 0; a = graph.parent[a]) {
      if (scopes[a].run < 0) continue;
      for (let b = graph.scope[v]; b >= 0; b = graph.parent[b]) {
        if (scopes[b].run === scopes[a].run && scopes[b].member !== scopes[a].member) return true;
      }
    }
    return false;
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
    for (let e = 0; e < this.#graph.from.length; ++e) this.#addEdge(e);
  }

  #addEdge(e: number): void {
    const boxes = this.#boxes;
    const graph = this.#graph;
    const itemOf = this.#itemOf;
    const u = graph.from[e];
    const v = graph.to[e];
    const uFolded = this.#folded(u);
    const source = this.#boxOfNode[u];
    const target = this.#boxOfNode[v];
    if (source < 0 || target < 0 || source === target) return;
    if (this.#folded(v)) {
      // Marks read what their neighbours' marks made.
      if (uFolded) this.#marks.push([source, target, e]);
      return;
    }
    if (uFolded && boxes[source].frame === boxes[target].frame)
      this.#updates.push([source, target, e]);
    if (this.#hasRuns && this.#withinRun(u, v)) return;
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
    for (const [from, to, edge] of this.#marks) {
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
    for (const [from, to, edge] of this.#updates) {
      const a = this.#boxes[from];
      const b = this.#boxes[to];
      this.#gradient(from, to, edge, [
        { x: a.x + a.width + aside, y: a.y + (a.height + height) / 2 },
        { x: b.x + b.width / 2, y: b.y },
      ]);
    }
  }
}

export function layout(graph: Description, options: LayoutOptions): Picture {
  return new Folder(graph, options).run();
}
