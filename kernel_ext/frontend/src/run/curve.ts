// The loss of a run's steps as the page keeps it: buckets with least, greatest and mean value, merged
// in pairs when there are too many. The same idea as src/flowbook/_course.py, but buckets come in
// all sizes: what arrived in one message stays together.

const LIMIT = 8192;

const lesser = (a: number, b: number): number => (b < a || Number.isNaN(a) ? b : a);
const greater = (a: number, b: number): number => (b > a || Number.isNaN(a) ? b : a);

export class Curve {
  step: number[] = [];
  low: number[] = [];
  high: number[] = [];
  mean: number[] = [];

  readonly #limit: number;

  constructor(limit = LIMIT) {
    this.#limit = limit;
  }

  get length(): number {
    return this.step.length;
  }

  /** Appends rows of (last step, least, greatest, mean); what is known already is left out. */
  append(rows: Float64Array): void {
    let known = this.length ? this.step[this.length - 1] : 0;
    for (let i = 0; i + 3 < rows.length; i += 4) {
      if (!(rows[i] > known)) continue;
      known = rows[i];
      this.step.push(rows[i]);
      this.low.push(rows[i + 1]);
      this.high.push(rows[i + 2]);
      this.mean.push(rows[i + 3]);
    }
    while (this.length > this.#limit) this.#merge();
  }

  #merge(): void {
    const half = Math.floor(this.length / 2);
    const rest = this.length % 2;
    let before = 0;
    for (let i = 0; i < half; i++) {
      const a = 2 * i;
      const b = a + 1;
      const size = [this.step[a] - before, this.step[b] - this.step[a]];
      before = this.step[b];
      const [x, y] = [this.mean[a], this.mean[b]];
      this.mean[i] = Number.isNaN(x)
        ? y
        : Number.isNaN(y)
          ? x
          : (x * size[0] + y * size[1]) / (size[0] + size[1]);
      this.low[i] = lesser(this.low[a], this.low[b]);
      this.high[i] = greater(this.high[a], this.high[b]);
      this.step[i] = this.step[b];
    }
    for (const column of [this.step, this.low, this.high, this.mean]) {
      if (rest) column[half] = column[column.length - 1];
      column.length = half + rest;
    }
  }
}

/**
 * Exponential moving average over about a fiftieth of the steps, without the bias of its start;
 * what is not finite is skipped. A value stands for all steps since the one before it: values lie
 * close together where the page was told often, far apart where it was not.
 */
export function smooth(steps: readonly number[], values: readonly number[]): (number | null)[] {
  const span = steps[steps.length - 1] / 50;
  let mean = 0;
  let total = 0;
  let before = 0;
  return values.map((value, i) => {
    if (Number.isFinite(value)) {
      const kept = Math.exp((before - steps[i]) / span);
      mean = kept * mean + (1 - kept) * value;
      total = kept * total + (1 - kept);
      before = steps[i];
    }
    return total ? mean / total : null;
  });
}

/** The rows of a buffer, whatever its alignment in the message. */
export function rowsOf(buffer: DataView | undefined): Float64Array {
  if (!buffer) return new Float64Array();
  const bytes = buffer.byteLength - (buffer.byteLength % 32);
  const copy = new Uint8Array(bytes);
  copy.set(new Uint8Array(buffer.buffer, buffer.byteOffset, bytes));
  return new Float64Array(copy.buffer);
}
