// The run view: what it keeps, draws and asks for, without a kernel and without a canvas.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Channel, Message } from "../src/channel.js";
import { BUSY, BUSY_MS } from "../src/run/controls.js";
import { Curve, rowsOf, smooth } from "../src/run/curve.js";
import { RunView, SPEAK_MS } from "../src/run/index.js";
import { aligned, linesOf, momentWords, tickWords } from "../src/run/lines.js";
import { byEpoch, RunState } from "../src/run/state.js";
import { duration, facts, share, spoken } from "../src/run/words.js";

const plots = vi.hoisted(() => [] as { data: unknown[][]; options: { series: unknown[] } }[]);
vi.mock("uplot", () => ({
  default: class {
    scales = { x: {} };
    width = 640;
    constructor(
      public options: { series: unknown[] },
      public data: unknown[][],
    ) {
      plots.push(this);
    }
    setData(data: unknown[][]): void {
      this.data = data;
    }
    setSize(): void {}
    redraw(): void {}
    destroy(): void {}
  },
}));

class FakeChannel implements Channel {
  readonly id = "r";
  live = true;
  memory = new Map<string, unknown>();
  sent: Message[] = [];
  private listener: ((live: boolean) => void) | undefined;
  send(content: { kind: string }): void {
    this.sent.push(content);
  }
  onLive(callback: (live: boolean) => void): () => void {
    this.listener = callback;
    return () => undefined;
  }
  end(): void {
    this.live = false;
    this.listener?.(false);
  }
}

const progress = (more: object = {}): Record<string, unknown> => ({
  status: "running",
  reason: "",
  error: "",
  step: 12,
  epoch: 2,
  epochs: 5,
  epochStep: 2,
  stepsPerEpoch: 10,
  seconds: 3,
  secondsPerStep: 0.0012,
  secondsLeft: 75,
  rate: 0.01,
  throughput: 12345.6,
  memory: 2_500_000,
  attached: true,
  ...more,
});

/** Rows of equal low, high and mean for steps from `first` on. */
function rows(values: number[], first = 1): DataView {
  const data = new Float64Array(values.flatMap((v, i) => [first + i, v, v, v]));
  return new DataView(data.buffer);
}

const part = (more: object = {}): Record<string, unknown> => ({
  name: "20260101-120000",
  label: "",
  firstEpoch: 1,
  epochs: [{ loss: [2], val_loss: [3] }],
  marks: [],
  progress: progress(),
  points: 3,
  ...more,
});
const state = (runs = [part()], controls = true): Message => ({ kind: "state", runs, controls });

