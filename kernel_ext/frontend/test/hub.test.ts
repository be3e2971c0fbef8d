// The hub's way of finding roots and keeping them connected.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Channel, type Message, registerView } from "../src/channel.js";
import { Hub, placeOf } from "../src/hub.js";
import entry from "../src/index.js";

class FakeModel {
  sent: Message[] = [];
  private readonly listeners = new Map<string, Set<(...args: never[]) => void>>();
  constructor(private readonly traits: Record<string, unknown> = {}) {}
  on(event: string, callback: (...args: never[]) => void): void {
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set.add(callback));
  }
  off(event: string, callback?: (...args: never[]) => void): void {
    if (callback) this.listeners.get(event)?.delete(callback);
  }
  send(content: unknown): void {
    this.sent.push(content as Message);
  }
  get(name: string): unknown {
    return this.traits[name];
  }
  answer(content: unknown, buffers: DataView[] = []): void {
    for (const callback of this.listeners.get("msg:custom") ?? [])
      (callback as (...args: unknown[]) => void)(content, buffers);
  }
  fire(event: string): void {
    for (const callback of this.listeners.get(event) ?? []) (callback as () => void)();
  }
  state(view: string, more: object = {}): void {
    this.answer({ protocol: 1, view, kind: "state", ...more });
  }
}

const mounted: { channel: Channel; received: Message[]; disposed: boolean; root: HTMLElement }[] =
  [];
registerView("probe", (root, channel) => {
  const entry = { channel, received: [] as Message[], disposed: false, root };
  mounted.push(entry);
  return {
    receive: (message) => {
      if (message.kind === "explode") throw new Error("no");
      entry.received.push(message);
    },
    dispose: () => {
      entry.disposed = true;
    },
  };
});

/** A notebook's model with one cell whose outputs are these. */
function notebook(...outputs: object[]): { set: ReturnType<typeof vi.fn>; manager: object } {
  const set = vi.fn();
  const cell = {
    outputs: { length: outputs.length, get: (i: number) => ({ toJSON: () => outputs[i] }), set },
  };
  return { set, manager: { context: { model: { cells: [{}, cell] } } } };
}

function root(id = "a", kind = "probe"): HTMLElement {
  const element = document.createElement("div");
  element.className = `flowbook-view flowbook-kind-${kind} flowbook-id-${id}`;
  const picture = document.createElement("img");
  picture.style.display = "inline-block";
  element.append(picture);
  document.body.append(element);
  return element;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

beforeEach(() => {
  mounted.length = 0;
});
const hubs: Hub[] = [];
function hubOf(model: FakeModel): Hub {
  const hub = new Hub(model);
  hubs.push(hub);
  return hub;
}
afterEach(() => {
  for (const hub of hubs.splice(0)) hub.close();
  document.body.replaceChildren();
  vi.useRealTimers();
});

test("a question that got lost is asked again, until it is answered", () => {
  vi.useFakeTimers();
  root("a");
  root("b");
  const model = new FakeModel();
  hubOf(model);
  model.state("b");
  model.sent.length = 0;
  vi.advanceTimersByTime(400);
  expect(model.sent.map((message) => message.view)).toEqual(["a"]);
  model.state("a");
  vi.advanceTimersByTime(60_000);
  expect(model.sent.length).toBe(1);
});

test("a root that no kernel knows is not asked about for ever", () => {
  vi.useFakeTimers();
  root("a");
  const model = new FakeModel();
  hubOf(model);
  vi.advanceTimersByTime(600_000);
  expect(model.sent.length).toBeLessThan(8);
});

test("views learn that their kernel is gone, and the next kernel takes them over", () => {
  root();
  const model = new FakeModel();
  hubOf(model);
  model.state("a");
  const heard: boolean[] = [];
  mounted[0].channel.onLive((live) => heard.push(live));
  model.fire("comm_live_update");
  expect(heard).toEqual([false]);
  const next = new FakeModel();
  hubOf(next);
  next.state("a");
  expect(mounted[0].disposed).toBe(true);
  expect(mounted[1].channel.live).toBe(true);
});

test("a root shown before the model is asked for, and stays static until its state comes", () => {
  const element = root();
  const model = new FakeModel();
  hubOf(model);
  expect(model.sent).toEqual([{ protocol: 1, view: "a", kind: "open" }]);
  expect(mounted).toHaveLength(0);
  expect((element.firstElementChild as HTMLElement).style.display).toBe("inline-block");
  model.state("a", { value: 7 });
  expect(mounted[0].received[0].value).toBe(7);
  expect((element.firstElementChild as HTMLElement).style.display).toBe("none");
});

test("a root shown later is found", async () => {
  const model = new FakeModel();
  hubOf(model);
  const outer = document.createElement("section");
  const element = root("late");
  outer.append(element);
  document.body.append(outer);
  await settle();
  expect(model.sent.map((m) => m.view)).toEqual(["late"]);
});

test("copies of one view ask once and get every message", async () => {
  root();
  root();
  const model = new FakeModel();
  hubOf(model);
  expect(model.sent).toHaveLength(1);
  model.state("a");
  model.answer({ protocol: 1, view: "a", kind: "more" });
  expect(mounted.map((m) => m.received.length)).toEqual([2, 2]);
  root(); // "new view for the output"
  await settle();
  model.state("a");
  expect(mounted.map((m) => m.received.length)).toEqual([3, 3, 1]);
});

test("unknown kinds of views, other protocols and other views are left alone", () => {
  const element = root("a", "unheard-of");
  const model = new FakeModel();
  hubOf(model);
  expect(model.sent).toEqual([]);
  root("b");
  model.answer({ protocol: 2, view: "b", kind: "state" });
  model.answer({ protocol: 1, view: "c", kind: "state" });
  model.answer("nonsense");
  expect(mounted).toHaveLength(0);
  expect(element.children).toHaveLength(1);
});

test("a root that goes away is taken down after a while, one that comes back is not", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const element = root();
  const model = new FakeModel();
  hubOf(model);
  model.state("a");
  element.remove();
  await Promise.resolve();
  await Promise.resolve();
  vi.advanceTimersByTime(1000);
  document.body.append(element);
  await Promise.resolve();
  await Promise.resolve();
  vi.advanceTimersByTime(60_000);
  expect(mounted[0].disposed).toBe(false);
  expect(model.sent).toHaveLength(2); // asked again: it may have missed something
  element.remove();
  await Promise.resolve();
  await Promise.resolve();
  vi.advanceTimersByTime(60_000);
  expect(mounted[0].disposed).toBe(true);
  expect(element.children).toHaveLength(1);
  expect((element.firstElementChild as HTMLElement).style.display).toBe("inline-block");
});

