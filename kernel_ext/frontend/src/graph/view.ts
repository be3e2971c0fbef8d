// The live view of a graph: what the reader does with it, and how it answers. Drawing, layout,
// search and cards are in files of their own.

import type { Channel, Message, View } from "../channel.js";
import { h } from "../dom.js";
import { currentTheme, followTheme } from "../theme.js";
import { badgesOf } from "./badges.js";
import { CanvasRenderer } from "./canvas.js";
import { boxLabel, nodeCard, scopeCard } from "./card.js";
import { download, type Form, fileName, saveDrawing } from "./export.js";
import { listenToKeys } from "./keys.js";
import { legendKeys, statusLine, strips } from "./notes.js";
import { type Group, Optimised } from "./optimised.js";
import { Painter, totalsOf } from "./paint.js";
import { type Diff, type GraphNode, type GraphRecord, readRecord } from "./record.js";
import { Arrangement, type Box, readScene, type Scene } from "./scene.js";
import { search } from "./search.js";
import type { Drawing, Marks } from "./shapes.js";
import { CSS } from "./style.js";
import { type Renderer, SvgRenderer } from "./svg.js";
import { Tip } from "./tip.js";
import { Toolbar } from "./toolbar.js";
import { Viewport } from "./viewport.js";
import { walk } from "./walk.js";

/** More visible items than this are drawn on a canvas. */
const SVG_ITEMS = 1500;

/** Names a box from one arrangement to the next. */
const keyOf = (box: Box, scene: Scene): string =>
  box.kind === "node" ? `n${box.ref}` : `s${scene.scopes[box.ref]}`;

export class GraphView implements View {
  #record: GraphRecord | undefined;
  #shown!: GraphRecord; // the record, or its optimised form
  #optimised: Optimised | undefined;
  #arrangement: Arrangement | undefined;
  #scene!: Scene;
  #drawing!: Drawing;
  #nodeOf = new Map<number, number>(); // id -> position
  #boxOfKey = new Map<string, number>();
  #renderer: Renderer | undefined;

  readonly #expanded: Map<string, boolean>;
  readonly #selected = new Set<string>();
  #found: number[] = []; // positions
  #foundAt = -1;
  #focus = -1;
  #hover = -1;
  #current = -1;

  readonly #stage = h("div", { class: "stage" });
  readonly #strips = h("div");
  readonly #legend = h("footer");
  readonly #live = h("div", { class: "hidden", "aria-live": "polite" });
  readonly #toolbar: Toolbar;
  readonly #viewport: Viewport;
  readonly #tip: Tip;
  readonly #shadow: ShadowRoot;
  readonly #cleanups: (() => void)[] = [];

  readonly #host: HTMLElement;
  readonly #channel: Channel;

