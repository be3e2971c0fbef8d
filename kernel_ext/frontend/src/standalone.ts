// Pages that were exported: the views' states stand in the page itself, as JSON, and there is no
// kernel. `<script type="application/json" class="flowbook-state">` inside a root holds one; its `more` are
// messages that a kernel would send when asked for.

import { type Channel, type Message, mountOf } from "./channel.js";
import { placeOf } from "./hub.js";

/** Makes the roots of a page live which bring their state along. */
export function mountStandalone(page: ParentNode = document): void {
  for (const state of page.querySelectorAll("script.flowbook-state[type='application/json']")) {
    const root = state.closest(".flowbook-view");
    const place = root && placeOf(root);
    const mount = place && mountOf(place.kind);
    if (!place || !mount) continue;
    const message = JSON.parse(state.textContent ?? "{}") as Message;
    const channel: Channel = {
      id: place.id,
      live: false,
      exported: true,
      memory: new Map(),
      send: () => {},
      onLive: () => () => {},
    };
    const host = document.createElement("div");
    host.className = "flowbook-live";
    const view = mount(host, channel);
    const rest = [...place.root.children].filter((child) => child !== state);
    place.root.append(host);
    const { more = [], ...first } = message;
    view.receive({ ...first, kind: "state" }, []);
    for (const later of more as Message[]) view.receive(later, []);
    for (const child of rest) child.remove();
    state.remove();
  }
}
