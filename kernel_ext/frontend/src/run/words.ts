// A run in words: the line of facts above the chart, and what a screen reader hears now and then.

import { general, humanBytes, humanTime, thousands } from "../words.js";
import type { Progress, Run } from "./state.js";

/** Seconds as `850 ms`, `12 s`, `3 min 20 s` or `2 h 5 min`, as src/flowbook/_progress.py. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(0)} s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds) % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Names and values of the facts that are known. */
export function facts(progress: Progress): [string, string][] {
  const rows: [string, string][] = [];
  const { epoch, epochs, epochStep, stepsPerEpoch } = progress;
  if (epochs !== null) rows.push(["epoch", `${epoch}/${epochs}`]);
  const within = stepsPerEpoch && epochStep ? ` (${epochStep}/${stepsPerEpoch})` : "";
  rows.push(["step", `${thousands(progress.step)}${within}`]);
  if (progress.secondsPerStep !== null)
    rows.push(["step time", humanTime(progress.secondsPerStep * 1e6)]);
  if (progress.throughput !== null)
    rows.push(["throughput", `${thousands(Math.round(progress.throughput))} examples/s`]);
  if (progress.rate !== null) rows.push(["learning rate", general(progress.rate, 4)]);
  if (progress.memory !== null) rows.push(["memory", humanBytes(progress.memory)]);
  if (progress.seconds !== null) rows.push(["time", duration(progress.seconds)]);
  if (progress.secondsLeft) rows.push(["left", duration(progress.secondsLeft)]);
  return rows;
}

/** How far a run is, from 0 to 1; undefined where nobody knows. */
export function share(progress: Progress): number | undefined {
  if (progress.status === "finished") return 1;
  if (!progress.epochs || !progress.stepsPerEpoch) return undefined;
  return Math.min(1, progress.step / (progress.epochs * progress.stepsPerEpoch));
}

/** One sentence on a run. */
export function spoken(run: Run): string {
  const { progress, epochs, curve } = run;
  const parts = [`${run.title} ${progress.status}`];
  if (progress.epochs) parts.push(`epoch ${progress.epoch} of ${progress.epochs}`);
  const loss = epochs.length ? epochs[epochs.length - 1].loss : curve.mean[curve.length - 1];
  if (typeof loss === "number" && Number.isFinite(loss)) parts.push(`loss ${general(loss, 3)}`);
  if (progress.secondsLeft) parts.push(`${duration(progress.secondsLeft)} left`);
  if (progress.error) parts.push(progress.error);
  return parts.join(", ");
}
