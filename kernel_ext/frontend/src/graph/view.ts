// The live view of a graph: what the reader does with it, and how it answers. Drawing, layout,
// search and cards are in files of their own.

import type { Channel, Message, View } from "../channel.js";
import { h } from "../dom.js";
import { currentTheme, followTheme } from "../theme.js";
import { humanBytes, humanTime, thousands } from "../words.js";
import { CanvasRenderer } from "./canvas.js";
import { boxLabel, nodeCard, scopeCard } from "./card.js";
import { download, fileName, pngOf, svgDocument } from "./export.js";
import { Painter, totalsOf } from "./paint.js";
import { type GraphNode, type GraphRecord, type Packed, unpackNodes } from "./record.js";
import { Arrangement, type Box, type Scene } from "./scene.js";
import { search } from "./search.js";
import type { Badge, Drawing, Marks } from "./shapes.js";
import { CSS } from "./style.js";
import { type Renderer, SvgRenderer } from "./svg.js";
import { Toolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";
import { type Arrow, walk } from "./walk.js";

/** More visible items than this are drawn on a canvas. */
const SVG_ITEMS = 1500;
const CARD_DELAY_MS = 120;

/** Names a box from one arrangement to the next. */
const keyOf = (box: Box, scene: Scene): string =>
  box.kind === "node" ? `n${box.ref}` : `s${scene.scopes[box.ref]}`;

/** One line of figures: nodes, memory, times, and why it was compiled again. */
export function statusLine(record: GraphRecord): string {
  const { stats } = record;
  const count = record.nodes.length;
  const parts = [`${thousands(count)} node${count === 1 ? "" : "s"}`];
  if (typeof stats.planned_peak_bytes === "number")
    parts.push(`peak ${humanBytes(stats.planned_peak_bytes)}`);
  for (const key of ["trace", "compile", "run"]) {
    const value = stats[`${key}_ms`];
    if (typeof value === "number") parts.push(`${key} ${humanTime(value * 1000)}`);
  }
  if (stats.recompiled) parts.push(`recompiled: ${stats.recompiled}`);
  return parts.join(" · ");
}

export class GraphView implements View {
  private record: GraphRecord | undefined;
  private shown!: GraphRecord; // the record, or its optimised form
  private optimised: GraphRecord | undefined;
  private members = new Map<number, { label: string; members: number[] }>();
  private arrangement!: Arrangement;
  private scene!: Scene;
  private drawing!: Drawing;
  private nodeOf = new Map<number, number>(); // id -> position
  private boxOfKey = new Map<string, number>();
  private renderer: Renderer | undefined;

  private readonly expanded: Map<string, boolean>;
  private readonly selected = new Set<string>();
  private found: number[] = []; // positions
  private foundAt = -1;
  private focus = -1;
  private hover = -1;
  private current = -1;
  private comparing = false;
  private carded = -1; // the box that the card is about

  private readonly stage = h("div", { class: "stage" });
  private readonly tip = h("div", { class: "tip", role: "tooltip" });
  private readonly strips = h("div");
  private readonly legend = h("footer");
  private readonly live = h("div", { class: "hidden", "aria-live": "polite" });
  private readonly toolbar: Toolbar;
  private readonly viewport: Viewport;
  private readonly shadow: ShadowRoot;
  private cardTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly cleanups: (() => void)[] = [];

  constructor(
    private readonly host: HTMLElement,
    private readonly channel: Channel,
  ) {
    this.expanded = remembered(channel, "expanded", () => new Map<string, boolean>());
    // Keys pressed in here are not shortcuts of the notebook.
    host.setAttribute("data-lm-suppress-shortcuts", "true");
    this.shadow = host.attachShadow({ mode: "open" });
    this.toolbar = new Toolbar({
      search: (query) => this.search(query),
      step: (by) => this.step(by),
      leaveSearch: () => this.focusBox(Math.max(0, this.focus)),
      mode: () => this.repaint(),
      optimised: (on) => this.showOptimised(on),
      compare: (on) => {
        this.comparing = on;
        this.showStrips();
        this.repaint();
      },
      openAll: (open) => this.openAll(open),
      zoom: (by) => this.viewport.zoom(by),
      fit: () => this.viewport.fit(this.scene),
      wide: () => this.fullscreen(),
      save: (form) => void this.save(form),
    });
    this.viewport = new Viewport(this.stage, (t) => {
      this.renderer?.transform(t);
      this.placeCard();
    });
    const style = document.createElement("style");
    style.textContent = CSS;
    const shell = h(
      "div",
      { class: "shell" },
      this.toolbar.header,
      this.toolbar.tools,
      this.strips,
      this.stage,
      this.legend,
    );
    this.tip.hidden = true;
    this.shadow.append(style, shell, this.tip, this.live);
    this.cleanups.push(followTheme(host, () => this.record && this.repaint()));
    this.cleanups.push(channel.onLive((live) => this.toolbar.setLive(live)));
    this.toolbar.setLive(channel.live);
    this.listen();
  }

  receive(message: Message, buffers: DataView[]): void {
    if (message.kind === "state") {
      const record = readRecord(message, buffers);
      if (record) this.load(record);
    } else if (message.kind === "optimised") {
      const record = readRecord(message, buffers);
      if (record) this.loadOptimised(record, message);
      else this.say(String(message.text ?? "There is no optimised form yet: run the graph first."));
    } else if (message.kind === "stale" && this.record) {
      this.record.stale = message.text ? String(message.text) : undefined;
      this.toolbar.describe(this.record, statusLine(this.record));
    } else if (message.kind === "file") {
      download(
        fileName(String(message.name)),
        new Blob([String(message.text)], { type: "text/html" }),
      );
    }
  }

  dispose(): void {
    clearTimeout(this.cardTimer);
    this.renderer?.dispose();
    this.viewport.dispose();
    for (const clean of this.cleanups) clean();
  }

  // ---- what is shown --------------------------------------------------------------------------

  private load(record: GraphRecord): void {
    this.record = record;
    this.optimised = undefined;
    this.toolbar.setOptimised(false);
    this.toolbar.offer(record, this.channel.live);
    this.comparing = this.toolbar.comparing;
    this.toolbar.describe(record, statusLine(record));
    this.show(record);
    this.viewport.show(this.scene);
    this.showStrips();
  }

  private loadOptimised(record: GraphRecord, message: Message): void {
    const groups = (message.groups ?? []) as { id: number; members: number[]; label: string }[];
    this.members = new Map(groups.map(({ id, ...rest }) => [id, rest]));
    this.optimised = { ...this.record!, ...record, error: undefined, diff: undefined };
    if (this.toolbar.optimised) this.showOptimised(true);
  }

  private showOptimised(on: boolean): void {
    if (!this.record) return;
    if (on && !this.optimised) {
      this.channel.send({ kind: "optimised" });
      this.say("Asking for the optimised graph");
      return;
    }
    this.selected.clear();
    this.show(on ? this.optimised! : this.record);
    this.viewport.show(this.scene);
    const count = this.shown.nodes.length;
    const fused = [...this.members.values()].filter((group) => group.members.length > 1).length;
    this.say(
      on
        ? `After optimisation: ${count} nodes, ${fused} of them fused`
        : `As recorded: ${count} nodes`,
    );
    this.showStrips();
  }

  private show(record: GraphRecord): void {
    this.shown = record;
    this.nodeOf = new Map(record.nodes.map((node, i) => [node.id, i]));
    this.arrangement = new Arrangement(record);
    this.focus = this.hover = this.current = -1;
    this.found = search(record.nodes, this.toolbar.query);
    this.arrange("auto");
  }

  /** Arranges and draws anew; `keep` is the key of a box that stays where it is on the screen. */
  private arrange(direction: "auto" | "down" | "right", keep?: string): void {
    const before =
      keep === undefined ? undefined : this.scene?.boxes[this.boxOfKey.get(keep) ?? -1];
    const focusKey = this.focus >= 0 ? keyOf(this.scene.boxes[this.focus], this.scene) : "";
    this.scene = this.arrangement.scene({ expanded: this.expanded, direction });
    this.boxOfKey = new Map(this.scene.boxes.map((box, i) => [keyOf(box, this.scene), i]));
    this.focus = this.boxOfKey.get(focusKey) ?? -1;
    this.hover = this.current = -1;
    this.hideCard();
    const canvas = SvgRenderer.items(this.scene) > SVG_ITEMS;
    if (!this.renderer || this.renderer instanceof CanvasRenderer !== canvas) {
      this.renderer?.dispose();
      this.renderer = canvas ? new CanvasRenderer() : new SvgRenderer();
      this.stage.prepend(this.renderer.element);
    }
    this.repaint();
    this.viewport.content(this.scene);
    const after = keep === undefined ? undefined : this.scene.boxes[this.boxOfKey.get(keep) ?? -1];
    if (before && after) this.viewport.hold(before, after);
    this.renderer.transform(this.viewport.at);
  }

  /** Colours and words anew; places stay. */
  private repaint(): void {
    if (!this.renderer) return;
    const { nodes } = this.shown;
    const totals = totalsOf(this.scene, nodes);
    const painter = new Painter(this.scene, nodes, totals, this.toolbar.mode, currentTheme().dark);
    const badges = this.badges(totals.map((t) => t.nodes));
    const labels = this.scene.boxes.map((box, i) => {
      const badge = badges.get(i);
      return boxLabel(box, this.nodeOfBox(box), badge ? [badge.text] : []);
    });
    this.drawing = { scene: this.scene, painter, badges, labels };
    const focused = this.shadow.activeElement instanceof SVGElement;
    this.renderer.draw(this.drawing);
    this.remark();
    if (focused && this.focus >= 0) this.renderer.focus(this.focus);
    this.legend.replaceChildren(
      ...painter.legend.map(({ label, colour, source }) =>
        h(
          "span",
          { class: "key" },
          h("span", { class: `swatch${source ? " source" : ""}`, style: `--c:${colour}` }),
          label,
        ),
      ),
      ...(this.scene.boxes.some((box) => box.gradients)
        ? [
            h(
              "span",
              { class: "key" },
              h("span", { class: "swatch source", style: "--c:var(--grad)" }),
              "∂ gradient nodes",
            ),
          ]
        : []),
    );
  }

  private badges(nodesOf: number[][]): Map<number, Badge> {
    const badges = new Map<number, Badge>();
    const { diff } = this.record!;
    const added = new Set(this.comparing && diff ? diff.added : []);
    const changed = new Set(this.comparing && diff ? diff.changed.map((c) => c.id) : []);
    const after = this.shown === this.optimised;
    this.scene.boxes.forEach((box, i) => {
      if (box.kind === "frame") return;
      const ids = nodesOf[i].map((n) => this.shown.nodes[n].id);
      const alarm = nodesOf[i].map((n) => this.shown.nodes[n].alarm).find(Boolean);
      const count = (set: Set<number>): number =>
        ids.reduce((sum, id) => sum + (set.has(id) ? 1 : 0), 0);
      const fused = after
        ? Math.max(0, ...ids.map((id) => this.members.get(id)?.members.length ?? 0))
        : 0;
      if (alarm) badges.set(i, { kind: "nan", text: alarm });
      else if (fused > 1 && box.kind === "node")
        badges.set(i, { kind: "fused", text: `fused ${fused}` });
      else if (!after && count(added)) badges.set(i, { kind: "added", text: "new" });
      else if (!after && count(changed)) badges.set(i, { kind: "changed", text: "changed" });
    });
    return badges;
  }

  private showStrips(): void {
    const { error, diff } = this.record!;
    const out: Node[] = [];
    const note = this.record!.nonfinite;
    if (error) {
      const rows = (error.names ?? []).map(([name, spec]) =>
        h("tr", {}, h("td", {}, name), h("td", {}, spec)),
      );
      out.push(
        h(
          "div",
          { class: "strip error" },
          h("b", {}, error.type),
          ` ${error.message}`,
          error.source
            ? h("div", {}, error.line ? `line ${error.line}: ` : "", h("code", {}, error.source))
            : null,
          rows.length ? h("table", {}, h("tbody", {}, ...rows)) : null,
        ),
      );
    }
    if (typeof note === "string" && note) out.push(h("div", { class: "strip error" }, note));
    if (diff && this.comparing && this.shown === this.record) {
      const removed = diff.removed
        .slice(0, 12)
        .flatMap((node) => [" ", h("code", {}, `${node.name ?? `%${node.id}`} = ${node.op}`)]);
      const more = diff.removed.length > 12 ? ` and ${diff.removed.length - 12} more` : "";
      out.push(
        h(
          "div",
          { class: "strip" },
          `Since the version before: ${diff.added.length} new, ${diff.changed.length} changed, ${diff.removed.length} gone`,
          removed.length ? ":" : ".",
          ...removed,
          more,
        ),
      );
    }
    this.strips.replaceChildren(...out);
  }

  // ---- scopes ---------------------------------------------------------------------------------

  /** What is open and closed now stays so, whatever else is opened. */
  private freeze(): void {
    for (const box of this.scene.boxes) {
      if (box.kind !== "node") this.expanded.set(this.scene.scopes[box.ref], box.kind === "frame");
    }
  }

  private toggle(index: number): void {
    const box = this.scene.boxes[index];
    if (box.kind === "node") return;
    const path = this.scene.scopes[box.ref];
    this.freeze();
    this.expanded.set(path, box.kind === "scope");
    this.arrange(this.scene.direction, `s${path}`);
    this.say(`${box.title} ${box.kind === "scope" ? "opened" : "closed"}`);
  }

  private openAll(open: boolean): void {
    for (const path of this.scene.scopes) this.expanded.set(path, open);
    this.arrange(this.scene.direction);
    this.viewport.fit(this.scene);
    this.say(open ? `All ${this.scene.scopes.length} scopes are open` : "All scopes are closed");
  }

  /** Opens scopes until the node at a position has a box of its own; returns that box. */
  private reveal(position: number): number {
    for (let depth = 0; depth < 64; ++depth) {
      const index = this.scene.boxOfNode[position];
      const box = this.scene.boxes[index];
      if (box?.kind !== "scope") return index;
      this.freeze();
      this.expanded.set(this.scene.scopes[box.ref], true);
      this.arrange(this.scene.direction);
    }
    return -1;
  }

  // ---- search ---------------------------------------------------------------------------------

  private search(query: string): void {
    this.found = search(this.shown.nodes, query);
    this.foundAt = -1;
    this.current = -1;
    this.toolbar.count(query ? `${this.found.length}` : "");
    this.remark();
  }

  /** Goes to the next match, opening what hides it. */
  private step(by: number): void {
    const total = this.found.length;
    if (!total) {
      if (this.toolbar.query) this.say("Nothing found");
      return;
    }
    this.foundAt = (this.foundAt + by + (this.foundAt < 0 && by < 0 ? 1 : 0) + total) % total;
    const position = this.found[this.foundAt];
    this.current = this.reveal(position);
    this.focus = this.current;
    this.viewport.bring(this.scene.boxes[this.current]);
    this.remark();
    this.toolbar.count(`${this.foundAt + 1}/${total}`);
    this.say(`${this.foundAt + 1} of ${total}: ${this.drawing.labels[this.current]}`);
    this.showCard(this.current);
  }

  // ---- marks, focus, selection ----------------------------------------------------------------

  private remark(): void {
    const selected = new Set<number>();
    for (const key of this.selected) {
      const box = this.boxOfKey.get(key);
      if (box !== undefined) selected.add(box);
    }
    const marks: Marks = { hover: this.hover, focus: this.focus, selected, current: this.current };
    if (this.toolbar.query) marks.found = new Set(this.found.map((i) => this.scene.boxOfNode[i]));
    this.renderer?.mark(marks);
  }

  private focusBox(index: number): void {
    this.focus = index;
    this.remark();
    this.viewport.bring(this.scene.boxes[index]);
    this.renderer?.focus(index);
    this.showCard(index);
  }

  private select(index: number, more: boolean): void {
    const key = keyOf(this.scene.boxes[index], this.scene);
    const had = this.selected.has(key);
    if (!more) this.selected.clear();
    if (had) this.selected.delete(key);
    else this.selected.add(key);
    this.focus = index;
    this.tellSelection();
  }

  private tellSelection(): void {
    const ids: number[] = [];
    for (const key of this.selected) {
      const box = this.boxOfKey.get(key);
      if (box === undefined) continue;
      const own = this.scene.boxes[box];
      if (own.kind === "node") ids.push(own.ref);
      else for (const i of this.drawing.painter.totals[box].nodes) ids.push(this.shown.nodes[i].id);
    }
    // Ids of the optimised form mean nothing to the recorded graph.
    const recorded =
      this.shown === this.record ? ids : ids.flatMap((id) => this.members.get(id)?.members ?? []);
    this.channel.send({ kind: "select", nodes: recorded });
    this.remark();
  }

  private nodeOfBox(box: Box): GraphNode | undefined {
    return box.kind === "node" ? this.shown.nodes[this.nodeOf.get(box.ref)!] : undefined;
  }

  // ---- the card -------------------------------------------------------------------------------

  private showCard(index: number): void {
    clearTimeout(this.cardTimer);
    const box = this.scene.boxes[index];
    if (!box) return;
    const totals = this.drawing.painter.totals[index];
    const node = this.nodeOfBox(box);
    const content = node
      ? nodeCard(node, box, totals, {
          node: (id) => this.shown.nodes[this.nodeOf.get(id) ?? -1],
          notes: (id) => this.notes(id),
        })
      : scopeCard(box, this.scene.scopes[box.ref], totals);
    this.tip.replaceChildren(...content);
    this.tip.hidden = false;
    this.carded = index;
    this.placeCard();
  }

  private placeCard(): void {
    const box = this.scene?.boxes[this.carded];
    if (this.tip.hidden || !box) return;
    const { left, top } = this.viewport.beside(box, this.tip, this.host);
    this.tip.style.left = `${left}px`;
    this.tip.style.top = `${top}px`;
  }

  private notes(id: number): string[] {
    const notes: string[] = [];
    const group = this.shown === this.optimised ? this.members.get(id) : undefined;
    if (group) {
      const names = group.members.map((m) => {
        const node = this.record!.nodes.find((n) => n.id === m);
        return node ? node.name || node.op : `%${m}`;
      });
      notes.push(
        `${group.label || "stands for"}: ${names.slice(0, 12).join(", ")}${names.length > 12 ? " …" : ""}`,
      );
    }
    const changed = this.comparing
      ? this.record!.diff?.changed.find((c) => c.id === id)
      : undefined;
    if (changed) notes.push(`was ${changed.was}`);
    return notes;
  }

  private hideCard(): void {
    clearTimeout(this.cardTimer);
    this.tip.hidden = true;
  }

  // ---- input ----------------------------------------------------------------------------------

  private listen(): void {
    const { stage } = this;
    stage.addEventListener("pointermove", (event) => {
      if (this.viewport.moving) return;
      const index = this.renderer?.boxAt(event) ?? -1;
      if (index === this.hover) return;
      this.hover = index;
      stage.style.cursor = index >= 0 ? "pointer" : "";
      this.remark();
      clearTimeout(this.cardTimer);
      const scope = index >= 0 && this.scene.boxes[index].kind === "frame";
      this.cardTimer = setTimeout(
        () => (index >= 0 && !scope ? this.showCard(index) : this.hideCard()),
        CARD_DELAY_MS,
      );
    });
    const leave = (): void => {
      this.hover = -1;
      this.remark();
      clearTimeout(this.cardTimer);
      this.cardTimer = setTimeout(() => this.hideCard(), 2 * CARD_DELAY_MS);
    };
    stage.addEventListener("pointerleave", leave);
    this.tip.addEventListener("pointerenter", () => clearTimeout(this.cardTimer));
    this.tip.addEventListener("pointerleave", leave);
    stage.addEventListener("click", (event) => {
      if (this.viewport.dragged) return;
      const index = this.renderer?.boxAt(event) ?? -1;
      if (index < 0) this.clearSelection();
      else this.press(index, event.shiftKey || event.ctrlKey || event.metaKey);
    });
    stage.addEventListener("focusin", (event) => {
      const element = event.target;
      if (!(element instanceof SVGElement) || element.dataset.i === undefined) return;
      const index = Number(element.dataset.i);
      if (index !== this.focus) {
        this.focus = index;
        this.remark();
      }
    });
    stage.addEventListener("keydown", (event) => this.key(event));
  }

  /** Click or Enter on a box: scopes open and close, nodes are selected. */
  private press(index: number, more: boolean): void {
    this.focus = index;
    if (this.scene.boxes[index].kind === "node" || more) {
      this.select(index, more);
      this.renderer?.focus(index);
      this.showCard(index);
    } else {
      this.toggle(index);
      if (this.focus >= 0) this.renderer?.focus(this.focus);
    }
  }

  private clearSelection(): void {
    const had = this.selected.size > 0;
    this.selected.clear();
    this.hideCard();
    this.current = -1;
    if (had) this.tellSelection();
    else this.remark();
  }

  private key(event: KeyboardEvent): void {
    if (event.altKey || (event.ctrlKey && event.key !== "Enter") || event.metaKey) return;
    const at = Math.max(0, this.focus);
    switch (event.key) {
      case "ArrowUp":
      case "ArrowDown":
      case "ArrowLeft":
      case "ArrowRight":
        this.focusBox(this.focus < 0 ? 0 : walk(this.scene, at, event.key as Arrow));
        break;
      case "Home":
        this.focusBox(0);
        break;
      case "End":
        this.focusBox(this.scene.boxes.length - 1);
        break;
      case "Enter":
      case " ":
        this.press(at, event.shiftKey || event.ctrlKey);
        break;
      case "Backspace": {
        const { frame } = this.scene.boxes[at];
        if (frame >= 0) this.press(frame, false);
        break;
      }
      case "+":
      case "=":
        this.viewport.zoom(1.25);
        break;
      case "-":
        this.viewport.zoom(0.8);
        break;
      case "0":
        this.viewport.fit(this.scene);
        break;
      case "/":
        this.toolbar.focusSearch();
        break;
      case "Escape":
        this.clearSelection();
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private fullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.host.requestFullscreen?.();
  }

  private async save(form: "svg" | "png" | "html"): Promise<void> {
    const name = fileName(this.record?.name || "graph");
    if (form === "html") {
      this.channel.send({ kind: "export", format: "html" });
      return;
    }
    const made = svgDocument(
      this.drawing,
      this.shown.name || "graph",
      statusLine(this.shown),
      this.host,
    );
    try {
      const blob =
        form === "svg" ? new Blob([made.text], { type: "image/svg+xml" }) : await pngOf(made);
      download(`${name}.${form}`, blob);
      this.say(`Saved ${name}.${form}`);
    } catch (error) {
      this.say(`Not saved: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** For screen readers, and for the toolbar's quiet line. */
  private say(words: string): void {
    this.live.textContent = words;
  }
}

function remembered<T>(channel: Channel, name: string, make: () => T): T {
  const known = channel.memory.get(name) as T | undefined;
  if (known !== undefined) return known;
  const fresh = make();
  channel.memory.set(name, fresh);
  return fresh;
}

/** A record from a message: its nodes are packed, or plain in exported pages. */
export function readRecord(message: Message, buffers: DataView[]): GraphRecord | undefined {
  const record = message.record as (GraphRecord & { packed?: Packed }) | undefined;
  if (!record || typeof record !== "object") return undefined;
  const { packed, ...rest } = record;
  const nodes = packed ? unpackNodes(packed, buffers[0], buffers[1]) : record.nodes;
  return {
    ...rest,
    stats: rest.stats ?? {},
    outputs: rest.outputs ?? [],
    assignments: rest.assignments ?? [],
    nodes,
  };
}
