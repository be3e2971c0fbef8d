// What colours mean: the kinds of ops as in the static picture, or time, memory, dtype, device.

import { humanBytes, humanTime } from "../words.js";
import { type GraphNode, SOURCES } from "./record.js";
import type { Box, Scene } from "./scene.js";

export type Mode = "kind" | "time" | "memory" | "dtype" | "device";

/** look: light colour, dark colour; the same as in src/flowbook/_palette.py. */
export const LOOKS: Record<string, [light: string, dark: string]> = {
  linalg: ["#4f5bd5", "#8b94f5"],
  elementwise: ["#0b7a6f", "#3fc7b8"],
  reduce: ["#96620f", "#e3b25c"],
  nn: ["#9440c9", "#c58af0"],
  shape: ["#64748b", "#94a3b8"],
  random: ["#c2377e", "#f081b8"],
  optim: ["#2f855a", "#68c48f"],
  input: ["#2b6cb0", "#74b3ee"],
  capture: ["#2b6cb0", "#74b3ee"],
  variable: ["#a35a13", "#eaa562"],
  constant: ["#64748b", "#94a3b8"],
  scope: ["#64748b", "#94a3b8"],
};

export const NAMES: Record<string, string> = {
  input: "input",
  capture: "input",
  variable: "variable",
  linalg: "matrix product",
  elementwise: "elementwise",
  reduce: "reduction",
  nn: "network",
  shape: "shape",
  random: "random",
  optim: "optimizer",
};

/** Distinguishable with colour blindness (Okabe and Ito), darker and lighter. */
const CATEGORIES: [light: string, dark: string][] = [
  ["#0072b2", "#56b4e9"],
  ["#b45309", "#ff9650"],
  ["#00795a", "#3ed6a5"],
  ["#9d3f8a", "#e79fd0"],
  ["#8a6800", "#f0c84b"],
  ["#5b6b7b", "#a9b6c6"],
];
const HEAT: [light: string, dark: string] = ["#c2410c", "#ff8a4c"];

/** How one box is painted. */
export interface Paint {
  colour: string;
  /** Share of the largest value, for time and memory. */
  share?: number;
  /** Stands in the box's second line instead of its spec. */
  value?: string;
}

export interface Legend {
  label: string;
  colour: string;
  /** How its swatch looks: a tint with an outline, or a ramp from nothing to the colour. */
  look?: "source" | "ramp";
}

/** Sums and sets of all nodes that a box stands for, gradients included. */
export interface Totals {
  time: number;
  timed: boolean;
  bytes: number;
  nodes: number[];
}

export function totalsOf(scene: Scene, nodes: GraphNode[]): Totals[] {
  const totals = scene.boxes.map((): Totals => ({ time: 0, timed: false, bytes: 0, nodes: [] }));
  for (let i = 0; i < nodes.length; ++i) {
    for (let b = scene.boxOfNode[i]; b >= 0; b = scene.boxes[b].frame) {
      const total = totals[b];
      total.nodes.push(i);
      total.bytes += nodes[i].bytes ?? 0;
      if (nodes[i].time_us === null) continue;
      total.timed = true;
      total.time += nodes[i].time_us as number;
    }
  }
  return totals;
}

export class Painter {
  readonly legend: Legend[] = [];
  readonly #paints: Paint[];

  constructor(
    scene: Scene,
    nodes: GraphNode[],
    readonly totals: Totals[],
    readonly mode: Mode,
    dark: boolean,
  ) {
    const side = dark ? 1 : 0;
    const look = (box: Box): string => (LOOKS[box.look] ?? LOOKS.scope)[side];
    const inner = scene.boxes.map((box) => box.kind !== "frame");
    if (mode === "time" || mode === "memory") {
      const size = (t: Totals): number => (mode === "time" ? t.time : t.bytes);
      const most = Math.max(0, ...totals.filter((_, i) => inner[i]).map(size));
      const cold = LOOKS.scope[side];
      this.#paints = scene.boxes.map((_, i) => {
        const known = mode === "time" ? totals[i].timed : totals[i].bytes > 0;
        const text = mode === "time" ? humanTime(totals[i].time) : humanBytes(totals[i].bytes);
        const share = inner[i] && most > 0 ? size(totals[i]) / most : 0;
        return {
          colour: `color-mix(in srgb, ${HEAT[side]} ${Math.round(100 * share)}%, ${cold})`,
          share,
          value: known ? text : "",
        };
      });
      const words = mode === "time" ? humanTime(most) : humanBytes(most);
      this.legend.push({ label: `0 to ${words}`, colour: HEAT[side], look: "ramp" });
    } else if (mode === "dtype" || mode === "device") {
      const colours = new Map<string, string>();
      const colourOf = (value: string): string => {
        const known = colours.get(value);
        if (known) return known;
        const fresh = CATEGORIES[Math.min(colours.size, CATEGORIES.length - 1)][side];
        colours.set(value, fresh);
        return fresh;
      };
      this.#paints = scene.boxes.map((box, i) => {
        const values = new Set<string>();
        for (const n of totals[i].nodes)
          values.add(String((mode === "dtype" ? nodes[n].dtype : nodes[n].device) ?? ""));
        values.delete("");
        const [first] = values;
        const value = box.kind === "node" ? (first ?? "") : [...values].join(", ");
        return {
          colour: first
            ? values.size > 1 && box.kind !== "node"
              ? look(box)
              : colourOf(first)
            : look(box),
          value: value || undefined,
        };
      });
      for (const [label, colour] of colours) this.legend.push({ label, colour });
    } else {
      this.#paints = scene.boxes.map((box) => ({ colour: look(box) }));
      const seen = new Set<string>();
      for (const box of scene.boxes) {
        const label = NAMES[box.look];
        // What failed is red, whatever its family.
        if (box.kind !== "node" || box.failed || !label || seen.has(label)) continue;
        seen.add(label);
        const source = SOURCES.has(box.look) ? "source" : undefined;
        this.legend.push({ label, colour: look(box), look: source });
      }
    }
  }

  of(box: number): Paint {
    return this.#paints[box];
  }
}
