// One level of boxes in layers: arrows run downwards, crossings are few, chains stay straight. The
// same steps, in the same order and the same arithmetic, as csrc/core/layered.cpp, so that a picture
// which is opened further in the page looks as the kernel would have drawn it.

export interface Point {
  x: number;
  y: number;
}

/** A rectangle; `left` and `right` are its extents beside the line at which links attach. */
export interface Item {
  left: number;
  right: number;
  height: number;
  pin: number; // -1: stays in the first layer, +1: in the last one (the ports of a frame)
  spread: boolean; // links meet it side by side instead of in one point
  layer: number;
  x: number;
  y: number;
}

export interface Link {
  from: number;
  to: number;
  fromAt: number;
  toAt: number;
  stub: boolean;
  upwards: boolean;
  first: number;
  count: number;
}

export interface Spacing {
  across: number;
  line: number;
  along: number;
  spread: number;
  longLink: number;
  sweeps: number;
}

export interface Level {
  items: Item[];
  links: Link[];
  points: Point[];
  width: number;
  height: number;
  layers: number;
}

export const newLevel = (): Level => ({
  items: [],
  links: [],
  points: [],
  width: 0,
  height: 0,
  layers: 0,
});

export const newItem = (left: number, right: number, height: number, pin = 0): Item => ({
  left,
  right,
  height,
  pin,
  spread: false,
  layer: 0,
  x: 0,
  y: 0,
});

interface Place {
  layer: number;
  left: number;
  right: number;
  x: number;
  rank: number;
}

interface Step {
  from: number;
  to: number;
  fromAt: number;
  toAt: number;
  pull: number;
}

/** Neighbour lists in one allocation: entries of `place` are [begin[place], begin[place + 1]). */
class Neighbours {
  readonly begin: Int32Array;
  readonly step: Int32Array;
  constructor(places: number, steps: Step[], down: boolean) {
    this.begin = new Int32Array(places + 1);
    this.step = new Int32Array(steps.length);
    const key = (s: Step): number => (down ? s.from : s.to);
    for (const s of steps) ++this.begin[key(s) + 1];
    for (let i = 0; i < places; ++i) this.begin[i + 1] += this.begin[i];
    const next = this.begin.slice(0, places);
    for (let i = 0; i < steps.length; ++i) this.step[next[key(steps[i])]++] = i;
  }
}

const clamp = (value: number, low: number, high: number): number =>
  Math.min(Math.max(value, low), high);

class Arranger {
  readonly #places: Place[] = [];
  #passing = new Int32Array(0); // per link: its first passing point
  readonly #steps: Step[] = [];
  #above!: Neighbours;
  #below!: Neighbours;
  #layers: number[][] = [];
  #source = new Uint8Array(0);

  readonly #level: Level;
  readonly #spacing: Spacing;

  constructor(level: Level, spacing: Spacing) {
    this.#level = level;
    this.#spacing = spacing;
  }

