// The graph view as its reader uses it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Channel, Message } from "../src/channel.js";
import { statusLine } from "../src/graph/notes.js";
import type { GraphRecord } from "../src/graph/record.js";
import { readRecord } from "../src/graph/record.js";
import { GraphView } from "../src/graph/view.js";
import { mountStandalone } from "../src/standalone.js";
import "../src/views.js";
import { large, node, recordOf } from "./records.js";

const HOSTILE = '<img src=x onerror="boom()">"\'&';

class FakeChannel implements Channel {
  readonly id = "v";
  live = true;
  readonly memory = new Map<string, unknown>();
  readonly sent: Record<string, unknown>[] = [];
  private readonly callbacks: ((live: boolean) => void)[] = [];
  send(content: { kind: string }): void {
    this.sent.push(content);
  }
  onLive(callback: (live: boolean) => void): () => void {
    this.callbacks.push(callback);
    return () => {};
  }
  die(): void {
    this.live = false;
    for (const callback of this.callbacks) callback(false);
  }
}

let channel: FakeChannel;
let host: HTMLElement;
let view: GraphView;

function show(record: GraphRecord, more: object = {}): void {
  view.receive({ kind: "state", record: { ...record, ...more } } as Message, []);
}
/** A fixture's record with its first scene, as the kernel sends them. */
function fixture(name: string): { record: GraphRecord; scene: object; places: DataView } {
  const text = readFileSync(join(__dirname, "fixtures", `${name}.json`), "utf8");
  const { record, scenes } = JSON.parse(text);
  const { box_of_node, ...scene } = scenes[0].scene;
  for (const line of scene.lines)
    line.points = line.points.map(([x, y]: [number, number]) => ({ x, y }));
  const folded = scene.boxes.filter((box: { kind: string }) => box.kind !== "node");
  const scopes = folded.map(({ ref }: { ref: number }) => [ref, scene.scopes[ref]]);
  return {
    record,
    scene: { ...scene, scopes: Object.fromEntries(scopes) },
    places: new DataView(Int32Array.from(box_of_node).buffer),
  };
}
const shadow = (): ShadowRoot => host.shadowRoot!;
const all = (selector: string): HTMLElement[] => [
  ...shadow().querySelectorAll<HTMLElement>(selector),
];
const labels = (): string[] => all(".box").map((box) => box.getAttribute("aria-label") ?? "");
const box = (words: string): HTMLElement =>
  all(".box").find((b) => b.getAttribute("aria-label")?.startsWith(words))!;
const input = (): HTMLInputElement => shadow().querySelector(".search")!;
const tip = (): HTMLElement => shadow().querySelector(".tip")!;
const button = (words: string): HTMLButtonElement =>
  all("button").find(
    (b) => (b.getAttribute("aria-label") ?? b.textContent) === words,
  ) as HTMLButtonElement;

function press(
  key: string,
  target: Element = shadow().querySelector(".stage")!,
  more: object = {},
): void {
  target.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, composed: true, ...more }),
  );
}
function type(query: string): void {
  input().value = query;
  input().dispatchEvent(new Event("input"));
}
const click = (element: Element, more: object = {}): void => {
  element.dispatchEvent(new MouseEvent("click", { bubbles: true, composed: true, ...more }));
};

/** What a button of the export menu hands to the reader, as text. */
async function saved(words: string): Promise<string> {
  const make = vi.fn((_: Blob) => "blob:x");
  Object.assign(URL, { createObjectURL: make, revokeObjectURL: () => {} });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => {});
  click(button(words));
  await vi.waitFor(() => expect(make).toHaveBeenCalled());
  const reader = new FileReader();
  const read = new Promise((resolve) => reader.addEventListener("load", resolve));
  reader.readAsText(make.mock.calls[0][0]);
  await read;
  return reader.result as string;
}

