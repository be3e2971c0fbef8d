// Views written by the kernel: tables that sort and filter, buttons that ask for memory.
import { afterEach, expect, test } from "vitest";
import { type Channel, mountOf } from "../src/channel.js";
import { sortKey, sortRows } from "../src/tables/index.js";

const HTML = `<table><thead><tr><th>name</th><th>bytes</th><th></th></tr></thead><tbody>
<tr><td>w</td><td>1.05 MB</td><td></td></tr><tr><td>b</td><td>900 kB</td><td></td></tr>
<tr><td>x</td><td>12 B</td><td></td></tr></tbody></table><details><summary>more</summary></details>`;

function open(kind: string) {
  const sent: unknown[] = [];
  const root = document.createElement("div");
  document.body.append(root);
  let tell = (_live: boolean): void => {};
  const channel = {
    id: "a",
    live: true,
    memory: new Map(),
    send: (content: unknown) => sent.push(content),
    onLive: (callback: (live: boolean) => void) => {
      tell = callback;
      return () => {};
    },
  } as unknown as Channel;
  const view = mountOf(kind)!(root, channel);
  const shadow = root.querySelector(".fb-tables-host")!.shadowRoot!;
  const names = (): string[] =>
    Array.from(shadow.querySelectorAll("tbody tr"))
      .filter((row) => !(row as HTMLElement).hidden)
      .map((row) => row.children[0].textContent!);
  return { view, shadow, sent, names, tell: (live: boolean) => tell(live) };
}

afterEach(() => document.body.replaceChildren());

test("cells sort by what they mean", () => {
  expect(sortKey("1.05 MB")).toBe(1.05e6);
  expect(sortKey("±3 µs")).toBe(3);
  expect(sortKey("2 ms")).toBe(2000);
  expect(sortKey("17.4%")).toBe(17.4);
  expect(sortKey("-8.39 MB")).toBe(-8.39e6);
  expect(sortKey("1,234")).toBe(1234);
  expect(sortKey("matmul")).toBe("matmul");
});

test("rows keep their order where they are equal", () => {
  const body = document.createElement("tbody");
  body.innerHTML = "<tr><td>b</td><td>1</td></tr><tr><td>a</td><td>1</td></tr>";
  sortRows(body, 1, true);
  expect(Array.from(body.rows).map((row) => row.cells[0].textContent)).toEqual(["b", "a"]);
});

test("headings sort, large numbers first, and say so", () => {
  const { view, shadow, names } = open("memory");
  view.receive({ kind: "state", html: HTML }, []);
  expect(names()).toEqual(["w", "b", "x"]);
  const bytes = shadow.querySelectorAll<HTMLButtonElement>("th button")[1];
  bytes.click();
  bytes.click();
  expect(names()).toEqual(["x", "b", "w"]);
  expect(bytes.parentElement!.getAttribute("aria-sort")).toBe("ascending");
  view.receive({ kind: "state", html: HTML }, []); // news come: the order stays
  expect(names()).toEqual(["x", "b", "w"]);
});

test("the filter stays, too, and what was opened stays open", () => {
  const { view, shadow, names } = open("profile");
  view.receive({ kind: "state", html: HTML }, []);
  const field = shadow.querySelector<HTMLInputElement>(".fb-filter")!;
  field.value = "KB";
  field.dispatchEvent(new Event("input"));
  shadow.querySelector("details")!.open = true;
  view.receive({ kind: "state", html: HTML }, []);
  expect(names()).toEqual(["b"]);
  expect(shadow.querySelector("details")!.open).toBe(true);
});

test("buttons ask the kernel, and are off without one", () => {
  const { view, shadow, sent, tell } = open("memory");
  view.receive({ kind: "state", html: HTML }, []);
  const buttons = shadow.querySelectorAll<HTMLButtonElement>(".fb-free");
  buttons[1].click();
  expect(sent).toEqual([{ kind: "free", what: "tracebacks" }]);
  tell(false);
  expect(buttons[0].disabled).toBe(true);
});

test("pictures become part of the page", () => {
  const { view, shadow } = open("profile");
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 5"><title>µ</title></svg>';
  const data = btoa(String.fromCharCode(...new TextEncoder().encode(svg)));
  const html = `<img alt="timeline" src="data:image/svg+xml;base64,${data}"><img src="x.png">`;
  view.receive({ kind: "state", html }, []);
  expect(shadow.querySelector('[role="img"]')!.getAttribute("aria-label")).toBe("timeline");
  expect(shadow.querySelector("svg title")!.textContent).toBe("µ");
});

test("the memory's course is drawn, and the profile has none", () => {
  const course = {
    history: [
      [0, 1, 1],
      [1, 5, 9],
    ],
    cells: [],
    limit: null,
  };
  const { view, shadow } = open("memory");
  view.receive({ kind: "state", html: HTML, course }, []);
  expect(shadow.querySelector(".fb-course text")!.textContent).toBe("peak 9 B");
  expect(shadow.querySelector<HTMLElement>(".fb-course")!.hidden).toBe(false);
  const profile = open("profile");
  profile.view.receive({ kind: "state", html: HTML }, []);
  expect(profile.shadow.querySelector<HTMLElement>(".fb-course")!.hidden).toBe(true);
});

test("other messages are ignored", () => {
  const { view, shadow } = open("memory");
  view.receive({ kind: "samples" }, []);
  view.receive({ kind: "state" }, []);
  expect(shadow.querySelector(".fb-body")!.textContent).toBe("");
});