let channel: FakeChannel;
let view: RunView;
function mount(): ShadowRoot {
  const root = document.createElement("div");
  document.body.append(root);
  view = new RunView(root, channel);
  return root.querySelector(".fb-run-host")!.shadowRoot!;
}
const frame = (): void => {
  vi.advanceTimersByTime(20);
};
const find = <T extends HTMLElement = HTMLElement>(page: ShadowRoot, name: string): T =>
  page.querySelector<T>(`.${name}`)!;

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(1_000_000);
  vi.stubGlobal("requestAnimationFrame", (callback: () => void) => setTimeout(callback, 16));
  vi.stubGlobal("cancelAnimationFrame", clearTimeout);
  channel = new FakeChannel();
  plots.length = 0;
});
afterEach(() => {
  view?.dispose();
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

// Curves

test("a curve takes rows in order and leaves out what it has", () => {
  const curve = new Curve();
  curve.append(rowsOf(rows([3, 2, 1])));
  curve.append(rowsOf(rows([9, 9, 0.5], 2)));
  expect(curve.step).toEqual([1, 2, 3, 4]);
  expect(curve.mean).toEqual([3, 2, 1, 0.5]);
});

test("a long curve merges its buckets and keeps its extremes", () => {
  const curve = new Curve(8);
  const values = Array.from({ length: 33 }, (_, i) => (i === 20 ? 100 : i === 21 ? Number.NaN : 1));
  curve.append(rowsOf(rows(values)));
  expect(curve.length).toBeLessThanOrEqual(8);
  expect(curve.step[curve.length - 1]).toBe(33);
  expect(Math.max(...curve.high)).toBe(100);
  expect(Math.min(...curve.low)).toBe(1);
  expect(curve.mean.every(Number.isFinite)).toBe(true);
});

test("merged means are weighted by steps", () => {
  const curve = new Curve(2);
  curve.append(new Float64Array([9, 0, 0, 0, 10, 10, 10, 10, 11, 1, 1, 1]));
  expect(curve.step).toEqual([10, 11]);
  expect(curve.mean[0]).toBeCloseTo(1);
});

test("buffers may lie anywhere in a message", () => {
  const bytes = new Uint8Array(36);
  bytes.set(new Uint8Array(new Float64Array([1, 2, 3, 4]).buffer), 3);
  expect([...rowsOf(new DataView(bytes.buffer, 3, 32))]).toEqual([1, 2, 3, 4]);
  expect(rowsOf(undefined).length).toBe(0);
});

test("smoothing has no bias at its start and skips gaps", () => {
  expect(smooth([1, 2, 3, 4], [5, 5, Number.NaN, 5]).map((v) => v!.toFixed(6))).toEqual(
    Array(4).fill("5.000000"),
  );
  expect(smooth([1], [Number.NaN])).toEqual([null]);
});

test("smoothing goes by steps, however many values tell of them", () => {
  // 0 for 5,000 steps, then 1: told at each step, and from the change on at every 20th.
  const change = 5000;
  const all = Array.from({ length: 10000 }, (_, i) => i + 1);
  const few = all.filter((step) => step <= change || step % 20 === 0);
  const told = (steps: number[]) =>
    smooth(
      steps,
      steps.map((step) => Number(step > change)),
    )[steps.indexOf(change + 200)]!;
  expect(told(all)).toBeCloseTo(1 - Math.exp(-1), 2);
  expect(told(few)).toBeCloseTo(told(all), 6);
});

// State and lines

test("updates continue a state; overlapping parts come once", () => {
  const runs = new RunState();
  expect(runs.take({ kind: "update" }, [])).toBe(false);
  runs.take(state(), [rows([3, 2, 1])]);
  const update = {
    ...part({ epochs: [{ loss: [2, 1] }], points: 2, marks: [{ step: 4, text: "x" }] }),
    kind: "update",
  };
  runs.take(update as unknown as Message, [rows([1, 0.5], 3)]);
  expect(runs.runs[0].curve.step).toEqual([1, 2, 3, 4]);
  expect(runs.runs[0].epochs.map((logs) => logs.loss)).toEqual([2, 1]);
  expect(runs.runs[0].marks).toHaveLength(1);
  expect(runs.take({ kind: "unknown" }, [])).toBe(false);
});

test("one run: band, raw and smoothed loss, validation where epochs end", () => {
  const runs = new RunState();
  runs.take(state(), [rows([3, 2, 1])]);
  const options = { number: "loss", by: "step", log: false, smooth: true } as const;
  const lines = linesOf(runs.runs, options);
  expect(lines.map((l) => [l.name, l.style])).toEqual([
    ["", "high"],
    ["", "low"],
    ["", "faint"],
    ["loss", "solid"],
    ["val_loss", "dashed"],
  ]);
  expect(lines[4].at).toEqual([10]);
  expect(linesOf(runs.runs, { ...options, by: "epoch" }).map((l) => l.name)).toEqual([
    "loss",
    "val_loss",
  ]);
});

test("several runs are laid over each other in different colours", () => {
  const runs = new RunState();
  runs.take(state([part({ label: "a" }), part({ label: "a" })], false), [rows([1]), rows([2])]);
  const lines = linesOf(runs.runs, { number: "loss", by: "step", log: false, smooth: false });
  expect(lines.map((l) => l.name)).toEqual(["a", "a (validation)", "a (2)", "a (2) (validation)"]);
  expect(lines.map((l) => l.colour)).toEqual([0, 0, 1, 1]);
});

test("a logarithmic axis has gaps where nothing is positive", () => {
  const runs = new RunState();
  runs.take(state([part({ epochs: [] })]), [rows([-1, 0, 1, Number.NaN])]);
  const [, , line] = linesOf(runs.runs, { number: "loss", by: "step", log: true, smooth: false });
  expect(line.values).toEqual([null, null, 1, null]);
});

test("lines on different places share one axis", () => {
  const line = (at: number[], values: number[]) =>
    ({ name: "", colour: 0, style: "solid", at, values }) as const;
  expect(aligned([line([1, 3], [5, 6]), line([2, 3], [7, 8])])).toEqual([
    [1, 2, 3],
    [5, undefined, 6],
    [undefined, 7, 8],
  ]);
});

test("values by epoch start where the state starts", () => {
  const runs = new RunState();
  runs.take(state([part({ firstEpoch: 7, epochs: [{ loss: [1] }, { acc: [2] }] })]), []);
  expect(byEpoch(runs.runs[0], "loss")).toEqual({ at: [7], values: [1] });
});

// Words

test("facts, shares and sentences", () => {
  const now = progress() as never;
  expect(Object.fromEntries(facts(now))).toEqual({
    epoch: "2/5",
    step: "12 (2/10)",
    "step time": "1.2 ms",
    throughput: "12,346 examples/s",
    "learning rate": "0.01",
    memory: "2.5 MB",
    time: "3 s",
    left: "1 min 15 s",
  });
  expect(share(now)).toBeCloseTo(0.24);
  expect(share(progress({ stepsPerEpoch: null }) as never)).toBeUndefined();
  expect([0.85, 12, 200, 7500].map(duration)).toEqual([
    "850 ms",
    "12 s",
    "3 min 20 s",
    "2 h 5 min",
  ]);
  const runs = new RunState();
  runs.take(state(), []);
  expect(spoken(runs.runs[0])).toBe(
    "20260101-120000 running, epoch 2 of 5, loss 2, 1 min 15 s left",
  );
});

// The view

test("a state is drawn, updates only replace data", () => {
  const page = mount();
  view.receive(state(), [rows([3, 2, 1])]);
  frame();
  expect(find(page, "fb-status").textContent).toBe("running");
  expect(find(page, "fb-chart").getAttribute("aria-label")).toMatch(
    /^loss by step: loss from 3 to/,
  );
  expect(find(page, "fb-chart").getAttribute("role")).toBe("img");
  expect(plots).toHaveLength(1);
  view.receive({ ...part({ points: 1 }), kind: "update" } as never, [rows([0.5], 4)]);
  view.receive({ ...part({ points: 1 }), kind: "update" } as never, [rows([0.4], 5)]);
  frame();
  expect(plots).toHaveLength(1);
  expect(plots[0].data[0]).toEqual([1, 2, 3, 4, 5, 10]);
});

test("names are text, never markup", () => {
  const page = mount();
  const evil = "<img src=x onerror=alert(1)>";
  view.receive(
    state([
      part({
        label: evil,
        epochs: [{ [evil]: [1] }],
        marks: [{ step: 1, epoch: 0, kind: "x", text: evil }],
      }),
    ]),
    [],
  );
  frame();
  page.querySelector("details")!.open = true;
  page.querySelector("details")!.dispatchEvent(new Event("toggle"));
  expect(page.querySelector("img")).toBeNull();
  expect(find(page, "fb-title").textContent).toContain(evil);
  expect(find(page, "fb-marks").textContent).toContain(evil);
});

test("buttons send requests, and acknowledgements silence the warning", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  for (const name of ["fb-stop", "fb-pause", "fb-step", "fb-detach"])
    find<HTMLButtonElement>(page, name).click();
  expect(channel.sent.map((m) => [m.kind, m.action])).toEqual([
    ["control", "stop"],
    ["control", "pause"],
    ["control", "step"],
    ["control", "detach"],
  ]);
  const ids = channel.sent.map((m) => m.id);
  expect(new Set(ids).size).toBe(4);
  for (const id of ids) view.receive({ kind: "ack", acks: [{ id, text: "" }] }, []);
  vi.advanceTimersByTime(BUSY_MS + 50);
  expect(find(page, "fb-run-notice").textContent).toBe("");
});

test("a kernel that does not answer is said to be busy, until it answers", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  find<HTMLButtonElement>(page, "fb-stop").click();
  vi.advanceTimersByTime(BUSY_MS - 100);
  expect(find(page, "fb-run-notice").textContent).toBe("");
  view.receive({ kind: "ack", acks: [{ id: 12345, text: "" }] }, []); // of another copy of the view
  vi.advanceTimersByTime(200);
  expect(find(page, "fb-run-notice").textContent).toBe(BUSY);
  view.receive({ kind: "ack", acks: [{ id: channel.sent[0].id, text: "" }] }, []);
  expect(find(page, "fb-run-notice").textContent).toBe("");
});

