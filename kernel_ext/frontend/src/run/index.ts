// The run view: a training run while it is at work, or several finished ones laid over each other.
//
// For tests and readers of the screen, all in the open shadow root of `.flowbook-live > .fb-run-host`:
//   .fb-run                              the view; .fb-title, .fb-status[data-status]
//   .fb-stop .fb-pause .fb-resume        buttons "Stop", "Pause"/"Resume" (one button, its class and
//   .fb-step .fb-detach                  text change), "Step", "Detach"
//   .fb-rate-slider .fb-rate-field       inputs "learning rate, logarithmic" (value: 100 log10) and
//                                        "learning rate of the next step"
//   .fb-run-notice                       "kernel busy: ...", or why a request was refused
//   .fb-alert                            "the loss is nan from step 12 on"
//   .fb-facts                            dl of "epoch", "step", "step time", "throughput", ...
//   .fb-chart[role=img][aria-label]      the chart in words; .fb-legend-entry[aria-pressed]
//   .fb-moment                           "step 79 · loss 1.234", where the pointer is
//   .fb-by-step .fb-by-epoch             toggle buttons (aria-pressed) beside .fb-log, .fb-smooth
//   select.fb-number                     which number is drawn
//   .fb-marks, .fb-epochs                tables of changes and of epochs, under "numbers"
//   .fb-spoken[aria-live=polite]         a sentence, at most every SPEAK_MS

import { type Channel, type Message, registerView, type View } from "../channel.js";
import { h } from "../dom.js";
import { followTheme } from "../theme.js";
import { general, thousands } from "../words.js";
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { linesOf, type Options } from "./lines.js";
import { RunState } from "./state.js";
import { RUN_CSS } from "./style.js";
import { facts, share, spoken } from "./words.js";

export const SPEAK_MS = 5000;
const LEFT_MS = 2000;
const ROWS = 30; // of the table of epochs

