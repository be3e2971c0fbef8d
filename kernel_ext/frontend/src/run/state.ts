// What a view knows of its runs: made from a `state` message, kept current by `update`s.

import type { Message } from "../channel.js";
import { Curve, rowsOf } from "./curve.js";

/** Epochs that a page remembers; of more, the newest half as many stay. */
const KEPT = 8000;

export interface Progress {
  status: "running" | "paused" | "finished" | "stopped" | "failed" | "killed";
  reason: string;
  error: string;
  step: number;
  epoch: number;
  epochs: number | null;
  epochStep: number;
  stepsPerEpoch: number | null;
  seconds: number | null;
  secondsPerStep: number | null;
  secondsLeft: number | null;
  rate: number | null;
  throughput: number | null;
  memory: number | null;
  attached: boolean;
}

export interface Mark {
  step: number;
  epoch: number;
  kind: string;
  text: string;
}

export type Logs = Record<string, number | null>;

export interface Run {
  name: string;
  title: string;
  curve: Curve;
  /** Numbers of the epochs; the first is of epoch `firstEpoch`. */
  epochs: Logs[];
  firstEpoch: number;
  marks: Mark[];
  progress: Progress;
}

/** Numbers of some epochs, as columns of equal length. */
type Table = Record<string, (number | null)[]>;

interface Part {
  name?: string;
  label?: string;
  firstEpoch: number;
  epochs: Table[];
  marks: Mark[];
  progress: Progress;
  points: number;
}

export class RunState {
  runs: Run[] = [];
  /** Whether the kernel takes requests for the (only) run. */
  controls = false;

  /** Takes a message; false if it is none of ours, or an update before any state. */
  take(message: Message, buffers: DataView[]): boolean {
    if (message.kind === "state") {
      this.controls = message.controls === true;
      const parts = Array.isArray(message.runs) ? (message.runs as Part[]) : [];
      this.runs = parts.map((part, i) => made(part, buffers[i]));
      distinguish(this.runs);
      return true;
    }
    const run = this.runs[0];
    if (message.kind !== "update" || !run) return false;
    const part = message as unknown as Part;
    if (part.points > 0) run.curve.append(rowsOf(buffers[0]));
    // Epochs that a state has brought already come once more.
    const known = run.firstEpoch + run.epochs.length;
    if (part.firstEpoch > known) {
      // There were more than go into a message: the numbers go on after a gap, which none span.
      run.epochs = [];
      run.firstEpoch = part.firstEpoch;
    }
    run.epochs.push(...epochsOf(part.epochs).slice(Math.max(0, known - part.firstEpoch)));
    const old = run.epochs.length > KEPT ? run.epochs.length - KEPT / 2 : 0;
    run.epochs.splice(0, old);
    run.firstEpoch += old;
    run.marks.push(...part.marks);
    run.progress = part.progress;
    return true;
  }

  /** Names of the numbers that epochs have, "loss" first. */
  numbers(): string[] {
    const names = new Set<string>(["loss"]);
    for (const run of this.runs) {
      for (const logs of run.epochs.slice(-3)) {
        for (const name of Object.keys(logs)) names.add(name.replace(/^val_/, ""));
      }
    }
    return [...names];
  }

  get ended(): boolean {
    return this.runs.every((run) => !/running|paused/.test(run.progress.status));
  }
}

function epochsOf(tables: readonly Table[]): Logs[] {
  return tables.flatMap((table) => {
    const columns = Object.entries(table);
    return (columns[0]?.[1] ?? []).map((_, i) =>
      Object.fromEntries(columns.map(([name, values]) => [name, values[i]])),
    );
  });
}

function made(part: Part, buffer: DataView | undefined): Run {
  const curve = new Curve();
  curve.append(rowsOf(buffer));
  return {
    name: part.name ?? "",
    title: part.label || part.name || "run",
    curve,
    epochs: epochsOf(part.epochs),
    firstEpoch: part.firstEpoch,
    marks: [...part.marks],
    progress: part.progress,
  };
}

/** Titles that occur twice get a number. */
function distinguish(runs: Run[]): void {
  const counts = new Map<string, number>();
  for (const run of runs) {
    const count = (counts.get(run.title) ?? 0) + 1;
    counts.set(run.title, count);
    if (count > 1) run.title += ` (${count})`;
  }
}

/** Values of one number by epoch. */
export function byEpoch(run: Run, name: string): { at: number[]; values: (number | null)[] } {
  const at: number[] = [];
  const values: (number | null)[] = [];
  run.epochs.forEach((logs, i) => {
    if (!(name in logs)) return;
    at.push(run.firstEpoch + i);
    values.push(logs[name]);
  });
  return { at, values };
}