beforeEach(() => {
  channel = new FakeChannel();
  host = document.createElement("div");
  document.body.append(host);
  view = new GraphView(host, channel);
});
afterEach(() => {
  view.dispose();
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

const chain = (): GraphRecord =>
  recordOf(
    [
      node(0, "input", [], { kind: "input", name: "x" }),
      node(1, "exp", [0], { name: "h", line: 2, cell: "c7", exec: 3, time_us: 4 }),
      node(2, "sum", [1], { spec: "f32[]", shape: [], line: 3, time_us: 40, dtype: "f64" }),
    ],
    {
      name: "chain",
      outputs: [{ name: "y", node: 2 }],
      stats: { run_ms: 0.5, planned_peak_bytes: 2000 },
    },
  );

test("boxes, their words and the line of figures", () => {
  show(chain());
  expect(labels()).toEqual([
    "input x, f32[32, 10]",
    "exp, h, f32[32, 10], line 2",
    "sum, f32[], line 3",
  ]);
  expect(shadow().querySelector("h3")!.textContent).toBe("chain");
  expect(shadow().querySelector(".stats")!.textContent).toBe("3 nodes · peak 2 kB · run 500 µs");
});

test("the view keeps the notebook's shortcuts away from its keys", () => {
  expect(host.hasAttribute("data-lm-suppress-shortcuts")).toBe(true);
});

test("a graph of thousands of nodes starts with at most sixty boxes", () => {
  show(large(5000));
  expect(all(".box").length).toBeLessThanOrEqual(60);
});

test("scopes open and close by click, by Enter and all at once", () => {
  show(large(300));
  press("Home");
  const closed = (): HTMLElement[] => all('.box[aria-expanded="false"]');
  button("Close all scopes").click();
  const before = all(".box").length;
  expect(closed().length).toBeGreaterThan(0);
  click(closed()[0]);
  expect(all(".box").length).toBeGreaterThan(before);
  const frame = all('.box[aria-expanded="true"]')[0];
  frame.focus();
  press("Enter", frame);
  expect(all(".box").length).toBe(before);
  button("Open all scopes").click();
  expect(closed()).toHaveLength(0);
});

test("what is open is remembered for the next time the output appears", () => {
  show(large(300));
  button("Close all scopes").click();
  const count = all(".box").length;
  view.dispose();
  host = document.createElement("div");
  document.body.append(host);
  view = new GraphView(host, channel);
  show(large(300));
  expect(all(".box").length).toBe(count);
});

test("arrows walk along the lines, and only one box is in the tab order", () => {
  show(chain());
  press("ArrowRight");
  expect(shadow().activeElement!.getAttribute("aria-label")).toMatch(/^input x/);
  press("ArrowRight", shadow().activeElement!);
  expect(shadow().activeElement!.getAttribute("aria-label")).toMatch(/^exp/);
  press("ArrowRight", shadow().activeElement!);
  expect(shadow().activeElement!.getAttribute("aria-label")).toMatch(/^sum/);
  press("ArrowLeft", shadow().activeElement!);
  expect(shadow().activeElement!.getAttribute("aria-label")).toMatch(/^exp/);
  expect(all('.box[tabindex="0"]')).toEqual([shadow().activeElement]);
});

test("+ and - zoom, / searches, keys with Ctrl stay the browser's", () => {
  show(chain());
  const scale = (): number =>
    Number(/scale\(([\d.]+)\)/.exec(all("svg.drawing > g")[0].getAttribute("transform")!)![1]);
  const before = scale();
  press("+");
  expect(scale()).toBeGreaterThan(before);
  press("-");
  expect(scale()).toBeCloseTo(before);
  press("-", undefined, { ctrlKey: true });
  expect(scale()).toBeCloseTo(before);
  press("/");
  expect(shadow().activeElement).toBe(input());
});

test("selection goes to the kernel, several with Shift, and Esc lets go", () => {
  show(chain());
  click(box("exp"));
  expect(channel.sent.at(-1)).toEqual({ kind: "select", nodes: [1] });
  click(box("sum"), { shiftKey: true });
  expect(channel.sent.at(-1)).toEqual({ kind: "select", nodes: [1, 2] });
  expect(box("exp").getAttribute("aria-pressed")).toBe("true");
  press("Escape");
  expect(channel.sent.at(-1)).toEqual({ kind: "select", nodes: [] });
});

test("a scope selected with Shift stands for its nodes", () => {
  show(large(100));
  button("Close all scopes").click();
  click(all(".box.is-scope")[0], { shiftKey: true });
  const { nodes } = channel.sent.at(-1) as { nodes: number[] };
  expect(nodes.length).toBeGreaterThan(10);
});

test("the card tells what is known and leads to the cell", () => {
  show(chain());
  click(box("exp"));
  expect(tip().hidden).toBe(false);
  expect(tip().textContent).toContain("1.28 kB");
  expect(tip().textContent).toContain("4 µs");
  const link = tip().querySelector("a")!;
  expect(link.getAttribute("href")).toBe("#cell-id=c7");
  expect(link.textContent).toBe("In [3], line 2");
});

test("an input without a name is called by its op, as in the drawing", () => {
  const record = chain();
  record.nodes[1].name = null;
  show(record);
  click(box("sum"));
  expect(tip().textContent).toContain("inputsexp");
});

test("values of the last run: histogram, NaN and Inf", () => {
  const record = chain();
  record.nodes[1].values = {
    count: 320,
    nan: 3,
    inf: 0,
    low: -1,
    high: 2,
    mean: 0.5,
    counts: [1, 5, 0, 2],
  };
  record.nodes[1].alarm = "NaN";
  show(record);
  click(box("exp"));
  expect(tip().querySelectorAll(".bars rect")).toHaveLength(4);
  expect(tip().textContent).toContain("3 NaN");
  expect(tip().textContent).toContain("the first NaN appears here");
  expect(all(".badge-text").map((b) => b.textContent)).toContain("NaN");
});

test("search opens the scopes that hide a match, and Enter goes round", () => {
  const record = large(400);
  const hidden = record.nodes.filter((n) => n.op === "tanh");
  show(record);
  button("Close all scopes").click();
  type("tanh");
  expect(shadow().querySelector(".count")!.textContent).toBe(String(hidden.length));
  press("Enter", input());
  expect(shadow().querySelector(".count")!.textContent).toBe(`1/${hidden.length}`);
  expect(all(".box.current")[0].getAttribute("aria-label")).toMatch(/^tanh/);
  expect(shadow().querySelector("[aria-live]")!.textContent).toContain(
    `1 of ${hidden.length}: tanh`,
  );
  press("Enter", input(), { shiftKey: true });
  expect(shadow().querySelector(".count")!.textContent).toBe(`${hidden.length}/${hidden.length}`);
  press("Escape", input());
  expect(input().value).toBe("");
  expect(all(".box.faded")).toHaveLength(0);
});

test("colours: time and memory with shares, dtypes by name", () => {
  show(chain());
  const select = shadow().querySelector("select")!;
  const choose = (mode: string): void => {
    select.value = mode;
    select.dispatchEvent(new Event("change"));
  };
  choose("time");
  expect(box("sum").textContent).toContain("40 µs");
  expect(box("sum").querySelector(".meter")!.getAttribute("width")).not.toBe("2");
  choose("dtype");
  expect(all(".key").map((k) => k.textContent)).toEqual(expect.arrayContaining(["f32", "f64"]));
  expect([...select.options].find((o) => o.value === "device")!.disabled).toBe(true);
});

test("before and after optimisation", () => {
  show(chain(), { has_optimised: true });
  button("Optimised").click();
  expect(channel.sent.at(-1)).toEqual({ kind: "optimised" });
  const after = {
    ...recordOf([
      node(0, "input", [], { kind: "input", name: "x", origin: 0 }),
      node(1, "exp", [0], { spec: "f32[]", scope: "net", origin: 1 }),
      node(2, "sum", [1], { spec: "f32[]", scope: "net", origin: 2 }),
    ]),
    summary: "2 ops run as 1 step",
  };
  const groups = [{ id: 7, members: [1, 2], nodes: [1, 2], label: "exp + sum" }];
  view.receive({ kind: "optimised", record: after, groups } as never, []);
  expect(shadow().querySelector(".strip")!.textContent).toBe("2 ops run as 1 step");
  expect(labels()[0]).toContain("scope net/step 7: exp + sum");
  click(box("exp"));
  expect(tip().textContent).toContain("step 7 computes exp + sum in one pass");
  expect(channel.sent.at(-1)).toEqual({ kind: "select", nodes: [1, 2] });
  click(box("input"));
  expect(channel.sent.at(-1)).toEqual({ kind: "select", nodes: [0] });
  button("Optimised").click();
  expect(labels()).toHaveLength(3);
  // It is in the page now: the kernel may go.
  channel.die();
  expect(button("Optimised").disabled).toBe(false);
});

test("a graph that has not run says so instead of showing nothing", () => {
  show(chain(), { has_optimised: true });
  button("Optimised").click();
  view.receive({ kind: "optimised", text: "The graph has not run yet." }, []);
  expect(shadow().querySelector("[aria-live]")!.textContent).toBe("The graph has not run yet.");
  expect(labels()).toHaveLength(3);
});

test("changes since the version before", () => {
  show(chain(), {
    diff: {
      added: [2],
      removed: [node(9, "mean", [], { name: "m" })],
      changed: [{ id: 1, was: "log(x)" }],
    },
  });
  expect(all(".badge-text")).toHaveLength(0);
  button("Changes").click();
  expect(all(".badge-text").map((b) => b.textContent)).toEqual(["changed", "new"]);
  expect(shadow().querySelector(".strip")!.textContent).toContain(
    "1 new, 1 changed, 1 gone: m = mean",
  );
  click(box("exp"));
  expect(tip().textContent).toContain("was log(x)");
});

test("errors stand above the partial graph, stale inputs beside its name", () => {
  const record = chain();
  record.nodes[2].failed = true;
  show(record, {
    error: {
      type: "ShapeError",
      message: "matmul: no.",
      line: 3,
      source: "y = a @ b",
      names: [["a", "f32[2]"]],
    },
  });
  expect(shadow().querySelector(".strip.error")!.textContent).toBe(
    "ShapeError matmul: no.line 3: y = a @ baf32[2]",
  );
  expect(box("sum").querySelector(".failed")).not.toBeNull();
  expect(shadow().querySelector("footer")!.textContent).not.toContain("reduction");
  view.receive({ kind: "stale", text: "stale: x was bound anew" }, []);
  expect(shadow().querySelector(".stale")!.textContent).toBe("stale: x was bound anew");
});

test("without a kernel scopes and search go on, and the rest says why not", () => {
  show(large(300), { has_optimised: true });
  channel.die();
  expect((shadow().querySelector(".gone") as HTMLElement).hidden).toBe(false);
  expect(button("Optimised").disabled).toBe(true);
  const count = all(".box").length;
  button("Open all scopes").click();
  expect(all(".box").length).toBeGreaterThan(count);
});

test("thousands of visible items go onto a canvas, with one button for the focus", () => {
  const nodes = Array.from({ length: 1200 }, (_, i) =>
    node(i, i % 2 ? "exp" : "log", i ? [i - 1] : [], { scope: `s${i % 40}` }),
  );
  show(recordOf(nodes));
  button("Open all scopes").click();
  expect(shadow().querySelector("canvas")).not.toBeNull();
  press("End");
  const proxy = shadow().querySelector(".proxy")!;
  expect(shadow().activeElement).toBe(proxy);
  expect(proxy.getAttribute("aria-label")).toMatch(/^(exp|log)/);
  button("Close all scopes").click();
  expect(shadow().querySelector("canvas")).toBeNull();
});

test("nothing from a record becomes markup", async () => {
  const evil = recordOf(
    [
      node(0, "input", [], {
        kind: "input",
        name: HOSTILE,
        scope: HOSTILE,
        cell: HOSTILE,
        exec: 1,
      }),
      node(1, HOSTILE, [0], {
        name: HOSTILE,
        spec: HOSTILE,
        dtype: HOSTILE,
        scope: HOSTILE,
        cell: HOSTILE,
        device: HOSTILE,
        attrs: { [HOSTILE]: HOSTILE },
      }),
      node(2, HOSTILE, [1], { name: HOSTILE, scope: HOSTILE }),
    ],
    {
      name: HOSTILE,
      stale: HOSTILE,
      nonfinite: { text: HOSTILE },
      stats: { recompiled: HOSTILE },
      error: {
        type: HOSTILE,
        message: HOSTILE,
        source: HOSTILE,
        line: 1,
        names: [[HOSTILE, HOSTILE]],
      },
      diff: {
        added: [],
        removed: [node(5, HOSTILE, [], { name: HOSTILE })],
        changed: [{ id: 1, was: HOSTILE }],
      },
    },
  );
  show(evil);
  button("Changes").click();
  for (const each of all(".box.is-node")) {
    click(each);
    for (const link of tip().querySelectorAll("a"))
      expect(link.getAttribute("href")).toMatch(/^#cell-id=[\w%.'()!*~-]*$/);
  }
  type(HOSTILE);
  press("Enter", input());
  expect(shadow().querySelectorAll("img, script, [onerror], [onload]")).toHaveLength(0);
  expect(shadow().querySelector("h3")!.textContent).toBe(HOSTILE);
  const document_ = new DOMParser().parseFromString(await saved("SVG drawing"), "image/svg+xml");
  expect(document_.querySelector("parsererror")?.textContent).toBeUndefined();
  expect(document_.querySelector("img, script")).toBeNull();
});

test("a packed record, its absent fields and what few nodes have", () => {
  const strings = ["input", "x", "f32[2]", "f32", "input", "", "[2]", "add"];
  const count = 2;
  // A number stands for a column that has but one; other columns have 1, 2 or 4 bytes a number.
  const given: (number | [number, ...number[]])[] = [
    [1, 0, 7],
    -1,
    [1, 1, -1],
    2,
    3,
    -1,
    [2, 4, -1],
    5,
    -1,
    6,
    -1,
    [1, 10, 11],
    [4, -1, 70_000],
    [2, -1, 7],
    -1,
    [1, 0, 1],
    [1, 0, 2],
    [1, 0, 1],
    [1, 1, 2],
    10,
  ];
  const columns = given.map((one) => (typeof one === "number" ? [0, one] : [one[0]]));
  const bytes = given.flatMap((one) => {
    if (typeof one === "number") return [];
    const [width, ...numbers] = one;
    const kind = { 1: Int8Array, 2: Int16Array, 4: Int32Array }[width as 1 | 2 | 4];
    return [...new Uint8Array(new kind(numbers).buffer)];
  });
  const packed = { count, strings, reals: [8, null, 2.5], columns, more: { 1: { alarm: "NaN" } } };
  // The buffer lies somewhere in a message, at an odd place.
  const message = new Uint8Array([0, 0, 0, ...bytes]);
  const record = readRecord({ kind: "state", record: { name: "p", packed } }, [
    new DataView(message.buffer, 3),
  ])!;
  expect(record.nodes[0]).toMatchObject({
    id: 10,
    op: "input",
    name: "x",
    kind: "input",
    shape: [2],
    bytes: 8,
    time_us: null,
    line: null,
    inputs: [],
  });
  expect(record.nodes[1]).toMatchObject({
    id: 11,
    op: "add",
    name: null,
    kind: "op",
    exec: 70_000,
    line: 7,
    failed: true,
    bytes: null,
    inputs: [10, 10],
    time_us: 2.5,
    alarm: "NaN",
  });
  expect(statusLine(record)).toBe("2 nodes");
  expect(statusLine({ ...record, nodes: [] })).toBe(
    "0 nodes: nothing was recorded. Ops on tensors become nodes, such as fb.exp(x) or x * 2",
  );
});

test("an exported page brings its state along", () => {
  const root = document.createElement("div");
  root.className = "flowbook-view flowbook-kind-graph flowbook-id-z";
  root.innerHTML = "<img alt='static'>";
  const state = document.createElement("script");
  state.type = "application/json";
  state.className = "flowbook-state";
  state.textContent = JSON.stringify({ record: large(200) });
  root.append(state);
  document.body.append(root);
  mountStandalone();
  const live = root.querySelector(".flowbook-live")!.shadowRoot!;
  expect(live.querySelectorAll(".box").length).toBeGreaterThan(3);
  expect(root.querySelector("img")).toBeNull();
  // It is that page already, and there is no kernel to miss.
  const words = [...live.querySelectorAll("button, span")].map((e) => e.textContent!);
  expect(words.filter((w) => /HTML|no kernel/.test(w))).toEqual([]);
});

test("an exported page shows the graph before and after optimisation", () => {
  const root = document.createElement("div");
  root.className = "flowbook-view flowbook-kind-graph flowbook-id-o";
  const state = document.createElement("script");
  state.type = "application/json";
  state.className = "flowbook-state";
  const after = recordOf([node(0, "input", [], { kind: "input", name: "x", origin: 0 })]);
  state.textContent = JSON.stringify({
    record: { ...chain(), has_optimised: true },
    more: [{ kind: "optimised", record: { ...after, summary: "nothing is left" }, groups: [] }],
  });
  root.append(state);
  document.body.append(root);
  mountStandalone();
  const live = root.querySelector(".flowbook-live")!.shadowRoot!;
  const before = live.querySelectorAll(".box").length;
  const toggle = [...live.querySelectorAll("button")].find((b) => b.textContent === "Optimised")!;
  expect([toggle.disabled, toggle.hidden]).toEqual([false, false]);
  toggle.click();
  expect(live.querySelector(".strip")!.textContent).toBe("nothing is left");
  expect(live.querySelectorAll(".box").length).toBeLessThan(before);
  toggle.click();
  expect(live.querySelectorAll(".box").length).toBe(before);
});

test.each(["crowd", "failed", "tower"])("%s: drawn as the kernel arranged it", (name) => {
  const { record, scene, places } = fixture(name);
  const drawing = (): string => all(".drawing")[0].outerHTML;
  const seen = (): string[] => {
    const first = drawing();
    const folded = all(".box.is-scope")[0];
    if (folded) click(folded); // from here on the page arranges by itself
    return [first, drawing()];
  };
  show(record);
  const own = seen();
  view.dispose();
  channel = new FakeChannel();
  host = document.createElement("div");
  document.body.append(host);
  view = new GraphView(host, channel);
  const none = new DataView(new ArrayBuffer(0));
  view.receive({ kind: "state", record, scene } as unknown as Message, [none, places]);
  const number = /-?\d+(\.\d+)?/g;
  seen().forEach((html, i) => {
    expect(html.replace(number, "#")).toBe(own[i].replace(number, "#"));
    const [ours, theirs] = [html, own[i]].map((text) => text.match(number)!.map(Number));
    expect(Math.max(...ours.map((n, k) => Math.abs(n - theirs[k])))).toBeLessThan(0.11);
  });
});
