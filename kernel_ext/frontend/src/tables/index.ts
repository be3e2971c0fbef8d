// Profiles and memory: views that the kernel writes as HTML, the same that a saved notebook keeps
// (every word in it is escaped there). Here its tables sort and filter, pictures can be stretched,
// and what the notebook itself holds is freed by a click. State is {html}; it may come again at any
// time, and sorting and filter stay. The memory's also carries {course}, which is drawn here.
//
// In the open shadow root of `.flowbook-live > .fb-tables-host`: input .fb-filter, buttons .fb-wider and
// .fb-narrower (profile), .fb-free[data-what] and .fb-course (memory), .fb-body with the tables.

import { type Channel, type Message, registerView, type View } from "../channel.js";
import { h } from "../dom.js";
import { followTheme, THEME_CSS } from "../theme.js";
import { COURSE_CSS, CourseChart } from "./chart.js";

const UNITS: Record<string, number> = { kB: 1e3, MB: 1e6, GB: 1e9, ms: 1e3, s: 1e6 };
const SVG = "data:image/svg+xml;base64,";
const CSS = `${THEME_CSS}${COURSE_CSS}
:host { box-sizing: border-box; max-width: 930px; padding: 12px 14px; background: var(--bg); border: 1px solid var(--rim); border-radius: 10px; }
/* A shadow at an edge behind which there is more. */
.fb-body [style*="overflow:auto"] { background: linear-gradient(90deg, var(--bg) 40%, transparent) 0 / 30px 100% local, linear-gradient(270deg, var(--bg) 40%, transparent) 100% / 30px 100% local, linear-gradient(90deg, #7779, transparent) 0 / 12px 100%, linear-gradient(270deg, #7779, transparent) 100% / 12px 100%; background-repeat: no-repeat; }
.fb-body svg { min-width: 700px; }
.fb-body .k { fill: var(--soft); }
:host([data-contrast="more"]) g > rect { fill: color-mix(in srgb, var(--c) 55%, #000); }
th, td { text-align: right; padding: 1px 14px 1px 0; white-space: nowrap; }
.fb-tools { display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: 6px; }
.fb-tools > *, th button { font: 12px var(--sans); color: var(--ink); }
.fb-tools > * { background: var(--card); border: 1px solid var(--rim); border-radius: 4px; padding: 1px 8px; min-width: 0; }
th button { all: unset; cursor: pointer; font-weight: 600; }
:focus-visible { outline: 2px solid var(--focus); }
tbody tr:hover { background: var(--hover); }
:host([data-contrast="more"]) tbody tr:hover { background: none; outline: 1px solid var(--rim); }
a { color: var(--accent); }
`;

/** What a cell sorts by: "1.05 MB" and "±3 µs" as numbers, other words as text. */
export function sortKey(text: string): number | string {
  const found = /^[+±]?(-?[\d.,]+(?:e[+-]?\d+)?)\s*(\S*)/.exec(text.trim());
  if (!found) return text.trim();
  const number = Number(found[1].replaceAll(",", ""));
  return Number.isNaN(number) ? text.trim() : number * (UNITS[found[2]] ?? 1);
}

/** Sorts the rows of a table by a column; numbers stand before words, equal rows keep their order. */
export function sortRows(body: HTMLElement, column: number, down: boolean): void {
  const key = (row: Element): number | string => sortKey(row.children[column]?.textContent ?? "");
  const rows = Array.from(body.children).map((row) => ({ row, key: key(row) }));
  const sign = down ? -1 : 1;
  rows.sort(({ key: a }, { key: b }) => {
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * String(a).localeCompare(String(b));
  });
  body.append(...rows.map(({ row }) => row));
}