export class RunView implements View {
  readonly #state = new RunState();
  readonly #chart = new Chart();
  readonly #controls: Controls;
  readonly #options: Options;
  readonly #title = h("span", { class: "fb-title" });
  readonly #status = h("span", { class: "fb-status" });
  readonly #facts = h("dl", { class: "fb-facts" });
  readonly #bar = h(
    "div",
    { class: "fb-bar", role: "progressbar", "aria-label": "progress" },
    h("div"),
  );
  readonly #alert = h("div", { class: "fb-alert", role: "alert" });
  readonly #number = h("select", {
    class: "fb-number",
    "aria-label": "number that is drawn",
  });
  readonly #toggles = new Map<string, HTMLButtonElement>();
  readonly #tables = h("div");
  readonly #more = h("details", {}, h("summary", {}, "numbers"), this.#tables);
  readonly #speaker = h("div", {
    class: "fb-spoken",
    "aria-live": "polite",
    role: "status",
  });
  readonly #unfollow: (() => void)[] = [];
  #spokenAt = 0;
  #spokenStatus = "";
  #frame = 0;
  #numbers = "";

  readonly #channel: Channel;
  readonly #shadow: ShadowRoot;
  readonly #section: HTMLElement;

  constructor(root: HTMLElement, channel: Channel) {
    this.#channel = channel;
    this.#controls = new Controls(channel);
    const kept = channel.memory.get("options") as Options | undefined;
    this.#options = kept ?? { number: "loss", by: "step", log: false, smooth: true };
    // Keys typed here are not the notebook's shortcuts.
    const host = h("div", { class: "fb-run-host", "data-lm-suppress-shortcuts": "true" });
    host.addEventListener("keydown", (event) => event.stopPropagation());
    // An output that is made anew takes the focus with it, and tells of that or not.
    host.addEventListener("focusin", () => channel.memory.set("left", Number.POSITIVE_INFINITY));
    host.addEventListener("focusout", () => channel.memory.set("left", Date.now()));
    root.append(host);
    this.#number.addEventListener("change", () => this.#choose({ number: this.#number.value }));
    this.#more.addEventListener("toggle", () => this.#fillTables());
    this.#section = h(
      "section",
      { class: "fb-run", "aria-label": "training run", tabindex: -1 },
      h("div", { class: "fb-head" }, this.#title, this.#status),
      this.#facts,
      this.#bar,
      this.#controls.element,
      this.#controls.notice,
      this.#alert,
      h(
        "div",
        { class: "fb-options" },
        this.#number,
        this.#toggle("fb-by-step", "by step", () => this.#choose({ by: "step" })),
        this.#toggle("fb-by-epoch", "by epoch", () => this.#choose({ by: "epoch" })),
        this.#toggle("fb-log", "log", () => this.#choose({ log: !this.#options.log })),
        this.#toggle("fb-smooth", "smooth", () => this.#choose({ smooth: !this.#options.smooth })),
        this.#chart.legend,
      ),
      this.#chart.element,
      this.#chart.moment,
      this.#more,
      this.#speaker,
    );
    this.#shadow = host.attachShadow({ mode: "open" });
    this.#shadow.append(h("style", {}, RUN_CSS), this.#section);
    this.#unfollow.push(
      followTheme(host, () => this.#chart.refresh()),
      channel.onLive(() => this.#draw()),
    );
  }

  receive(message: Message, buffers: DataView[]): void {
    for (const { id, text } of (message.acks ?? []) as { id: unknown; text: unknown }[])
      this.#controls.acknowledge(id, text);
    if (this.#state.take(message, buffers)) this.#schedule();
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    for (const end of this.#unfollow) end();
    this.#controls.dispose();
    this.#chart.dispose();
  }

  /** Draws with the next frame: messages that come together are drawn once. */
  #schedule(): void {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #toggle(name: string, label: string, onclick: () => void): HTMLButtonElement {
    const button = h("button", { type: "button", class: name, onclick }, label);
    this.#toggles.set(name, button);
    return button;
  }

  #choose(change: Partial<Options>): void {
    Object.assign(this.#options, change);
    this.#channel.memory.set("options", this.#options);
    this.#draw();
  }

  #draw(): void {
    const { runs } = this.#state;
    if (!runs.length) return;
    const many = runs.length > 1;
    const { progress } = runs[0];
    this.#title.textContent = many ? `${runs.length} runs` : `Run ${runs[0].title}`;
    this.#status.hidden = many;
    this.#status.dataset.status = progress.status;
    this.#status.textContent =
      progress.status +
      (progress.reason && progress.status === "stopped" ? `: ${progress.reason}` : "");
    this.#facts.replaceChildren(
      ...(many ? [] : facts(progress)).map(([name, value]) =>
        h("div", {}, h("dt", {}, name), h("dd", {}, value)),
      ),
    );
    this.#drawBar(many ? undefined : share(progress));
    const focused = this.#shadow.activeElement;
    this.#controls.update(progress, this.#state.controls && this.#channel.live && !many);
    // A button that goes, such as Stop of a run that ended, leaves the keyboard where it was; so does
    // the last picture, for which the notebook makes the whole output anew.
    const { memory } = this.#channel;
    const lost = document.activeElement === document.body;
    const soon = Date.now() - Number(memory.get("left") ?? 0) < LEFT_MS;
    if (focused?.closest("[hidden]") || (lost && soon)) this.#section.focus();
    const alert = progress.error || runs[0].marks.filter((m) => m.kind === "alert").pop()?.text;
    const text = many ? "" : (alert ?? "");
    if (this.#alert.textContent !== text) this.#alert.textContent = text;
    this.#drawOptions();
    // Without steps (an old log) there is only the course by epoch.
    const bare = runs.every((run) => !run.curve.length);
    const by = bare || this.#options.number !== "loss" ? "epoch" : this.#options.by;
    const options: Options = { ...this.#options, by };
    this.#chart.show(linesOf(runs, options), many ? [] : runs[0].marks, options);
    if (this.#more.open) this.#fillTables();
    this.#speak();
  }

  #drawBar(part: number | undefined): void {
    this.#bar.hidden = part === undefined || this.#state.ended;
    if (part === undefined) return;
    const percent = Math.round(100 * part);
    (this.#bar.firstChild as HTMLElement).style.width = `${percent}%`;
    this.#bar.setAttribute("aria-valuenow", String(percent));
  }

  #drawOptions(): void {
    const names = this.#state.numbers();
    if (names.join() !== this.#numbers) {
      this.#numbers = names.join();
      this.#number.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
      if (!names.includes(this.#options.number)) this.#options.number = "loss";
    }
    this.#number.value = this.#options.number;
    this.#number.hidden = names.length < 2;
    const { by, log, smooth, number } = this.#options;
    const press = (name: string, yes: boolean, hidden = false): void => {
      const button = this.#toggles.get(name)!;
      button.setAttribute("aria-pressed", yes ? "true" : "false");
      button.hidden = hidden;
    };
    press("fb-by-step", by === "step", number !== "loss");
    press("fb-by-epoch", by === "epoch", number !== "loss");
    press("fb-log", log);
    press("fb-smooth", smooth, number !== "loss" || by === "epoch");
  }

  #fillTables(): void {
    if (!this.#more.open) return;
    this.#tables.replaceChildren(
      ...this.#state.runs.flatMap((run) => {
        const parts: HTMLElement[] = [];
        if (this.#state.runs.length > 1) parts.push(h("b", {}, run.title));
        if (run.marks.length) {
          const rows = run.marks.slice(-ROWS).map((m) => [`step ${thousands(m.step)}`, m.text]);
          parts.push(table("fb-marks", ["when", "what"], rows));
        }
        const names = [...new Set(run.epochs.slice(-ROWS).flatMap((logs) => Object.keys(logs)))];
        const first = run.firstEpoch + Math.max(0, run.epochs.length - ROWS);
        const rows = run.epochs
          .slice(-ROWS)
          .map((logs, i) => [
            String(first + i),
            ...names.map((name) => (logs[name] == null ? "" : general(logs[name], 4))),
          ]);
        if (rows.length) parts.push(table("fb-epochs", ["epoch", ...names], rows));
        else parts.push(h("div", {}, "no epoch is complete yet"));
        return parts;
      }),
    );
  }

  #speak(): void {
    const run = this.#state.runs[0];
    const now = Date.now();
    const fresh = run.progress.status !== this.#spokenStatus;
    if (!fresh && (now - this.#spokenAt < SPEAK_MS || this.#state.ended)) return;
    this.#spokenStatus = run.progress.status;
    this.#spokenAt = now;
    this.#speaker.textContent = spoken(run);
  }
}

function table(name: string, head: string[], rows: string[][]): HTMLElement {
  return h(
    "table",
    { class: name },
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((text) => h("td", {}, text))))),
  );
}

registerView("run", (root, channel) => new RunView(root, channel));
