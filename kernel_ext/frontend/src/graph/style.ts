// The graph view's style sheet.
import { THEME_CSS } from "../theme.js";
import DRAWING_CSS from "./drawing.css";
import VIEW_CSS from "./view.css";

export { DRAWING_CSS };
export const CSS = THEME_CSS + DRAWING_CSS + VIEW_CSS;
