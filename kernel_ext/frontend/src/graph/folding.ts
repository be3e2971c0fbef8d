// Which boxes of a graph are visible: scopes fold into boxes, runs of equal scopes into one "×N", the
// nodes of gradients into marks. The first half of csrc/core/layout.cpp; where the boxes stand is
// decided in layout.ts.

/** A graph in plain arrays; inputs come before their readers, scopes before their children. */
export interface Graph {
  nodes: number;
  /** Of each node: its innermost scope, or -1. */
  scope: ArrayLike<number>;
  /** Of each node: the forward node that this gradient node belongs to, or -1. */
  beside: ArrayLike<number>;
  /** Of each node: equal numbers may stand for each other in repeated blocks. */
  signature: ArrayLike<number>;
  from: ArrayLike<number>;
  to: ArrayLike<number>;
  /** Of each scope. */
  parent: ArrayLike<number>;
}

/** The state of a scope that is neither open (1) nor closed (0) by the reader's wish. */
export const DECIDE = -1;

export const NODE = 0;
export const SCOPE = 1;
export const FRAME = 2;

export interface FoldedBox {
  kind: number;
  /** Of the node or scope. */
  index: number;
  frame: number;
  repeat: number;
  nodes: number;
  gradients: number;
}

export interface Folded {
  boxes: FoldedBox[];
  boxOfNode: Int32Array;
  /** Edges between boxes, by what is drawn for them: lines, and gradients between two marks. */
  lines: number[];
  marks: number[];
  /** From a mark to a box beside it: what is made of a gradient. */
  updates: number[];
}

interface Scope {
  children: number[]; // scopes; nodes are ~node
  inside: number[]; // all forward nodes below, ascending
  repeat: number;
  run: number;
  member: number;
  open: boolean;
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

/** What of a graph is the same whatever is open. */
export class Folding {
  readonly #scopes: Scope[];
  readonly #root: Scope;
  /** Of each node: the one whose box it is in; repeated blocks are seen as the first of them. */
  readonly #seenAs: Int32Array;
  #hasRuns = false;

  readonly #graph: Graph;

  constructor(graph: Graph, foldRepeats: boolean) {
    this.#graph = graph;
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
    this.#root.open = true;
    this.#collect();
    if (foldRepeats) for (const scope of this.#scopes) this.#foldChildren(scope);
    this.#seenAs = this.#representatives();
  }

  #collect(): void {
    const { nodes, scope, beside, parent } = this.#graph;
    const scopes = this.#scopes;
    const listed = new Uint8Array(scopes.length);
    for (let node = 0; node < nodes; ++node) {
      if (beside[node] >= 0) continue;
      let entry = ~node;
      for (let s = scope[node]; ; s = parent[s]) {
        const around = s < 0 ? this.#root : scopes[s];
        if (entry < 0 || !listed[entry]) {
          if (entry >= 0) listed[entry] = 1;
          around.children.push(entry);
        }
        around.inside.push(node);
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

  #representatives(): Int32Array {
    const { nodes, beside, parent } = this.#graph;
    const scopes = this.#scopes;
    const alias = Int32Array.from({ length: nodes }, (_, node) => node);
    for (let s = 0; s < parent.length; ++s) {
      const scope = scopes[s];
      if (scope.run < 0 || scope.run === s) continue;
      const first = scopes[scope.run].inside;
      for (let i = 0; i < first.length; ++i) alias[scope.inside[i]] = first[i];
    }
    return Int32Array.from({ length: nodes }, (_, start) => {
      let node = start;
      while (beside[node] >= 0) node = beside[node];
      while (alias[node] !== node) node = alias[node];
      return node;
    });
  }

  /**
   * The boxes to be seen.
   *
   * @param state Of each scope: open (1), closed (0), or DECIDE.
   * @param maxBoxes Scopes left to decide open while there are no more boxes than this.
   */
  fold(state: ArrayLike<number>, maxBoxes: number): Folded {
    this.#decide(state, maxBoxes);
    const { nodes, beside } = this.#graph;
    const boxes: FoldedBox[] = [];
    const boxOf = new Int32Array(nodes).fill(-1);
    this.#boxesBelow(this.#root, -1, 1, boxes, boxOf);
    const boxOfNode = new Int32Array(nodes);
    for (let i = 0; i < nodes; ++i) {
      const box = boxOf[this.#seenAs[i]];
      boxOfNode[i] = box;
      if (beside[i] >= 0 && box >= 0) ++boxes[box].gradients;
    }
    return { boxes, boxOfNode, ...this.#edgesBetween(boxes, boxOfNode) };
  }

  /** Opens scopes, outer and small ones first, while the picture stays readable. */
  #decide(state: ArrayLike<number>, maxBoxes: number): void {
    const scopes = this.#scopes;
    for (let s = 0; s < state.length; ++s) scopes[s].open = state[s] === 1;
    const waiting = new Heap();
    let boxes = 0;
    const show = (scope: Scope, depth: number): void => {
      for (const child of scope.children) {
        ++boxes;
        if (child < 0) continue;
        const inner = scopes[child];
        if (inner.open) show(inner, depth + 1);
        else if (state[child] === DECIDE) waiting.push([depth, inner.children.length, child]);
      }
    };
    show(this.#root, 0);
    for (let entry = waiting.pop(); entry; entry = waiting.pop()) {
      const [depth, growth, s] = entry;
      if (boxes + growth > maxBoxes) continue;
      scopes[s].open = true;
      show(scopes[s], depth + 1);
    }
  }

  #boxesBelow(
    scope: Scope,
    frame: number,
    times: number,
    boxes: FoldedBox[],
    boxOf: Int32Array,
  ): void {
    for (const child of scope.children) {
      const id = boxes.length;
      if (child < 0) {
        boxes.push({ kind: NODE, index: ~child, frame, repeat: 1, nodes: 1, gradients: 0 });
        boxOf[~child] = id;
        continue;
      }
      const inner = this.#scopes[child];
      boxes.push({
        kind: inner.open ? FRAME : SCOPE,
        index: child,
        frame,
        repeat: inner.repeat,
        nodes: inner.inside.length * inner.repeat * times,
        gradients: 0,
      });
      if (inner.open) this.#boxesBelow(inner, id, times * inner.repeat, boxes, boxOf);
      else for (const node of inner.inside) boxOf[node] = id;
    }
  }

  #edgesBetween(
    boxes: FoldedBox[],
    boxOfNode: Int32Array,
  ): Pick<Folded, "lines" | "marks" | "updates"> {
    const { from, to, beside } = this.#graph;
    const lines: number[] = [];
    const marks: number[] = [];
    const updates: number[] = [];
    for (let e = 0; e < from.length; ++e) {
      const source = boxOfNode[from[e]];
      const target = boxOfNode[to[e]];
      if (source < 0 || target < 0 || source === target) continue;
      const gradient = beside[from[e]] >= 0;
      if (beside[to[e]] >= 0) {
        // Marks read what their neighbours' marks made.
        if (gradient) marks.push(e);
        continue;
      }
      if (gradient && boxes[source].frame === boxes[target].frame) updates.push(e);
      if (!this.#hasRuns || !this.#withinRun(from[e], to[e])) lines.push(e);
    }
    return { lines, marks, updates };
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
}
