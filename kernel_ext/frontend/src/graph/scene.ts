// Turns the record of a graph into a picture's parts: labelled boxes and lines with coordinates. The
// same steps as src/flowbook/_scene.py, which makes the static picture, so that both agree.

import type { Message } from "../channel.js";
import { general, humanCount, shorten, textWidth, thousands } from "../words.js";
import { DECIDE, type Folded, Folding, type Graph, NODE, SCOPE } from "./folding.js";
import {
  absorbed,
  besideOf,
  dropThin,
  groupCrowds,
  implied,
  Scopes,
  signatures,
} from "./grouping.js";
import type { Point } from "./layered.js";
import { GRADIENT, type LayoutOptions, layout, STUB } from "./layout.js";
import { type GraphNode, type GraphRecord, SOURCES } from "./record.js";

export type BoxKind = "node" | "scope" | "frame";

export interface Box {
  kind: BoxKind;
  /** Id of the node, or index of the scope in Scene.scopes. */
  ref: number;
  frame: number;
  x: number;
  y: number;
  width: number;
  height: number;
  title: string;
  sub: string;
  /** The notebook variable it is bound to. */
  tag: string;
  /** Colour: a family of ops or a kind of source. */
  look: string;
  repeat: number;
  nodes: number;
  gradients: number;
  output: boolean;
  failed: boolean;
  /** Parameters written on the box: name, spec. */
  rows: [string, string][];
}

export interface Line {
  kind: "line" | "stub" | "gradient";
  source: number;
  target: number;
  start: boolean;
  arrow: boolean;
  points: Point[];
}

export interface Scene {
  direction: "right" | "down";
  width: number;
  height: number;
  boxes: Box[];
  lines: Line[];
  /** Paths of the scopes that have boxes, by the boxes' `ref`. */
  scopes: Readonly<Record<number, string>>;
  /** By position in the record. */
  boxOfNode: ArrayLike<number>;
  mark: [width: number, height: number, gap: number];
}

/** The scene that comes with a record: the kernel's own, which draws the static picture. */
export function readScene(message: Message, buffers: DataView[]): Scene | undefined {
  const scene = message.scene as Scene | undefined;
  if (!scene) return undefined;
  const { buffer, byteOffset, byteLength } = buffers[1];
  // A copy, because its start need not be aligned.
  const boxOfNode = new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  return { ...scene, boxOfNode };
}

export interface SceneOptions {
  /** Scope path to open (true) or closed (false), where the reader decided. */
  expanded?: ReadonlyMap<string, boolean>;
  direction?: "right" | "down" | "auto";
  maxBoxes?: number;
  foldGradients?: boolean;
  foldRepeats?: boolean;
}

const TALL = 1800; // a picture taller than this is drawn again with fewer boxes
const FEW = 28;
const PAGE = 1080; // width of a notebook's output area in pixels

/** The family that decides a node's colour. */
export function family(node: GraphNode): string {
  if (SOURCES.has(node.kind)) return node.kind;
  if (node.kind === "optimizer") return "optim";
  const named = node.family || "elementwise";
  return named === "index" || named === "create" ? "shape" : named;
}

/** The number of a constant, as it is written on boxes. */
export function constantValue(node: GraphNode): string {
  const value = node.attrs?.value;
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" ? general(value, 6) : String(value);
}

/** The first word on a node's box: a source's name, an op's op. */
export function nodeTitle(node: GraphNode): string {
  return SOURCES.has(node.kind) ? node.name || constantValue(node) || node.op : node.op;
}

/** Number of elements, 0 where a size is open. */
function elements(node: GraphNode): number {
  let count = 1;
  for (const size of node.shape ?? []) {
    if (typeof size !== "number") return 0;
    count *= size;
  }
  return count;
}

function scopeTitle(path: string, parent: string, repeat: number): string {
  const title = parent && path.startsWith(`${parent}/`) ? path.slice(parent.length + 1) : path;
  if (repeat <= 1) return title;
  return title.replace(/\[(\d+)\]$/, (_, k) => `[${Number(k)}…${Number(k) + repeat - 1}]`);
}

/** The last part of a parameter's path: `weight` of `model.layers[0].weight`. */
const leaf = (node: GraphNode): string => {
  const path = node.name || node.op;
  return path.slice(path.lastIndexOf(".") + 1);
};

type Face = Omit<Box, "kind" | "ref" | "frame" | "x" | "y" | "repeat" | "nodes" | "gradients">;

/**
 * What stays the same while scopes open and close: the grouping, the words on the boxes. `scene()`
 * arranges it.
 */
export class Arrangement {
  readonly #every: GraphNode[];
  readonly #nodes: GraphNode[];
  readonly #scopes: Scopes;
  readonly #graph: Graph;
  readonly #folding: Folding;
  readonly #places: number[];
  readonly #extras = new Map<number, GraphNode[]>();
  readonly #outputs: Set<number>;
  readonly #gradientIds = new Set<number>();
  readonly #writes = new Map<number, string[]>();
  readonly #faces: (Face | undefined)[];
  readonly #scopeFaces: Face[];

