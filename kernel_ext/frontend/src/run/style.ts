// The style sheet of the run view, in its shadow root; colours come from the theme.

import { THEME_CSS } from "../theme.js";
import { CHART_CSS } from "./chart.js";

export const RUN_CSS = `${THEME_CSS}${CHART_CSS}
.fb-run { border: 1px solid var(--rim); border-radius: 9px; background: var(--card); padding: 10px 14px; max-width: 860px; }
.fb-head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 12px; }
.fb-title { font-weight: 600; }
.fb-status { border-radius: 999px; padding: 0 9px; border: 1px solid currentColor; font-size: 12px; color: var(--accent); }
.fb-status[data-status="paused"], .fb-status[data-status="stopped"] { color: var(--warn); }
.fb-status[data-status="failed"], .fb-status[data-status="killed"] { color: var(--bad); }
.fb-status[data-status="finished"] { color: var(--good); }
.fb-facts { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0; padding: 0; }
.fb-facts div { white-space: nowrap; }
.fb-facts dt { display: inline; color: var(--soft); margin-right: 5px; font-size: 12px; }
.fb-facts dd { display: inline; margin: 0; font-variant-numeric: tabular-nums; }
.fb-bar { height: 4px; border-radius: 2px; background: var(--frame); overflow: hidden; margin: 4px 0 8px; }
.fb-bar div { height: 100%; background: var(--accent); transition: width .2s linear; }
.fb-controls { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; margin: 6px 0; }
.fb-controls[hidden], [hidden] { display: none !important; }
.fb-button, .fb-options button, .fb-legend-entry, .fb-rate-field, select {
  font: inherit; color: var(--ink); background: var(--raised); border: 1px solid var(--rim);
  border-radius: 6px; padding: 3px 11px; cursor: pointer;
}
.fb-button:hover, .fb-options button:hover { background: var(--hover); }
.fb-stop { color: var(--bad); border-color: var(--bad); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
.fb-rate { display: inline-flex; align-items: center; gap: 6px; margin-left: auto; color: var(--soft); font-size: 12px; }
.fb-rate-slider { width: 130px; accent-color: var(--accent); }
.fb-rate-field { width: 76px; cursor: text; padding: 2px 6px; }
.fb-run-notice { color: var(--warn); font-weight: 600; min-height: 0; }
.fb-alert { color: var(--bad); font-weight: 600; }
.fb-options { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; font-size: 12px; }
.fb-options button, select { padding: 1px 8px; font-size: 12px; }
.fb-options > button[aria-pressed="true"] { background: var(--accent); border-color: var(--accent); color: var(--bg); }
.fb-legend { display: inline-flex; flex-wrap: wrap; gap: 4px; margin-left: auto; }
.fb-legend-entry { display: inline-flex; align-items: center; gap: 6px; border-color: transparent; background: none; padding: 1px 6px; font-size: 12px; }
.fb-legend-entry[aria-pressed="false"] { color: var(--soft); text-decoration: line-through; }
.fb-moment { color: var(--soft); font-size: 12px; min-height: 1.45em; padding-left: 56px; font-variant-numeric: tabular-nums; }
.fb-swatch { width: 14px; display: inline-block; }
details { font-size: 12px; margin-top: 4px; }
summary { cursor: pointer; color: var(--soft); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 1px 10px 1px 0; }
th:first-child, td:first-child { text-align: left; }
.fb-spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;