  constructor(host: HTMLElement, channel: Channel) {
    this.#host = host;
    this.#channel = channel;
    this.#expanded = remembered(channel, "expanded", () => new Map<string, boolean>());
    // Keys pressed in here are not shortcuts of the notebook.
    host.setAttribute("data-lm-suppress-shortcuts", "true");
    this.#shadow = host.attachShadow({ mode: "open" });
    this.#toolbar = new Toolbar(
      {
        search: (query) => this.#search(query),
        step: (by) => this.#step(by),
        leaveSearch: () => this.#focusBox(Math.max(0, this.#focus)),
        mode: () => this.#repaint(),
        optimised: (on) => this.#showOptimised(on),
        compare: () => {
          this.#showStrips();
          this.#repaint();
        },
        openAll: (open) => this.#openAll(open),
        zoom: (by) => this.#viewport.zoom(by),
        fit: () => this.#viewport.fit(this.#scene),
        wide: () => this.#fullscreen(),
        save: (form) => void this.#save(form),
      },
      channel.exported === true,
    );
    this.#viewport = new Viewport(this.#stage, (t) => {
      this.#renderer?.transform(t);
      this.#tip.follow();
    });
    this.#tip = new Tip((box, card) =>
      this.#viewport.beside(box, card, this.#scene.direction === "right"),
    );
    const style = document.createElement("style");
    style.textContent = CSS;
    const shell = h(
      "div",
      { class: "shell" },
      this.#toolbar.header,
      this.#toolbar.tools,
      this.#strips,
      this.#stage,
      this.#legend,
    );
    this.#shadow.append(style, shell, this.#tip.element, this.#live);
    this.#cleanups.push(followTheme(host, () => this.#record && this.#repaint()));
    this.#cleanups.push(channel.onLive((live) => this.#toolbar.setLive(live)));
    this.#toolbar.setLive(channel.live);
    this.#listen();
  }

  receive(message: Message, buffers: DataView[]): void {
    if (message.kind === "state") {
      const record = readRecord(message, buffers);
      if (record) this.#load(record, readScene(message, buffers));
    } else if (message.kind === "optimised") {
      const record = readRecord(message, buffers);
      if (record && this.#record) {
        this.#optimised = new Optimised(this.#record, record, (message.groups ?? []) as Group[]);
        this.#toolbar.knowOptimised(true);
        if (this.#toolbar.optimised) this.#showOptimised(true);
      } else
        this.#say(String(message.text ?? "There is no optimised form yet: run the graph first."));
    } else if (message.kind === "stale" && this.#record) {
      this.#record.stale = message.text ? String(message.text) : undefined;
      this.#toolbar.describe(this.#record, statusLine(this.#record));
    } else if (message.kind === "file") {
      download(
        fileName(String(message.name)),
        new Blob([String(message.text)], { type: "text/html" }),
      );
    }
  }

  dispose(): void {
    this.#tip.hide();
    this.#renderer?.dispose();
    this.#viewport.dispose();
    for (const clean of this.#cleanups) clean();
  }

  // ---- what is shown --------------------------------------------------------------------------

  #load(record: GraphRecord, scene: Scene | undefined): void {
    this.#record = record;
    this.#optimised = undefined;
    this.#toolbar.setOptimised(false);
    this.#toolbar.knowOptimised(false);
    this.#toolbar.offer(record, this.#channel.live);
    this.#toolbar.describe(record, statusLine(record));
    this.#show(record, this.#expanded.size ? undefined : scene);
    this.#viewport.show(this.#scene);
    this.#showStrips();
  }

  #showOptimised(on: boolean): void {
    if (!this.#record) return;
    if (on && !this.#optimised) {
      this.#channel.send({ kind: "optimised" });
      this.#say("Asking for the optimised graph");
      return;
    }
    this.#selected.clear();
    this.#show(on ? this.#optimised!.record : this.#record);
    this.#viewport.show(this.#scene);
    this.#say(on ? this.#optimised!.summary : statusLine(this.#record));
    this.#showStrips();
  }

  /** Shows a record, arranged as it was sent, if it was: the first picture waits for no work here. */
  #show(record: GraphRecord, scene?: Scene): void {
    this.#shown = record;
    this.#nodeOf = new Map(record.nodes.map((node, i) => [node.id, i]));
    this.#arrangement = undefined;
    this.#focus = this.#hover = this.#current = -1;
    this.#found = search(record.nodes, this.#toolbar.query);
    if (!scene) this.#arrange("auto");
    else {
      this.#draw(scene);
      // Done before a scope is opened, where the browser says when it has time.
      globalThis.requestIdleCallback?.(() => this.#arranged());
    }
  }

  #arranged(): Arrangement {
    this.#arrangement ??= new Arrangement(this.#shown);
    return this.#arrangement;
  }

  /** Arranges and draws anew; `keep` is the key of a box that stays where it is on the screen. */
  #arrange(direction: "auto" | "down" | "right", keep?: string): void {
    const before =
      keep === undefined ? undefined : this.#scene?.boxes[this.#boxOfKey.get(keep) ?? -1];
    const focusKey = this.#focus >= 0 ? keyOf(this.#scene.boxes[this.#focus], this.#scene) : "";
    this.#draw(this.#arranged().scene({ expanded: this.#expanded, direction }), focusKey);
    const after =
      keep === undefined ? undefined : this.#scene.boxes[this.#boxOfKey.get(keep) ?? -1];
    if (before && after) this.#viewport.hold(before, after);
    this.#renderer!.transform(this.#viewport.at);
  }

  #draw(scene: Scene, focusKey = ""): void {
    this.#scene = scene;
    this.#boxOfKey = new Map(this.#scene.boxes.map((box, i) => [keyOf(box, this.#scene), i]));
    this.#focus = this.#boxOfKey.get(focusKey) ?? -1;
    this.#hover = this.#current = -1;
    this.#tip.hide();
    const canvas = SvgRenderer.items(this.#scene) > SVG_ITEMS;
    if (!this.#renderer || this.#renderer instanceof CanvasRenderer !== canvas) {
      this.#renderer?.dispose();
      this.#renderer = canvas ? new CanvasRenderer() : new SvgRenderer();
      this.#stage.prepend(this.#renderer.element);
    }
    this.#repaint();
    this.#viewport.content(this.#scene);
    this.#renderer.transform(this.#viewport.at);
  }

  /** Colours and words anew; places stay. */
  #repaint(): void {
    if (!this.#renderer) return;
    const { nodes } = this.#shown;
    const totals = totalsOf(this.#scene, nodes);
    const painter = new Painter(
      this.#scene,
      nodes,
      totals,
      this.#toolbar.mode,
      currentTheme().dark,
    );
    const badges = badgesOf(this.#scene, nodes, totals, this.#diff);
    const labels = this.#scene.boxes.map((box, i) => {
      const badge = badges.get(i);
      return boxLabel(box, this.#nodeOfBox(box), badge ? [badge.text] : []);
    });
    this.#drawing = { scene: this.#scene, painter, badges, labels };
    const focused = this.#shadow.activeElement instanceof SVGElement;
    this.#renderer.draw(this.#drawing);
    this.#remark();
    if (focused && this.#focus >= 0) this.#renderer.focus(this.#focus);
    this.#legend.replaceChildren(
      ...legendKeys(
        painter.legend,
        this.#scene.boxes.some((box) => box.gradients),
      ),
    );
  }

  /** What changed since the version before, if that is shown now. */
  get #diff(): Diff | undefined {
    return this.#toolbar.comparing && this.#shown === this.#record ? this.#shown.diff : undefined;
  }

  #showStrips(): void {
    const { record } = this.#optimised ?? {};
    const summary = this.#shown === record ? this.#optimised!.summary : "";
    this.#strips.replaceChildren(...strips(this.#record!, this.#diff, summary));
  }

  // ---- scopes ---------------------------------------------------------------------------------

  /** What is open and closed now stays so, whatever else is opened. */
  #freeze(): void {
    for (const box of this.#scene.boxes) {
      if (box.kind !== "node")
        this.#expanded.set(this.#scene.scopes[box.ref], box.kind === "frame");
    }
  }

  #toggle(index: number): void {
    const box = this.#scene.boxes[index];
    if (box.kind === "node") return;
    const path = this.#scene.scopes[box.ref];
    this.#freeze();
    this.#expanded.set(path, box.kind === "scope");
    this.#arrange(this.#scene.direction, `s${path}`);
    this.#say(`${box.title} ${box.kind === "scope" ? "opened" : "closed"}`);
  }

  #openAll(open: boolean): void {
    const { scopes } = this.#arranged();
    for (const path of scopes) this.#expanded.set(path, open);
    this.#arrange(this.#scene.direction);
    this.#viewport.show(this.#scene);
    this.#say(open ? `All ${scopes.length} scopes are open` : "All scopes are closed");
  }

  /** Opens scopes until the node at a position has a box of its own; returns that box. */
  #reveal(position: number): number {
    for (let depth = 0; depth < 64; ++depth) {
      const index = this.#scene.boxOfNode[position];
      const box = this.#scene.boxes[index];
      if (box?.kind !== "scope") return index;
      this.#freeze();
      this.#expanded.set(this.#scene.scopes[box.ref], true);
      this.#arrange(this.#scene.direction);
    }
    return -1;
  }

  // ---- search ---------------------------------------------------------------------------------

  #search(query: string): void {
    this.#found = search(this.#shown.nodes, query);
    this.#foundAt = -1;
    this.#current = -1;
    this.#toolbar.count(query ? `${this.#found.length}` : "");
    this.#remark();
  }

  /** Goes to the next match, opening what hides it. */
  #step(by: number): void {
    const total = this.#found.length;
    if (!total) {
      if (this.#toolbar.query) this.#say("Nothing found");
      return;
    }
    this.#foundAt = (this.#foundAt + by + (this.#foundAt < 0 && by < 0 ? 1 : 0) + total) % total;
    const position = this.#found[this.#foundAt];
    this.#current = this.#reveal(position);
    this.#focus = this.#current;
    this.#viewport.bring(this.#scene.boxes[this.#current]);
    this.#remark();
    this.#toolbar.count(`${this.#foundAt + 1}/${total}`);
    this.#say(`${this.#foundAt + 1} of ${total}: ${this.#drawing.labels[this.#current]}`);
    this.#showCard(this.#current);
  }

  // ---- marks, focus, selection ----------------------------------------------------------------

  #remark(): void {
    const selected = new Set<number>();
    for (const key of this.#selected) {
      const box = this.#boxOfKey.get(key);
      if (box !== undefined) selected.add(box);
    }
    const marks: Marks = {
      hover: this.#hover,
      focus: this.#focus,
      selected,
      current: this.#current,
    };
    if (this.#toolbar.query)
      marks.found = new Set(this.#found.map((i) => this.#scene.boxOfNode[i]));
    this.#renderer?.mark(marks);
  }

  #focusBox(index: number): void {
    this.#focus = index;
    this.#remark();
    this.#viewport.bring(this.#scene.boxes[index]);
    this.#renderer?.focus(index);
    this.#showCard(index);
  }

  #select(index: number, more: boolean): void {
    const key = keyOf(this.#scene.boxes[index], this.#scene);
    const had = this.#selected.has(key);
    if (!more) this.#selected.clear();
    if (had) this.#selected.delete(key);
    else this.#selected.add(key);
    this.#focus = index;
    this.#tellSelection();
  }

  #tellSelection(): void {
    const ids: number[] = [];
    for (const key of this.#selected) {
      const box = this.#boxOfKey.get(key);
      if (box === undefined) continue;
      const own = this.#scene.boxes[box];
      if (own.kind === "node") ids.push(own.ref);
      else
        for (const i of this.#drawing.painter.totals[box].nodes) ids.push(this.#shown.nodes[i].id);
    }
    // Ids of the optimised form mean nothing to the recorded graph.
    const recorded = this.#shown === this.#record ? ids : this.#optimised!.recorded(ids);
    this.#channel.send({ kind: "select", nodes: recorded });
    this.#remark();
  }

  #nodeOfBox(box: Box): GraphNode | undefined {
    return box.kind === "node" ? this.#shown.nodes[this.#nodeOf.get(box.ref)!] : undefined;
  }

  // ---- the card -------------------------------------------------------------------------------

  #showCard(index: number): void {
    const box = this.#scene.boxes[index];
    if (!box) return;
    const totals = this.#drawing.painter.totals[index];
    const node = this.#nodeOfBox(box);
    const content = node
      ? nodeCard(node, box, totals, {
          node: (id) => this.#shown.nodes[this.#nodeOf.get(id) ?? -1],
          notes: (id) => this.#notes(id),
        })
      : scopeCard(box, this.#scene.scopes[box.ref], totals);
    this.#tip.show(box, content);
  }

  /** What else a card says of a node: what it runs with, what it was. */
  #notes(id: number): string[] {
    const notes = this.#shown === this.#record ? [] : [this.#optimised!.note(id)];
    const changed = this.#diff?.changed.find((c) => c.id === id);
    if (changed) notes.push(`was ${changed.was}`);
    return notes;
  }

  // ---- input ----------------------------------------------------------------------------------

  #listen(): void {
    const stage = this.#stage;
    let pointer = "";
    stage.addEventListener("pointermove", (event) => {
      if (this.#viewport.moving) return;
      // A drawing that moves under a resting pointer is no reason to let go of the card.
      const at = `${event.clientX} ${event.clientY}`;
      if (at === pointer) return;
      pointer = at;
      const index = this.#renderer?.boxAt(event) ?? -1;
      if (index === this.#hover) return;
      this.#hover = index;
      stage.style.cursor = index >= 0 ? "pointer" : "";
      this.#remark();
      const scope = index >= 0 && this.#scene.boxes[index].kind === "frame";
      this.#tip.soon(() => (index >= 0 && !scope ? this.#showCard(index) : this.#tip.hide()));
    });
    const leave = (): void => {
      pointer = "";
      this.#hover = -1;
      this.#remark();
      this.#tip.leave();
    };
    stage.addEventListener("pointerleave", leave);
    this.#tip.element.addEventListener("pointerleave", leave);
    stage.addEventListener("click", (event) => {
      if (this.#viewport.dragged) return;
      const index = this.#renderer?.boxAt(event) ?? -1;
      if (index < 0) this.#clearSelection();
      else this.#press(index, event.shiftKey || event.ctrlKey || event.metaKey);
    });
    stage.addEventListener("focusin", (event) => {
      const element = event.target;
      if (!(element instanceof SVGElement) || element.dataset.i === undefined) return;
      const index = Number(element.dataset.i);
      if (index !== this.#focus) {
        this.#focus = index;
        this.#remark();
      }
    });
    listenToKeys(stage, {
      walk: (arrow) => this.#focusBox(this.#focus < 0 ? 0 : walk(this.#scene, this.#focus, arrow)),
      go: (last) => this.#focusBox(last ? this.#scene.boxes.length - 1 : 0),
      press: (more) => this.#press(Math.max(0, this.#focus), more),
      leave: () => {
        const { frame } = this.#scene.boxes[Math.max(0, this.#focus)];
        if (frame >= 0) this.#press(frame, false);
      },
      zoom: (by) => this.#viewport.zoom(by),
      fit: () => this.#viewport.fit(this.#scene),
      search: () => this.#toolbar.focusSearch(),
      letGo: () => this.#clearSelection(),
    });
  }

  /** Click or Enter on a box: scopes open and close, nodes are selected. */
  #press(index: number, more: boolean): void {
    this.#focus = index;
    if (this.#scene.boxes[index].kind === "node" || more) {
      this.#select(index, more);
      this.#renderer?.focus(index);
      this.#showCard(index);
    } else {
      this.#toggle(index);
      if (this.#focus >= 0) this.#renderer?.focus(this.#focus);
    }
  }

  #clearSelection(): void {
    const had = this.#selected.size > 0;
    this.#selected.clear();
    this.#tip.hide();
    this.#current = -1;
    if (had) this.#tellSelection();
    else this.#remark();
  }

  #fullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.#host.requestFullscreen?.();
  }

  async #save(form: Form): Promise<void> {
    if (form === "html") this.#channel.send({ kind: "export", format: "html" });
    else this.#say(await saveDrawing(form, this.#drawing, this.#shown, this.#host));
  }

  /** For screen readers, and for the toolbar's quiet line. */
  #say(words: string): void {
    this.#live.textContent = words;
  }
}

function remembered<T>(channel: Channel, name: string, make: () => T): T {
  const known = channel.memory.get(name) as T | undefined;
  if (known !== undefined) return known;
  const fresh = make();
  channel.memory.set(name, fresh);
  return fresh;
}