  constructor(record: GraphRecord, options: SceneOptions = {}) {
    this.#every = record.nodes;
    const home = absorbed(this.#every);
    this.#nodes = this.#every.filter((node) => !home.has(node.id));
    const indexOf = new Map(this.#nodes.map((node, i) => [node.id, i]));
    const beside =
      (options.foldGradients ?? true)
        ? besideOf(this.#nodes, indexOf)
        : new Int32Array(this.#nodes.length).fill(-1);
    const loose = Array.from(beside, (b) => b < 0);

    const named = new Scopes();
    const crowded = this.#nodes.map((node) => (node.scope ? named.addPath(node.scope) : -1));
    const signature = signatures(this.#nodes);
    groupCrowds(this.#nodes, crowded, named, loose, signature);
    const [scope, scopes] = dropThin(crowded, named, loose);
    this.#scopes = scopes;

    this.#outputs = new Set(record.outputs.map((output) => output.node));
    for (const node of this.#every) {
      if (node.kind === "gradient") this.#gradientIds.add(node.id);
      const reader = home.get(node.id);
      if (reader === undefined) continue;
      const list = this.#extras.get(reader);
      if (list) list.push(node);
      else this.#extras.set(reader, [node]);
    }
    for (const change of record.assignments ?? []) {
      const list = this.#writes.get(change.node);
      if (list) list.push(change.variable);
      else this.#writes.set(change.node, [change.variable]);
    }
    this.#faces = new Array(this.#nodes.length);
    this.#scopeFaces = this.#makeScopeFaces(scope, loose);
    const from: number[] = [];
    const to: number[] = [];
    this.#nodes.forEach((node, i) => {
      for (const j of node.inputs) {
        const source = indexOf.get(j);
        if (source === undefined || implied(this.#nodes[source], node)) continue;
        from.push(source);
        to.push(i);
      }
    });
    const { parent } = scopes;
    this.#graph = { nodes: this.#nodes.length, scope, beside, signature, from, to, parent };
    this.#folding = new Folding(this.#graph, options.foldRepeats ?? true);
    this.#places = this.#every.map((node) => indexOf.get(home.get(node.id) ?? node.id) ?? -1);
  }

  #face(i: number): Face {
    let face = this.#faces[i];
    if (!face) face = this.#faces[i] = this.#makeFace(this.#nodes[i]);
    return face;
  }

  #makeFace(node: GraphNode): Face {
    const look = family(node);
    const source = SOURCES.has(look);
    const extras = this.#extras.get(node.id) ?? [];
    const title = shorten(nodeTitle(node), 26);
    let sub = look === "optim" ? "" : shorten(node.spec ?? "", 28);
    let tag = source ? "" : shorten(node.name ?? "", 18);
    const written = this.#writes.get(node.id);
    if (written)
      tag = `→ ${written.length === 1 ? shorten(written[0], 16) : `${written.length} variables`}`;
    let wide = textWidth(title, 12.5, "bold");
    if (tag) wide += 14 + textWidth(tag, 11, "mono");
    let width: number;
    let height: number;
    if (look === "constant") {
      width = Math.max(26, textWidth(title, 11) + 18);
      height = 24;
    } else {
      width = Math.max(wide, textWidth(sub, 10.5, "mono")) + (source ? 30 : 26);
      height = 40;
    }
    let rows: [string, string][] = [];
    for (const extra of extras) {
      if (extra.kind === "variable")
        rows.push([shorten(leaf(extra), 14), shorten(extra.spec ?? "", 22)]);
    }
    for (const extra of extras) {
      if (extra.kind === "constant") rows.push([shorten(constantValue(extra), 14), ""]);
    }
    if (node.kind === "optimizer") {
      rows = rows.length ? [["state", `${rows.length} variables`]] : [];
      const gradients = node.inputs.reduce((n, j) => n + (this.#gradientIds.has(j) ? 1 : 0), 0);
      if (gradients) rows.push(["gradients", String(gradients)]);
    }
    if (rows.length > 4) rows = [...rows.slice(0, 3), [`and ${rows.length - 3} more`, ""]];
    if (rows.length) {
      height += 6 + 13 * rows.length;
      const widest = rows.map(([a, b]) => textWidth(a, 10) + textWidth(b, 10, "mono"));
      width = Math.max(width, 40 + Math.max(...widest));
    }
    if (look === "constant") sub = "";
    return {
      width: roundHalfEven(Math.max(width, look === "constant" ? 26 : 48)),
      height,
      title,
      sub,
      tag,
      look,
      output: this.#outputs.has(node.id),
      failed: Boolean(node.failed || node.alarm),
      rows,
    };
  }

  /** The boxes of closed scopes: name, number of nodes and of parameters. */
  #makeScopeFaces(scope: number[], loose: boolean[]): Face[] {
    const { path, parent } = this.#scopes;
    const count: number[] = new Array(path.length).fill(0);
    const params: number[] = new Array(path.length).fill(0);
    const failed: boolean[] = new Array(path.length).fill(false);
    this.#nodes.forEach((node, i) => {
      if (scope[i] < 0) return;
      let weights = node.kind === "variable" ? elements(node) : 0;
      for (const extra of this.#extras.get(node.id) ?? []) {
        if (extra.kind === "variable") weights += elements(extra);
      }
      for (let s = scope[i]; s >= 0; s = parent[s]) {
        if (loose[i]) ++count[s];
        if (node.failed || node.alarm) failed[s] = true;
        params[s] += weights;
      }
    });
    return path.map((own, s) => {
      const outer = parent[s] >= 0 ? path[parent[s]] : "";
      const title = shorten(scopeTitle(own, outer, 1), 26);
      let sub = `${thousands(count[s])} nodes`;
      if (params[s]) sub += ` · ${humanCount(params[s])} params`;
      const width = Math.max(textWidth(title, 12.5, "bold") + 50, textWidth(sub, 10.5)) + 30;
      return {
        width: roundHalfEven(Math.max(width, 110)),
        height: 44,
        title,
        sub,
        tag: "",
        look: "scope",
        output: false,
        failed: failed[s],
        rows: [],
      };
    });
  }

  /** Paths of all scopes. */
  get scopes(): readonly string[] {
    return this.#scopes.path;
  }

  /** Arranges the picture. */
  scene(options: SceneOptions = {}): Scene {
    const { direction = "auto", maxBoxes = 60, expanded } = options;
    const states = this.#scopes.path.map((path) => {
      const wish = expanded?.get(path);
      return wish === undefined ? DECIDE : Number(wish);
    });
    const folded = this.#folding.fold(states, maxBoxes);
    if (direction !== "auto") return this.#arranged(direction === "right", folded);
    const right = this.#arranged(true, folded);
    if (right.width <= PAGE && right.height <= 640) return right;
    const down = this.#arranged(false, folded);
    if (down.height > TALL && maxBoxes > FEW) return this.scene({ ...options, maxBoxes: FEW });
    return down.width > PAGE && right.width < down.width ? right : down;
  }

  #arranged(right: boolean, folded: Folded): Scene {
    const mark: [number, number, number] = [34, 18, 5];
    // What runs to the right is a mirrored picture that runs down.
    const size = (face: Face): [number, number] =>
      right ? [face.height, face.width] : [face.width, face.height];
    const sizes = {
      node: (i: number) => size(this.#face(i)),
      scope: (s: number) => size(this.#scopeFaces[s]),
    };
    const geometry: LayoutOptions = {
      spacing: {
        across: right ? 16 : 24,
        line: 14,
        along: right ? 34 : 26,
        spread: 12,
        longLink: 12,
        sweeps: 8,
      },
      mark: right ? [mark[1], mark[0], mark[2]] : mark,
      frame: right ? [16, 16, 30, 14] : [30, 14, 16, 16],
    };
    const raw = layout(this.#graph, folded, sizes, geometry);
    const boxes = raw.boxes.map((placed): Box => {
      const node = placed.kind === NODE;
      const face = node ? this.#face(placed.index) : this.#scopeFaces[placed.index];
      const { path, parent } = this.#scopes;
      const outer = node || parent[placed.index] < 0 ? "" : path[parent[placed.index]];
      return {
        ...face,
        kind: node ? "node" : placed.kind === SCOPE ? "scope" : "frame",
        ref: node ? this.#nodes[placed.index].id : placed.index,
        frame: placed.frame,
        x: right ? placed.y : placed.x,
        y: right ? placed.x : placed.y,
        width: right ? placed.height : placed.width,
        height: right ? placed.width : placed.height,
        repeat: placed.repeat,
        nodes: placed.nodes,
        gradients: placed.gradients,
        title: node
          ? face.title
          : shorten(scopeTitle(path[placed.index], outer, placed.repeat), 40),
      };
    });
    const lines = raw.segments.map(
      (s): Line => ({
        kind: s.kind === STUB ? "stub" : s.kind === GRADIENT ? "gradient" : "line",
        source: s.from,
        target: s.to,
        start: s.start,
        arrow: s.arrow,
        points: right ? s.points.map((p) => ({ x: p.y, y: p.x })) : s.points,
      }),
    );
    return {
      direction: right ? "right" : "down",
      width: right ? raw.height : raw.width,
      height: right ? raw.width : raw.height,
      boxes,
      lines,
      scopes: this.#scopes.path,
      boxOfNode: this.#places.map((i) => (i >= 0 ? folded.boxOfNode[i] : -1)),
      mark,
    };
  }
}

/** Python's round(): halves go to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Arranges a graph record as a picture. */
export function build(record: GraphRecord, options: SceneOptions = {}): Scene {
  return new Arrangement(record, options).scene(options);
}
