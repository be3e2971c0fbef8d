// Makes static drawings of graphs live.
import { registerView } from "../channel.js";
import { GraphView } from "./view.js";

registerView("graph", (root, channel) => new GraphView(root, channel));
