// Memory over time, from the kernel's data to the paths and places of a picture. No drawing.

import { duration } from "../run/words.js";
import { humanBytes } from "../words.js";

/** Seconds since the first allocation, live bytes from then on, highest of the interval before. */
export type Sample = readonly [seconds: number, live: number, peak: number];

export interface Cell {
  exec: number;
  /** Seconds from when on it ran, and until when. */
  at: readonly [number, number];
}

export interface Course {
  history: readonly Sample[];
  cells: readonly Cell[];
  limit: number | null;
}

export interface Picture {
  live: string;
  area: string;
  peaks: string;
  /** Height of the limit, where it is near enough to be in the picture. */
  limit: number | undefined;
  high: { x: number; y: number; bytes: number };
  /** Where cells began; labels only where there is room. */
  cells: { x: number; label: string }[];
}

export const SIZE = { width: 640, height: 132, left: 4, right: 636, top: 22, bottom: 112 };
const ROOM = 34; // pixels between the labels of two cells
const NEAR = 3; // a limit of so many times the peak would leave nothing but a flat line

const number = (value: unknown): value is number =>
  typeof value === "number" && Number.isFinite(value);
const numbers = (row: unknown, length: number): boolean =>
  Array.isArray(row) && row.length === length && row.every(number);

/** A course from a message; undefined where there is nothing to draw. */
export function courseOf(data: unknown): Course | undefined {
  const { history, cells, limit } = (data ?? {}) as Record<string, unknown>;
  if (!Array.isArray(history)) return undefined;
  const samples = history.filter((row) => numbers(row, 3)) as Sample[];
  if (samples.length < 2) return undefined;
  const known = (Array.isArray(cells) ? cells : []).filter(
    (cell) => number(cell?.exec) && numbers(cell.at, 2),
  ) as Cell[];
  return { history: samples, cells: known, limit: number(limit) && limit > 0 ? limit : null };
}

const highest = ({ history }: Course): Sample =>
  history.reduce((high, sample) => (sample[2] > high[2] ? sample : high));

/** Maps seconds and bytes to places in the picture. */
export function scales(course: Course): { x(t: number): number; y(bytes: number): number } {
  const { history, limit } = course;
  const start = history[0][0];
  const span = Math.max(history[history.length - 1][0] - start, 1e-9);
  const peak = Math.max(highest(course)[2], 1);
  const top = limit && limit <= NEAR * peak ? Math.max(limit, peak) : peak;
  const round = (value: number): number => Math.round(value * 10) / 10;
  return {
    x: (t) => round(SIZE.left + ((SIZE.right - SIZE.left) * (t - start)) / span),
    y: (bytes) => round(SIZE.bottom - ((SIZE.bottom - SIZE.top) * bytes) / top),
  };
}

/** The picture: live bytes as steps, the peak of an interval as a stroke above them. */
export function pictureOf(course: Course): Picture {
  const { history, limit } = course;
  const { x, y } = scales(course);
  const start = history[0];
  let live = `M${x(start[0])} ${y(start[1])}`;
  let peaks = "";
  history.forEach(([t, bytes, peak], i) => {
    if (i) live += `H${x(t)}V${y(bytes)}`;
    if (y(peak) < y(bytes) - 1) peaks += `M${x(t)} ${y(bytes)}V${y(peak)}`;
  });
  const high = highest(course);
  let free = SIZE.left;
  const cells: Picture["cells"] = [];
  for (const { exec, at } of course.cells) {
    if (at[1] < start[0]) continue;
    const left = Math.min(SIZE.right, Math.max(SIZE.left, x(at[0])));
    const fits = left >= free && left <= SIZE.right - ROOM;
    cells.push({ x: left, label: fits ? `In [${exec}]` : "" });
    if (fits) free = left + ROOM + 4;
  }
  return {
    live,
    area: `${live}V${SIZE.bottom}H${SIZE.left}Z`,
    peaks,
    limit: limit && y(limit) >= SIZE.top ? y(limit) : undefined,
    high: { x: x(high[0]), y: y(high[2]), bytes: high[2] },
    cells,
  };
}

/** Index of the sample that holds at a place of the picture. */
export function sampleAt(course: Course, x: number): number {
  const place = scales(course).x;
  let index = 0;
  while (index + 1 < course.history.length && place(course.history[index + 1][0]) <= x) index++;
  return index;
}

/** One sample in words, with the cell that was running. */
export function sampleWords(course: Course, index: number): string {
  const [t, live, peak] = course.history[index];
  // The last cell that fits: a sample on the border belongs to the cell that made it.
  const cell = course.cells.filter(({ at }) => at[0] <= t && t <= at[1] + 0.01).pop();
  const parts = [`${duration(t)}: ${humanBytes(live)} live`];
  if (peak > live) parts.push(`peak ${humanBytes(peak)}`);
  if (cell) parts.push(`In [${cell.exec}]`);
  return parts.join(", ");
}

/** The whole course in words, for readers of the screen. */
export function courseWords(course: Course): string {
  const { history, limit } = course;
  const first = history[0];
  const last = history[history.length - 1];
  const high = highest(course);
  const parts = [
    `memory over ${duration(last[0] - first[0])}: from ${humanBytes(first[1])} to ${humanBytes(last[1])} live`,
    `peak ${humanBytes(high[2])} after ${duration(high[0])}`,
  ];
  if (limit) parts.push(`limit ${humanBytes(limit)}`);
  return parts.join(", ");
}
