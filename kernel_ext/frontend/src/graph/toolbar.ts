// The controls above the drawing: search, colours, versions, zoom, export.

import { h, s } from "../dom.js";
import type { Form } from "./export.js";
import { KEYS } from "./keys.js";
import type { Mode } from "./paint.js";
import type { GraphRecord } from "./record.js";

export interface Actions {
  search(query: string): void;
  step(by: number): void;
  leaveSearch(): void;
  mode(mode: Mode): void;
  optimised(on: boolean): void;
  compare(on: boolean): void;
  openAll(open: boolean): void;
  zoom(by: number): void;
  fit(): void;
  wide(): void;
  save(form: Form): void;
}

/** Strokes on a 16 x 16 grid. */
const ICONS = {
  open: "M2.5 2.5h11v11h-11zM8 5.5v5M5.5 8h5",
  close: "M2.5 2.5h11v11h-11zM5.5 8h5",
  out: "M3.5 8h9",
  in: "M3.5 8h9M8 3.5v9",
  fit: "M6 2.5v3.5H2.5M10 2.5v3.5h3.5M13.5 10H10v3.5M2.5 10H6v3.5",
  wide: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
};

export class Toolbar {
  readonly #actions: Actions;
  readonly header: HTMLElement;
  readonly tools: HTMLElement;
  readonly #title = h("h3");
  readonly #stats = h("span", { class: "stats" });
  readonly #stale = h("span", { class: "stale" });
  readonly #gone = h(
    "span",
    { class: "gone", title: "The drawing works; what needs the kernel doesn't." },
    "no kernel",
  );
  readonly #input: HTMLInputElement;
  readonly #counter = h("span", { class: "count", "aria-hidden": "true" });
  readonly #colours: HTMLSelectElement;
  readonly #optimisedButton: HTMLButtonElement;
  #known = false;
  #reachable = false;
  readonly #compareButton: HTMLButtonElement;
  readonly #scopeButtons: HTMLElement;
  readonly #htmlButton: HTMLButtonElement;

  constructor(actions: Actions, exported: boolean) {
    this.#actions = actions;
    this.header = h("header", {}, this.#title, this.#stats, this.#stale, this.#gone);
    this.#input = h("input", {
      class: "search",
      type: "search",
      placeholder: "Search op, name, shape, line…",
      "aria-label": "Search nodes; Enter goes to the next",
      spellcheck: "false",
      oninput: () => actions.search(this.query),
      onkeydown: (event: KeyboardEvent) => this.#searchKey(event),
    });
    this.#colours = h(
      "select",
      { "aria-label": "Colours show", onchange: () => actions.mode(this.mode) },
      ...(["kind", "time", "memory", "dtype", "device"] as const).map((mode) =>
        h("option", { value: mode }, mode),
      ),
    );
    const pressed = (
      label: string,
      title: string,
      act: (on: boolean) => void,
    ): HTMLButtonElement => {
      const button = h("button", { type: "button", "aria-pressed": "false", title }, label);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(on));
        act(on);
      });
      return button;
    };
    this.#optimisedButton = pressed(
      "Optimised",
      "What runs after optimisation: fused and folded nodes",
      (on) => actions.optimised(on),
    );
    this.#compareButton = pressed("Changes", "What differs from the version before", (on) =>
      actions.compare(on),
    );
    const icon = (path: string, label: string, act: () => void): HTMLButtonElement =>
      h(
        "button",
        { type: "button", class: "icon", "aria-label": label, title: label, onclick: act },
        s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: path })),
      );
    this.#scopeButtons = h(
      "span",
      { class: "group" },
      icon(ICONS.open, "Open all scopes", () => actions.openAll(true)),
      icon(ICONS.close, "Close all scopes", () => actions.openAll(false)),
    );
    const item = (form: Form, words: string): HTMLButtonElement =>
      h("button", { type: "button", onclick: () => this.#choose(form) }, words);
    this.#htmlButton = item("html", "Interactive HTML page");
    // An exported page has no kernel to miss, and is that page already.
    if (exported) this.#gone.remove();
    const menu = h(
      "div",
      { class: "menu" },
      item("svg", "SVG drawing"),
      item("png", "PNG picture"),
      exported ? null : this.#htmlButton,
    );
    const keys = h(
      "div",
      { class: "menu keys" },
      ...KEYS.flatMap(([key, words]) => [h("kbd", {}, key), h("span", {}, words)]),
    );
    this.tools = h(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Graph" },
      h("span", { class: "find" }, this.#input, this.#counter),
      h("label", {}, "colour", this.#colours),
      this.#optimisedButton,
      this.#compareButton,
      h("span", { class: "gap" }),
      this.#scopeButtons,
      h(
        "span",
        { class: "group" },
        icon(ICONS.out, "Zoom out", () => actions.zoom(0.8)),
        icon(ICONS.in, "Zoom in", () => actions.zoom(1.25)),
        icon(ICONS.fit, "Fit the drawing", () => actions.fit()),
        icon(ICONS.wide, "Full screen", () => actions.wide()),
      ),
      h("details", {}, h("summary", {}, "Export"), menu),
      h("details", {}, h("summary", { class: "icon", "aria-label": "Keys" }, "?"), keys),
    );
    this.tools.addEventListener("focusout", (event) => this.#closeMenus(event.relatedTarget));
    this.tools.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#closeMenus(null);
    });
  }

  get query(): string {
    return this.#input.value;
  }

  get mode(): Mode {
    return this.#colours.value as Mode;
  }

  get optimised(): boolean {
    return this.#optimisedButton.getAttribute("aria-pressed") === "true";
  }

  get comparing(): boolean {
    return (
      !this.#compareButton.hidden && this.#compareButton.getAttribute("aria-pressed") === "true"
    );
  }

  setOptimised(on: boolean): void {
    this.#optimisedButton.setAttribute("aria-pressed", String(on));
  }

  setLive(live: boolean): void {
    this.#gone.hidden = live;
    this.#htmlButton.disabled = !live;
    this.#reachable = live;
    this.#optimisedButton.disabled = !live && !this.#known;
  }

  /** Whether the optimised form is in the page: then it can be shown without a kernel. */
  knowOptimised(known: boolean): void {
    this.#known = known;
    this.setLive(this.#reachable);
  }

  /** Shows the controls that make sense for a record. */
  offer(record: GraphRecord, live: boolean): void {
    const { nodes, diff } = record;
    const some = (test: (node: GraphRecord["nodes"][number]) => boolean): boolean =>
      nodes.some(test);
    const has: Record<string, boolean> = {
      time: some((node) => node.time_us !== null),
      memory: some((node) => node.bytes !== null),
      device: new Set(nodes.map((node) => node.device).filter(Boolean)).size > 0,
    };
    for (const option of this.#colours.options)
      option.hidden = option.disabled = has[option.value] === false;
    if (this.#colours.selectedOptions[0]?.disabled) this.#colours.value = "kind";
    this.#compareButton.hidden =
      !diff || diff.added.length + diff.removed.length + diff.changed.length === 0;
    this.#optimisedButton.hidden = record.has_optimised !== true;
    this.#scopeButtons.hidden = !some((node) => node.scope !== "") && nodes.length <= 60;
    this.setLive(live);
  }

  describe(record: GraphRecord, stats: string): void {
    this.#title.textContent = record.name || "graph";
    this.#stats.textContent = stats;
    this.#stale.textContent = record.stale ?? "";
    this.#stale.hidden = !record.stale;
  }

  count(words: string): void {
    this.#counter.textContent = words;
  }

  focusSearch(): void {
    this.#input.focus();
    this.#input.select();
  }

  #searchKey(event: KeyboardEvent): void {
    if (event.key === "Enter") this.#actions.step(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape" && this.query) {
      this.#input.value = "";
      this.#actions.search("");
    } else if (event.key === "Escape" || event.key === "ArrowDown") this.#actions.leaveSearch();
    else return;
    event.preventDefault();
  }

  #choose(form: Form): void {
    this.#closeMenus(null);
    this.#actions.save(form);
  }

  #closeMenus(next: EventTarget | null): void {
    for (const details of this.tools.querySelectorAll("details")) {
      if (next instanceof Node && details.contains(next)) continue;
      // What had the focus goes with its menu.
      if (!next && details.open && details.matches(":focus-within"))
        details.querySelector("summary")!.focus();
      details.open = false;
    }
  }
}
