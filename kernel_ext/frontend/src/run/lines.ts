// From runs to the lines of a chart: which there are, in which colour, with which values. No drawing.

import { general } from "../words.js";
import { smooth } from "./curve.js";
import { byEpoch, type Run } from "./state.js";

export interface Options {
  number: string;
  by: "step" | "epoch";
  log: boolean;
  smooth: boolean;
}

export interface Line {
  name: string;
  /** Index into the palette. */
  colour: number;
  style: "solid" | "dashed" | "faint" | "low" | "high";
  at: number[];
  values: (number | null)[];
}

/** The lines of a chart; by step there is the loss only. */
export function linesOf(runs: readonly Run[], options: Options): Line[] {
  const many = runs.length > 1;
  const lines: Line[] = [];
  let colour = 0;
  for (const run of runs) {
    const title = (name: string): string =>
      many ? (name.startsWith("val_") ? `${run.title} (validation)` : run.title) : name;
    if (options.by === "step" && options.number === "loss") {
      lines.push(...byStep(run, options, title, colour, many));
    } else {
      for (const name of [options.number, `val_${options.number}`]) {
        const { at, values } = byEpoch(run, name);
        if (!at.length) continue;
        const validation = name.startsWith("val_");
        const own = many || !validation ? colour : colour + 1;
        lines.push({
          name: title(name),
          colour: own,
          style: validation ? "dashed" : "solid",
          at,
          values: cleaned(values, options.log),
        });
      }
    }
    colour += many ? 1 : 2;
  }
  return lines;
}

function byStep(
  run: Run,
  options: Options,
  title: (name: string) => string,
  colour: number,
  many: boolean,
): Line[] {
  const { curve } = run;
  const lines: Line[] = [];
  if (!curve.length) return lines;
  const at = curve.step;
  const values = (column: (number | null)[]): (number | null)[] => cleaned(column, options.log);
  if (!many) {
    lines.push({ name: "", colour, style: "high", at, values: values(curve.high) });
    lines.push({ name: "", colour, style: "low", at, values: values(curve.low) });
  }
  const style = options.smooth ? "faint" : "solid";
  lines.push({
    name: options.smooth ? "" : title("loss"),
    colour,
    style,
    at,
    values: values(curve.mean),
  });
  if (options.smooth) {
    const average = smooth(at, curve.mean);
    lines.push({ name: title("loss"), colour, style: "solid", at, values: values(average) });
  }
  const each = run.progress.stepsPerEpoch;
  const { at: epochs, values: measured } = byEpoch(run, "val_loss");
  if (epochs.length && each) {
    lines.push({
      name: title("val_loss"),
      colour: many ? colour : colour + 1,
      style: "dashed",
      at: epochs.map((epoch) => epoch * each),
      values: values(measured),
    });
  }
  return lines;
}

/** Gaps where there is nothing to draw: not finite, or not positive on a logarithmic axis. */
function cleaned(values: readonly (number | null)[], log: boolean): (number | null)[] {
  return values.map((v) => (v === null || !Number.isFinite(v) || (log && v <= 0) ? null : v));
}

/** Values on one common horizontal axis, as uPlot wants them: x, then each line's. */
export type Columns = [number[], ...(number | null | undefined)[][]];

export function aligned(lines: readonly Line[]): Columns {
  const everywhere = new Set<number>();
  for (const line of lines) for (const x of line.at) everywhere.add(x);
  const x = [...everywhere].sort((a, b) => a - b);
  const place = new Map(x.map((value, i) => [value, i]));
  const columns = lines.map((line) => {
    // undefined: nothing there, the line goes on; null: a gap.
    const column: (number | null | undefined)[] = new Array(x.length).fill(undefined);
    line.at.forEach((at, i) => {
      column[place.get(at)!] = line.values[i];
    });
    return column;
  });
  return [x, ...columns];
}

/** Words at the ticks of an axis; null is a tick that has no room for any. */
export const tickWords = (ticks: readonly (number | null)[], digits: number): string[] =>
  ticks.map((tick) => (tick === null ? "" : general(tick || 0, digits)));

/** The numbers at a place of the horizontal axis, each line's at `places` of its own column. */
export function momentWords(
  by: string,
  lines: readonly Line[],
  columns: Columns,
  place: number,
  places: readonly (number | null | undefined)[],
): string {
  const [x] = columns;
  const values = lines.flatMap(({ name }, i) => {
    const own = places[i + 1];
    const value = own == null ? null : columns[i + 1][own];
    if (value == null) return [];
    const away = own === place ? "" : ` at ${general(x[own!], 6)}`;
    return `${name} ${general(value, 4)}${away}`;
  });
  return [`${by} ${general(x[place], 6)}`, ...values].join(" · ");
}