  run(): void {
    if (this.#level.items.length === 0) return;
    this.#orient();
    this.#assignLayers();
    this.#insertPlaces();
    this.#order();
    this.#position();
    this.#finish();
  }

  #head(link: Link): number {
    return link.upwards ? link.to : link.from;
  }
  #tail(link: Link): number {
    return link.upwards ? link.from : link.to;
  }

  /** Turns round the links that close a cycle (scopes that feed each other). */
  #orient(): void {
    const { items, links } = this.#level;
    const n = items.length;
    const begin = new Int32Array(n + 1);
    const out = new Int32Array(links.length);
    for (const l of links) ++begin[l.from + 1];
    for (let i = 0; i < n; ++i) begin[i + 1] += begin[i];
    const next = begin.slice(0, n);
    for (let i = 0; i < links.length; ++i) out[next[links[i].from]++] = i;
    const state = new Uint8Array(n); // 0 new, 1 open, 2 done
    const at = begin.slice(0, n);
    const stack: number[] = [];
    for (let root = 0; root < n; ++root) {
      if (state[root] !== 0) continue;
      stack.push(root);
      state[root] = 1;
      while (stack.length) {
        const u = stack[stack.length - 1];
        if (at[u] === begin[u + 1]) {
          state[u] = 2;
          stack.pop();
          continue;
        }
        const link = links[out[at[u]++]];
        link.upwards = state[link.to] === 1;
        if (state[link.to] === 0) {
          state[link.to] = 1;
          stack.push(link.to);
        }
      }
    }
  }

  #assignLayers(): void {
    const { items, links } = this.#level;
    const n = items.length;
    const waiting = new Int32Array(n);
    const begin = new Int32Array(n + 1);
    const out = new Int32Array(links.length);
    for (const l of links) {
      if (l.from === l.to) continue;
      ++waiting[this.#tail(l)];
      ++begin[this.#head(l) + 1];
    }
    for (let i = 0; i < n; ++i) begin[i + 1] += begin[i];
    const next = begin.slice(0, n);
    for (const l of links) {
      if (l.from !== l.to) out[next[this.#head(l)]++] = this.#tail(l);
    }
    const queue: number[] = [];
    const source = new Uint8Array(n);
    for (let i = 0; i < n; ++i) {
      items[i].layer = 0;
      if (waiting[i] === 0) {
        source[i] = 1;
        queue.push(i);
      }
    }
    for (let i = 0; i < queue.length; ++i) {
      const u = queue[i];
      for (let k = begin[u]; k < begin[u + 1]; ++k) {
        const to = items[out[k]];
        to.layer = Math.max(to.layer, items[u].layer + 1);
        if (--waiting[out[k]] === 0) queue.push(out[k]);
      }
    }
    let last = 0;
    for (const item of items) last = Math.max(last, item.layer);
    // What has no inputs stands right above its first use, not at the top of the picture.
    for (let i = 0; i < n; ++i) {
      const item = items[i];
      if (!source[i] || item.pin !== 0 || begin[i] === begin[i + 1]) continue;
      let use = 0x7fffffff;
      for (let k = begin[i]; k < begin[i + 1]; ++k) use = Math.min(use, items[out[k]].layer);
      item.layer = use - 1;
    }
    for (const item of items) {
      if (item.pin > 0) item.layer = last;
    }
    this.#level.layers = last + 1;
    this.#source = source;
  }

  #insertPlaces(): void {
    const { items, links } = this.#level;
    for (const { layer, left, right } of items)
      this.#places.push({ layer, left, right, x: 0, rank: 0 });
    this.#passing = new Int32Array(links.length + 1).fill(items.length);
    for (let i = 0; i < links.length; ++i) {
      const l = links[i];
      this.#passing[i] = this.#places.length;
      const a = this.#head(l);
      const b = this.#tail(l);
      const span = items[b].layer - items[a].layer;
      l.stub = l.stub || span > this.#spacing.longLink || span <= 0;
      if (l.stub) continue;
      const aAt = l.upwards ? l.toAt : l.fromAt;
      const bAt = l.upwards ? l.fromAt : l.toAt;
      let from = a;
      for (let k = 1; k < span; ++k) {
        const place = this.#places.length;
        this.#places.push({ layer: items[a].layer + k, left: 0, right: 0, x: 0, rank: 0 });
        const first = from === a;
        this.#steps.push({
          from,
          to: place,
          fromAt: first ? aAt : 0,
          toAt: 0,
          pull: first ? 2 : 8,
        });
        from = place;
      }
      // Boxes without inputs give way, so that the chain which they feed stays straight.
      const pull = from !== a ? 2 : this.#source[a] && items[a].pin === 0 ? 0.002 : 1;
      this.#steps.push({ from, to: b, fromAt: from === a ? aAt : 0, toAt: bAt, pull });
    }
    this.#passing[links.length] = this.#places.length;
    this.#above = new Neighbours(this.#places.length, this.#steps, false);
    this.#below = new Neighbours(this.#places.length, this.#steps, true);
    this.#layers = Array.from({ length: this.#level.layers }, () => []);
  }

  /** Starts from a walk up the inputs in their order, then sweeps by barycentres. */
  #order(): void {
    const places = this.#places;
    const steps = this.#steps;
    const above = this.#above;
    const below = this.#below;
    const n = places.length;
    const seen = new Uint8Array(n);
    const at = above.begin.slice(0, n);
    const visit = (root: number): void => {
      if (seen[root]) return;
      seen[root] = 1;
      const stack = [root];
      while (stack.length) {
        const u = stack[stack.length - 1];
        if (at[u] === above.begin[u + 1]) {
          this.#layers[places[u].layer].push(u);
          stack.pop();
          continue;
        }
        const v = steps[above.step[at[u]++]].from;
        if (!seen[v]) {
          seen[v] = 1;
          stack.push(v);
        }
      }
    };
    for (let i = 0; i < n; ++i) {
      if (below.begin[i] === below.begin[i + 1]) visit(i);
    }
    for (let i = 0; i < n; ++i) visit(i);
    for (const layer of this.#layers) this.#rank(layer);

    const careful = n <= 2000; // counting crossings pays off in pictures seen as a whole
    let best = careful ? this.#crossings() : 0;
    let kept = this.#layers.map((layer) => layer.slice());
    const key = new Float64Array(n);
    for (let sweep = 0; sweep < this.#spacing.sweeps && (!careful || best > 0); ++sweep) {
      const down = sweep % 2 === 0;
      const near = down ? above : below;
      for (let k = 0; k < this.#level.layers; ++k) {
        const layer = this.#layers[down ? k : this.#level.layers - 1 - k];
        for (const u of layer) {
          let sum = 0;
          const count = near.begin[u + 1] - near.begin[u];
          for (let e = near.begin[u]; e < near.begin[u + 1]; ++e) {
            const s = steps[near.step[e]];
            // Ports of a frame count in their order across it.
            const where = down ? s.fromAt : s.toAt;
            const p = places[down ? s.from : s.to];
            sum += p.rank + where / (p.left + p.right + 1);
          }
          key[u] = count ? sum / count : places[u].rank;
        }
        layer.sort((a, b) => (key[a] < key[b] ? -1 : key[a] > key[b] ? 1 : 0));
        this.#rank(layer);
      }
      if (!careful) continue;
      const now = this.#crossings();
      if (now < best) {
        best = now;
        kept = this.#layers.map((layer) => layer.slice());
      }
    }
    if (!careful) return;
    this.#layers = kept;
    for (const layer of this.#layers) this.#rank(layer);
    for (let round = 0; round < 4 && this.#exchange(); ++round);
  }

  #rank(layer: number[]): void {
    for (let i = 0; i < layer.length; ++i) this.#places[layer[i]].rank = i;
  }

  /** Crossings of all steps between neighbouring layers, by inversions in a counting tree. */
  #crossings(): number {
    const places = this.#places;
    const steps = this.#steps;
    const below = this.#below;
    let total = 0;
    for (let k = 0; k + 1 < this.#level.layers; ++k) {
      const width = this.#layers[k + 1].length;
      const tree = new Int32Array(width + 1);
      let seen = 0;
      for (const u of this.#layers[k]) {
        const from = below.begin[u];
        const to = below.begin[u + 1];
        for (let e = from; e < to; ++e) {
          let before = 0;
          for (let i = places[steps[below.step[e]].to].rank + 1; i > 0; i -= i & -i)
            before += tree[i];
          total += seen - before;
        }
        for (let e = from; e < to; ++e) {
          for (let i = places[steps[below.step[e]].to].rank + 1; i <= width; i += i & -i) ++tree[i];
        }
        seen += to - from;
      }
    }
    return total;
  }

  #pairCrossings(near: Neighbours, down: boolean, a: number, b: number): number {
    const places = this.#places;
    const steps = this.#steps;
    let total = 0;
    for (let i = near.begin[a]; i < near.begin[a + 1]; ++i) {
      const s = steps[near.step[i]];
      const x = places[down ? s.from : s.to].rank;
      for (let j = near.begin[b]; j < near.begin[b + 1]; ++j) {
        const t = steps[near.step[j]];
        if (x > places[down ? t.from : t.to].rank) ++total;
      }
    }
    return total;
  }

  /** Swaps neighbours where that removes crossings; true if any swap did. */
  #exchange(): boolean {
    let changed = false;
    for (const layer of this.#layers) {
      for (let i = 0; i + 1 < layer.length; ++i) {
        const a = layer[i];
        const b = layer[i + 1];
        const now =
          this.#pairCrossings(this.#above, true, a, b) +
          this.#pairCrossings(this.#below, false, a, b);
        const swapped =
          this.#pairCrossings(this.#above, true, b, a) +
          this.#pairCrossings(this.#below, false, b, a);
        if (swapped >= now) continue;
        layer[i] = b;
        layer[i + 1] = a;
        const rank = this.#places[a].rank;
        this.#places[a].rank = this.#places[b].rank;
        this.#places[b].rank = rank;
        changed = true;
      }
    }
    return changed;
  }

  #gap(a: number, b: number): number {
    const items = this.#level.items.length;
    const line = a >= items || b >= items;
    return (
      this.#places[a].right +
      this.#places[b].left +
      (line ? this.#spacing.line : this.#spacing.across)
    );
  }

  #position(): void {
    const places = this.#places;
    for (const layer of this.#layers) {
      let x = 0;
      for (let i = 0; i < layer.length; ++i) {
        if (i > 0) x += this.#gap(layer[i - 1], layer[i]);
        places[layer[i]].x = x;
      }
      for (const u of layer) places[u].x -= x / 2;
    }
    const last = this.#level.layers;
    for (let round = 0; round < this.#spacing.sweeps; ++round) {
      for (let k = 1; k < last; ++k) this.#settle(this.#layers[k], true, false);
      for (let k = last - 2; k >= 0; --k) this.#settle(this.#layers[k], false, true);
    }
    for (let round = 0; round < 3; ++round) {
      for (const layer of this.#layers) this.#settle(layer, true, true);
    }
  }

  /** Moves one layer to where its neighbours pull it: weighted isotonic regression. */
  #settle(layer: number[], byAbove: boolean, byBelow: boolean): void {
    const places = this.#places;
    const steps = this.#steps;
    const above = this.#above;
    const below = this.#below;
    const sums: number[] = [];
    const weights: number[] = [];
    const counts: number[] = [];
    let shift = 0;
    for (let i = 0; i < layer.length; ++i) {
      const u = layer[i];
      if (i > 0) shift += this.#gap(layer[i - 1], u);
      let sum = 0;
      let weight = 0;
      if (byAbove) {
        for (let e = above.begin[u]; e < above.begin[u + 1]; ++e) {
          const s = steps[above.step[e]];
          sum += s.pull * (places[s.from].x + s.fromAt - s.toAt);
          weight += s.pull;
        }
      }
      if (byBelow) {
        for (let e = below.begin[u]; e < below.begin[u + 1]; ++e) {
          const s = steps[below.step[e]];
          sum += s.pull * (places[s.to].x + s.toAt - s.fromAt);
          weight += s.pull;
        }
      }
      if (weight === 0) {
        weight = 0.01;
        sum = weight * places[u].x;
      }
      sums.push(sum - weight * shift);
      weights.push(weight);
      counts.push(1);
      while (sums.length > 1) {
        const b = sums.length - 1;
        const a = b - 1;
        if (sums[a] * weights[b] <= sums[b] * weights[a]) break;
        sums[a] += sums[b];
        weights[a] += weights[b];
        counts[a] += counts[b];
        sums.pop();
        weights.pop();
        counts.pop();
      }
    }
    shift = 0;
    let i = 0;
    for (let block = 0; block < sums.length; ++block) {
      const base = sums[block] / weights[block];
      for (let k = 0; k < counts[block]; ++k, ++i) {
        if (i > 0) shift += this.#gap(layer[i - 1], layer[i]);
        places[layer[i]].x = base + shift;
      }
    }
  }

  #finish(): void {
    const level = this.#level;
    const places = this.#places;
    const spacing = this.#spacing;
    const { items, links } = level;
    let low = Number.MAX_VALUE;
    let high = -low;
    for (const p of places) {
      low = Math.min(low, p.x - p.left);
      high = Math.max(high, p.x + p.right);
    }
    for (const p of places) p.x -= low;
    level.width = high - low;

    const top = new Float64Array(level.layers);
    const tall = new Float64Array(level.layers);
    for (const item of items) tall[item.layer] = Math.max(tall[item.layer], item.height);
    for (let k = 0; k < level.layers; ++k) {
      top[k] = level.height;
      level.height += tall[k];
      if (k + 1 === level.layers) break;
      const ports = tall[k] === 0 || tall[k + 1] === 0; // a frame's border needs no full gap
      level.height += ports ? spacing.along / 2 : spacing.along;
    }
    for (let i = 0; i < items.length; ++i) {
      const item = items[i];
      item.x = places[i].x;
      // In a layer made tall by a frame, sources stand close to what reads them.
      const slack = tall[item.layer] - item.height;
      const low = item.pin > 0 || (item.pin === 0 && this.#source[i] === 1);
      item.y = top[item.layer] + (item.pin < 0 ? 0 : low ? slack : slack / 2);
    }
    this.#spread();
    for (let i = 0; i < links.length; ++i) {
      const l = links[i];
      const a = items[this.#head(l)];
      const b = items[this.#tail(l)];
      const aAt = l.upwards ? l.toAt : l.fromAt;
      const bAt = l.upwards ? l.fromAt : l.toAt;
      const points: Point[] = [{ x: a.x + aAt, y: a.y + a.height }];
      for (let p = this.#passing[i]; p < this.#passing[i + 1]; ++p) {
        const place = places[p];
        points.push({ x: place.x, y: top[place.layer] });
        if (tall[place.layer] > 0)
          points.push({ x: place.x, y: top[place.layer] + tall[place.layer] });
      }
      points.push({ x: b.x + bAt, y: b.y });
      if (l.upwards) points.reverse();
      l.first = level.points.length;
      l.count = points.length;
      for (const point of points) level.points.push(point);
    }
  }

  /** Lets links that meet one box end side by side, in the order in which they come. */
  #spread(): void {
    const { items, links } = this.#level;
    const linksOf: number[][] = items.map(() => []);
    for (let i = 0; i < links.length; ++i) {
      const l = links[i];
      if (!l.stub && items[this.#tail(l)].spread) linksOf[this.#tail(l)].push(i);
    }
    const comesFrom = (i: number): number =>
      this.#passing[i] === this.#passing[i + 1]
        ? items[this.#head(links[i])].x
        : this.#places[this.#passing[i + 1] - 1].x;
    for (let u = 0; u < items.length; ++u) {
      const list = linksOf[u];
      if (list.length < 2) continue;
      list.sort((a, b) => {
        const x = comesFrom(a);
        const y = comesFrom(b);
        return x < y ? -1 : x > y ? 1 : 0;
      });
      const item = items[u];
      const room = 2 * Math.min(item.left, item.right) - 24;
      const each = clamp(room / (list.length - 1), 0, this.#spacing.spread);
      let at = (-each * (list.length - 1)) / 2;
      for (const i of list) {
        const l = links[i];
        if (l.upwards) l.fromAt = at;
        else l.toAt = at;
        at += each;
      }
    }
  }
}

export function arrange(level: Level, spacing: Spacing): void {
  new Arranger(level, spacing).run();
}