test("a refused request says why", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  find<HTMLButtonElement>(page, "fb-stop").click();
  view.receive({ kind: "ack", acks: [{ id: channel.sent[0].id, text: "the run has ended" }] }, []);
  expect(find(page, "fb-run-notice").textContent).toBe("the run has ended");
});

test("of very many epochs the page keeps the last", () => {
  const runs = new RunState();
  runs.take(state(), []);
  for (let i = 0; i < 12; ++i) {
    const loss = Array.from({ length: 1000 }, (_, k) => 1000 * i + k + 2);
    runs.take(
      { kind: "update", ...part({ firstEpoch: loss[0], epochs: [{ loss }], points: 0 }) },
      [],
    );
  }
  const [run] = runs.runs;
  expect(run.epochs.length).toBeLessThanOrEqual(8000);
  expect(run.firstEpoch + run.epochs.length - 1).toBe(12_001);
  expect(run.epochs.at(-1)).toEqual({ loss: 12_001 });
  expect(run.epochs[0].loss).toBe(run.firstEpoch);
});

test("however many epochs come at once, the page keeps a bounded number", () => {
  const runs = new RunState();
  const loss = Array.from({ length: 13_000 }, (_, k) => k + 1);
  runs.take(state([part({ epochs: [{ loss }] })]), []);
  const next = part({ firstEpoch: 13_001, epochs: [{ loss: [13_001] }], points: 0 });
  runs.take({ kind: "update", ...next }, []);
  const [run] = runs.runs;
  expect(run.epochs).toHaveLength(4000);
  expect(run.firstEpoch).toBe(9002);
  expect(run.epochs[0]).toEqual({ loss: 9002 });
});

