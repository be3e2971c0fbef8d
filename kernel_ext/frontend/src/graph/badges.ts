// The small words on boxes: what is new or changed since the version before, and where the first NaN
// came from.

import type { Totals } from "./paint.js";
import type { Diff, GraphNode } from "./record.js";
import type { Scene } from "./scene.js";
import type { Badge } from "./shapes.js";

/**
 * Badges by number of the box.
 *
 * @param diff What changed, where that is shown.
 */
export function badgesOf(
  scene: Scene,
  nodes: GraphNode[],
  totals: Totals[],
  diff: Diff | undefined,
): Map<number, Badge> {
  const badges = new Map<number, Badge>();
  const added = new Set(diff?.added);
  const changed = new Set(diff?.changed.map((change) => change.id));
  scene.boxes.forEach((box, i) => {
    if (box.kind === "frame") return;
    const own = totals[i].nodes.map((n) => nodes[n]);
    const alarm = own.find((node) => node.alarm)?.alarm;
    if (alarm) badges.set(i, { kind: "nan", text: alarm });
    else if (own.some((node) => added.has(node.id))) badges.set(i, { kind: "added", text: "new" });
    else if (own.some((node) => changed.has(node.id)))
      badges.set(i, { kind: "changed", text: "changed" });
  });
  return badges;
}