test("what a view keeps in memory is there when its output comes back", async () => {
  const model = new FakeModel();
  hubOf(model);
  root();
  await settle();
  model.state("a");
  mounted[0].channel.memory.set("open", ["layer"]);
  root();
  await settle();
  model.state("a");
  expect(mounted[1].channel.memory.get("open")).toEqual(["layer"]);
});

test("when the kernel goes, views stay; a new kernel takes them over", () => {
  const element = root();
  const model = new FakeModel();
  const hub = hubOf(model);
  model.state("a");
  const seen: boolean[] = [];
  mounted[0].channel.onLive((live) => seen.push(live));
  hub.close();
  expect(seen).toEqual([false]);
  expect(mounted[0].disposed).toBe(false);
  mounted[0].channel.send({ kind: "click" });
  expect(model.sent).toHaveLength(1);

  const next = new FakeModel();
  hubOf(next);
  next.state("a");
  expect(mounted[0].disposed).toBe(true);
  expect(mounted[1].channel.live).toBe(true);
  expect(element.querySelectorAll(".flowbook-live")).toHaveLength(1);
  expect((element.firstElementChild as HTMLElement).style.display).toBe("none");
});

test("two kernels don't fight over one root", () => {
  root();
  const first = new FakeModel();
  const second = new FakeModel();
  hubOf(first);
  hubOf(second);
  first.state("a");
  second.state("a");
  expect(mounted).toHaveLength(1);
});

test("an error of a handler is shown as text and goes with the next state", () => {
  const element = root();
  const model = new FakeModel();
  hubOf(model);
  model.state("a");
  model.answer({ protocol: 1, view: "a", kind: "error", text: "<b>boom</b>" });
  const notice = element.querySelector(".flowbook-notice")!;
  expect(notice.textContent).toBe("<b>boom</b>");
  expect(notice.children).toHaveLength(0);
  model.state("a");
  expect(notice.textContent).toBe("");
});

test("kind and id are read from class names", () => {
  const element = root("4f-2", "probe");
  element.classList.add("jp-more");
  expect(placeOf(element)).toMatchObject({ kind: "probe", id: "4f-2" });
  expect(placeOf(document.createElement("div"))).toBeUndefined();
});

test("the anywidget entry: a hub for pages, a root of its own for displayed widgets", () => {
  root();
  const model = new FakeModel();
  const stop = entry.initialize({ model });
  expect(model.sent).toHaveLength(1);
  expect(entry.render({ model, el: document.createElement("div") })).toBeUndefined();
  stop?.();

  const shown = new FakeModel({ _flowbook_view: "b", _flowbook_kind: "probe" });
  expect(entry.initialize({ model: shown })).toBeUndefined();
  const el = document.createElement("div");
  document.body.append(el);
  const clean = entry.render({ model: shown, el });
  expect(shown.sent).toEqual([{ protocol: 1, view: "b", kind: "open" }]);
  shown.state("b");
  expect(mounted.at(-1)!.channel.id).toBe("b");
  clean?.();
  expect(el.children).toHaveLength(0);
});

test("a model that can no longer send means that the kernel is gone", async () => {
  root();
  const model = new FakeModel();
  const hub = hubOf(model);
  model.state("a");
  model.send = () => {
    throw new Error("Cannot send");
  };
  root("b");
  await settle();
  expect(hub.live).toBe(false);
  expect(mounted[0].channel.live).toBe(false);
});

test("a last picture gets into the notebook, wherever the view shows", () => {
  const html = (id: string, words: string): string =>
    `<div class="flowbook-view flowbook-kind-probe flowbook-id-${id}">${words}</div>`;
  const last = { "text/html": html("a", "finished"), "text/plain": "finished" };
  const { set, manager } = notebook(
    { output_type: "stream", text: "x" },
    { output_type: "display_data", data: { "text/html": html("a", "running"), other: 1 } },
    { output_type: "display_data", data: { "text/html": ["<p>", html("a", "running")] } },
    { output_type: "display_data", data: { "text/html": html("ab", "running") } },
    { output_type: "display_data", data: last },
  );
  const model = Object.assign(new FakeModel(), { widget_manager: manager });
  const hub = new Hub(model);
  model.state("a", { picture: last });
  expect(set.mock.calls.map(([i]) => i)).toEqual([1, 2]);
  expect(set.mock.calls[0][1]).toEqual({
    output_type: "display_data",
    data: { other: 1, ...last },
  });
  hub.close();
});

test("elsewhere there is no notebook to write to", () => {
  const model = new FakeModel();
  const hub = new Hub(model);
  expect(() => model.state("a", { picture: { "text/html": "x" } })).not.toThrow();
  hub.close();
});