test("epochs go on under their own numbers where the kernel left some out", () => {
  const runs = new RunState();
  runs.take(state(), []);
  const late = part({ firstEpoch: 1001, epochs: [{ loss: [5, 4] }], points: 0 });
  runs.take({ kind: "update", ...late }, []);
  expect(byEpoch(runs.runs[0], "loss")).toEqual({ at: [1001, 1002], values: [5, 4] });
});

test("a table without numbers has no epochs", () => {
  const runs = new RunState();
  runs.take(state([part({ epochs: [{}, { loss: [1] }] })]), []);
  expect(runs.runs[0].epochs).toEqual([{ loss: 1 }]);
});

test("an answer may come with news of the run", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  find<HTMLButtonElement>(page, "fb-pause").click();
  const acks = [{ id: channel.sent[0].id, text: "" }];
  const news = part({ points: 0, epochs: [], progress: progress({ status: "paused" }) });
  view.receive({ kind: "update", acks, ...news }, []);
  frame();
  vi.advanceTimersByTime(BUSY_MS + 50);
  expect(find(page, "fb-run-notice").textContent).toBe("");
  expect(find(page, "fb-status").textContent).toBe("paused");
});

test("pause becomes resume while the run is held", () => {
  const page = mount();
  view.receive(state([part({ progress: progress({ status: "paused" }) })]), []);
  frame();
  expect(find(page, "fb-resume").textContent).toBe("Resume");
  find<HTMLButtonElement>(page, "fb-resume").click();
  expect(channel.sent[0].action).toBe("resume");
  view.receive({ ...part({ points: 0 }), kind: "update" } as never, []);
  frame();
  expect(find(page, "fb-pause").textContent).toBe("Pause");
});

test("slider and field set the learning rate", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  const slider = find<HTMLInputElement>(page, "fb-rate-slider");
  const field = find<HTMLInputElement>(page, "fb-rate-field");
  expect([slider.value, field.value]).toEqual(["-200", "0.01"]);
  slider.value = "-300";
  slider.dispatchEvent(new Event("input"));
  expect(field.value).toBe("0.001");
  expect(channel.sent).toHaveLength(0); // while it is dragged
  slider.dispatchEvent(new Event("change"));
  expect(channel.sent[0]).toMatchObject({ action: "rate", value: 0.001 });
  const type = (text: string): void => {
    field.value = text;
    field.dispatchEvent(new Event("input"));
  };
  type("2e-4");
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
  field.dispatchEvent(new Event("change")); // some pages send both
  expect(channel.sent).toHaveLength(2);
  expect(channel.sent[1]).toMatchObject({ action: "rate", value: 0.0002 });
  type("fast");
  field.dispatchEvent(new Event("change"));
  expect(channel.sent).toHaveLength(2);
  expect(find(page, "fb-run-notice").textContent).toMatch(/number/);
});

test("what is being typed is not overwritten", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  const field = find<HTMLInputElement>(page, "fb-rate-field");
  field.value = "0.00";
  field.dispatchEvent(new Event("input"));
  view.receive({ ...part({ points: 0 }), kind: "update" } as never, []);
  frame();
  expect(field.value).toBe("0.00");
});

test("controls go when the run has ended or the kernel is gone", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  expect(find(page, "fb-controls").hidden).toBe(false);
  channel.end();
  expect(find(page, "fb-controls").hidden).toBe(true);
  channel.live = true;
  view.receive(state([part({ progress: progress({ status: "finished" }) })]), []);
  frame();
  expect(find(page, "fb-controls").hidden).toBe(true);
  expect(find(page, "fb-bar").hidden).toBe(true);
});

