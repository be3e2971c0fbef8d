// What a hub's model carries: it fetches the front end by a message.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import loader from "../src/loader.js";

class FakeModel {
  readonly sent: unknown[] = [];
  readonly listeners = new Set<(content: unknown) => void>();
  constructor(readonly view = "") {}
  on(_: string, callback: (content: unknown) => void): void {
    this.listeners.add(callback);
  }
  off(_: string, callback: (content: unknown) => void): void {
    this.listeners.delete(callback);
  }
  send(content: unknown): void {
    this.sent.push(content);
  }
  get(): string {
    return this.view;
  }
  say(content: unknown): void {
    for (const listener of [...this.listeners]) listener(content);
  }
}

const CODE = `const note = (word) => globalThis.calls.push(word);
  export default {
    initialize: ({model}) => { note("hub" + model.get()); return () => note("closed"); },
    render: ({el}) => { note("shown " + el); return () => note("taken away"); },
  };`;
let calls: string[];

beforeEach(() => {
  vi.useFakeTimers();
  calls = [];
  Object.assign(globalThis, { calls });
  const url = `data:text/javascript,${encodeURIComponent(CODE)}`;
  Object.assign(URL, { createObjectURL: () => url });
});
afterEach(() => vi.useRealTimers());

test("it returns at once, asks for the code until it comes, and hands over", async () => {
  const model = new FakeModel();
  const close = loader.initialize({ model: model as never })!;
  expect(model.sent).toEqual([{ protocol: 1, kind: "code" }]);
  vi.advanceTimersByTime(300);
  expect(model.sent).toHaveLength(2);
  model.say({ kind: "state", view: "a" });
  model.say({ kind: "code", text: CODE });
  await vi.waitFor(() => expect(calls).toEqual(["hub"]));
  expect(model.listeners.size).toBe(0);
  vi.advanceTimersByTime(60_000);
  expect(model.sent).toHaveLength(2);
  close();
  expect(calls).toEqual(["hub", "closed"]);
});

test("it asks a few times only", () => {
  const model = new FakeModel();
  void loader.initialize({ model: model as never });
  vi.advanceTimersByTime(3_600_000);
  expect(model.sent).toHaveLength(6);
});

test("a kernel that is gone is asked once", () => {
  const model = new FakeModel();
  model.send = () => {
    throw new Error("closed");
  };
  void loader.initialize({ model: model as never });
  expect(vi.getTimerCount()).toBe(0);
});

test("displayed models are rendered, and nothing else", async () => {
  const model = new FakeModel("a");
  expect(loader.initialize({ model: model as never })).toBeUndefined();
  expect(loader.render({ model: new FakeModel() as never })).toBeUndefined();
  expect(model.sent).toHaveLength(0);
  loader.render({ model: model as never, el: "here" as never });
  model.say({ kind: "code", text: CODE });
  await vi.waitFor(() => expect(calls).toEqual(["shown here"]));
});