class TablesView implements View {
  readonly #body = h("div", { class: "fb-body" });
  readonly #filter = h("input", {
    type: "search",
    class: "fb-filter",
    placeholder: "filter",
    "aria-label": "filter rows",
    oninput: () => this.#arrange(),
  });
  readonly #buttons: HTMLButtonElement[] = [];
  readonly #chart = new CourseChart();
  readonly #ends: (() => void)[];
  /** By number of the table: column and direction. */
  readonly #order = new Map<number, [number, boolean]>();
  #width = 1;

  constructor(root: HTMLElement, channel: Channel, kind: string) {
    const button = (name: string, text: string, onclick: () => void, what?: string): void => {
      this.#buttons.push(
        h("button", { type: "button", class: name, "data-what": what, onclick }, text),
      );
    };
    if (kind === "memory") {
      for (const what of ["outputs", "tracebacks", "caches"])
        button("fb-free", `Free ${what}`, () => channel.send({ kind: "free", what }), what);
    } else {
      button("fb-wider", "wider", () => this.#stretch(2));
      button("fb-narrower", "narrower", () => this.#stretch(0.5));
    }
    // Keys typed here are not the notebook's shortcuts.
    const host = h("div", { class: "fb-tables-host", "data-lm-suppress-shortcuts": "true" });
    root.append(host);
    host
      .attachShadow({ mode: "open" })
      .append(
        h("style", {}, CSS),
        h("div", { class: "fb-tools" }, this.#filter, ...this.#buttons),
        this.#chart.element,
        this.#body,
      );
    const live = (now: boolean): void => {
      for (const each of this.#buttons) each.disabled = kind === "memory" && !now;
    };
    this.#ends = [followTheme(host), channel.onLive(live)];
  }

  receive(message: Message): void {
    if (message.kind !== "state" || typeof message.html !== "string") return;
    const open = this.#details().map((element) => element.open);
    const focus = this.#stops().findIndex((element) => element.matches(":focus"));
    this.#chart.show(message.course);
    this.#body.innerHTML = message.html;
    this.#details().forEach((element, i) => {
      element.open = open[i] ?? element.open;
    });
    for (const image of this.#body.querySelectorAll("img")) {
      if (!image.src.startsWith(SVG)) continue;
      const frame = h("span", { role: "img", "aria-label": image.alt });
      const bytes = Uint8Array.from(atob(image.src.slice(SVG.length)), (c) => c.charCodeAt(0));
      frame.innerHTML = new TextDecoder().decode(bytes); // inside the page, so that bars have tips
      image.replaceWith(frame);
    }
    this.#tables().forEach((table, i) => {
      table.querySelectorAll("th").forEach((head, column) => {
        if (!head.textContent) return;
        const text = head.textContent;
        const sort = (): void => {
          const [last, down] = this.#order.get(i) ?? [-1, false];
          this.#order.set(i, [column, last === column ? !down : true]);
          this.#arrange();
        };
        head.replaceChildren(h("button", { type: "button", onclick: sort }, text));
      });
    });
    this.#arrange();
    this.#stretch(1);
    this.#stops()[focus]?.focus();
  }

  dispose(): void {
    for (const end of this.#ends) end();
  }

  #tables(): HTMLTableElement[] {
    return Array.from(this.#body.querySelectorAll("table"));
  }

  /** Where Tab stops in what is replaced. */
  #stops(): HTMLElement[] {
    return Array.from(this.#body.querySelectorAll("button, summary, a"));
  }

  #details(): HTMLDetailsElement[] {
    return Array.from(this.#body.querySelectorAll("details"));
  }

  #stretch(factor: number): void {
    this.#width = Math.min(64, Math.max(1, this.#width * factor));
    for (const picture of this.#body.querySelectorAll("svg")) {
      const width = picture.viewBox?.baseVal?.width ?? 0;
      if (width) picture.setAttribute("width", String(width * this.#width));
      picture.style.maxWidth = this.#width > 1 ? "" : "100%";
      picture.setAttribute("preserveAspectRatio", "none");
    }
  }

  #arrange(): void {
    const wanted = this.#filter.value.trim().toLowerCase();
    this.#tables().forEach((table, i) => {
      const body = table.tBodies[0];
      const [column, down] = this.#order.get(i) ?? [-1, false];
      if (column >= 0) sortRows(body, column, down);
      table.querySelectorAll("th").forEach((head, k) => {
        if (k === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      for (const row of body.rows) row.hidden = !row.textContent!.toLowerCase().includes(wanted);
    });
  }
}

for (const kind of ["memory", "profile"])
  registerView(kind, (root, channel) => new TablesView(root, channel, kind));