test("a comparison has no controls and no facts", () => {
  const page = mount();
  view.receive(state([part(), part({ label: "b" })], false), [rows([1]), rows([2])]);
  frame();
  expect(find(page, "fb-title").textContent).toBe("2 runs");
  expect(find(page, "fb-controls").hidden).toBe(true);
  expect(find(page, "fb-facts").children).toHaveLength(0);
  expect(page.querySelectorAll(".fb-legend-entry")).toHaveLength(4);
});

test("ticks without room have no words", () => {
  expect(tickWords([1, null, 0, -0, 0.5], 4)).toEqual(["1", "", "0", "0", "0.5"]);
});

test("the numbers at a moment, each line at its own nearest place", () => {
  const line = (name: string, at: number[], values: number[]) =>
    ({ name, colour: 0, style: "solid", at, values }) as const;
  const lines = [
    line("", [1, 2], [3, 4]),
    line("loss", [1, 2], [0.5, 0.25]),
    line("val", [1], [9]),
  ];
  const mutable = lines.map((l) => ({ ...l, at: [...l.at], values: [...l.values] }));
  const words = momentWords("step", mutable, aligned(mutable), 1, [1, null, 1, 0]);
  expect(words).toBe("step 2 · loss 0.25 · val 9 at 1");
});

test("the chart can be changed, and a new mount of the view remembers it", () => {
  const page = mount();
  view.receive(state([part({ epochs: [{ loss: [1], accuracy: [0.5] }] })]), [rows([3])]);
  frame();
  find<HTMLButtonElement>(page, "fb-log").click();
  expect(find(page, "fb-log").getAttribute("aria-pressed")).toBe("true");
  find<HTMLButtonElement>(page, "fb-by-epoch").click();
  expect(find(page, "fb-chart").getAttribute("aria-label")).toMatch(/^loss by epoch/);
  const select = find<HTMLSelectElement>(page, "fb-number");
  select.value = "accuracy";
  select.dispatchEvent(new Event("change"));
  expect(find(page, "fb-chart").getAttribute("aria-label")).toMatch(/^accuracy by epoch/);
  expect(find(page, "fb-by-step").hidden).toBe(true);
  view.dispose();
  const again = mount();
  view.receive(state([part({ epochs: [{ loss: [1], accuracy: [0.5] }] })]), [rows([3])]);
  frame();
  expect(find<HTMLSelectElement>(again, "fb-number").value).toBe("accuracy");
});

test("keys pressed in the view are not the notebook's shortcuts", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  let seen = 0;
  const count = (): void => {
    seen++;
  };
  document.addEventListener("keydown", count);
  const press = { key: "d", bubbles: true, composed: true };
  find(page, "fb-stop").dispatchEvent(new KeyboardEvent("keydown", press));
  document.removeEventListener("keydown", count);
  expect(seen).toBe(0);
  expect((page.host as HTMLElement).hasAttribute("data-lm-suppress-shortcuts")).toBe(true);
});

test("legend entries hide lines and keep the focus", () => {
  const page = mount();
  view.receive(state(), [rows([3, 2])]);
  frame();
  const entry = find<HTMLButtonElement>(page, "fb-legend-entry");
  expect(entry.textContent).toBe("loss");
  entry.focus();
  entry.click();
  expect(find(page, "fb-legend-entry").getAttribute("aria-pressed")).toBe("false");
  expect((page.activeElement as HTMLElement).textContent).toBe("loss");
});

test("alerts and errors are shown", () => {
  const page = mount();
  const alert = { step: 3, epoch: 0.3, kind: "alert", text: "the loss is nan from step 3 on" };
  view.receive(state([part({ marks: [alert] })]), []);
  frame();
  expect(find(page, "fb-alert").textContent).toBe(alert.text);
  const failed = progress({ status: "failed", error: "ShapeError: no" });
  view.receive(state([part({ progress: failed })]), []);
  frame();
  expect(find(page, "fb-alert").textContent).toBe("ShapeError: no");
});

test("readers of the screen hear a sentence now and then", () => {
  const page = mount();
  view.receive(state(), []);
  frame();
  const first = find(page, "fb-spoken").textContent;
  expect(first).toContain("epoch 2 of 5");
  const later = progress({ epoch: 3 });
  view.receive({ ...part({ points: 0, progress: later }), kind: "update" } as never, []);
  frame();
  expect(find(page, "fb-spoken").textContent).toBe(first);
  vi.setSystemTime(1_000_000 + SPEAK_MS + 100);
  view.receive({ ...part({ points: 0, progress: later }), kind: "update" } as never, []);
  frame();
  expect(find(page, "fb-spoken").textContent).toContain("epoch 3 of 5");
});
