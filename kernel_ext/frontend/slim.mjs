// Leaves out what no view asks of uPlot: other ways of drawing series, axes of dates, its own legend,
// plots that follow each other or stand upright, scatter plots, other scales than linear and
// logarithmic ones. Each rule names text of the pinned version; the build fails where it has moved.

/** A whole function, found by how far its first and last lines are indented. */
const body = (name) => new RegExp(`^(\\t*)function ${name}\\([\\s\\S]*?^\\1\\}$`, "gm");

const never = (text, times) => [text, "false", times];
const always = (text, times) => [text, "true", times];
const without = (pattern, times = 1) => [pattern, "", times];

const RULES = [
  without(/^\s*\(paths\.(stepped|bars|spline)\s*=.*\);$/gm, 3),
  without(/^uPlot\.\w+\s*=.*;$/gm, 8),
  without(/^\t?uPlot\.(join|fmtDate|tzDate|addGap|clipGaps)\s*=.*;$/gm, 5),
  // Axes of dates.
  without(/^\t\tif \(mode == 1 \|\| i > 0\) \{\n\t\t\tlet isTime[\s\S]*?^\t\t\}$/gm),
  without(/^const \[ timeIncrs.*;$/gm, 2),
  without(/^const localTz = .*;$/gm),
  without(/^\tconst _(fmtDate|timeAxisSplits|timeAxisVals|timeSeriesVal)\s*=.*;$/gm, 4),
  without(/\blet isTime = .*;$/gm, 2),
  never(/\bisTime\b/g, 5),
  without(/^const (months|days|engNames)3? = [\s\S]*?;$/gm, 5),
  without(/^\tconst _tzDate .*;$/gm),
  never(/\bscaleX\.time\b/g, 1),
  // The legend.
  without(/\bconst showLegend = legend\.show;$/gm),
  never(/\bshowLegend\b/g, 9),
  without(/\blet multiValLegend = false;$/gm),
  without(/^\t\tmultiValLegend = getMultiVals != null;$/gm),
  never(/\bmultiValLegend\b/g, 6),
  never(/\blegend\.show(?= &&)/g, 1),
  [/\blegend\.idx = idx;\s+setLegend\(\);/g, "shouldSetLegend = false;", 1],
  without(body("(initLegendRow|setLegendValues|syncLegend)"), 3),
  without(/^\tif \(legend\.live\) \{[\s\S]*?^\t\}$/gm),
  without(/^\tif \(false\) \{\n\t\tlegendTable[\s\S]*?^\t\}$/gm),
  without(/\bmarkers\.\w+ += fnOrSelf\(markers\.\w+\);$/gm, 4),
  without(/^\tconst markers .*;$/gm),
  without(/^\tmarkers: \{[\s\S]*?^\t\},$/gm),
  // Scales: linear and logarithmic to base 10.
  never(/\bsc\.distr == 4 +(?=\?)/g, 4),
  never(/\bdistr == 4 (?=\?)/g, 3),
  never(/\b(sc\.|scale\.)?distr == (2|100)\b/g, 11),
  never(/\bxScaleDistr == [234]\b/g, 5),
  never(/\bsc\.log == 2\b/g, 2),
  without(body("(log2AxisValsFilt|numSeriesVal)"), 2),
  // Plots stand one way: x runs from left to right, in every series the same.
  never(/\bmode == 2\b/g, 14),
  always(/\bmode == 1\b/g, 14),
  always(/\b(scaleX|sx)\.ori == 0/g, 25),
  never(/\bscaleX\.ori == 1/g, 9),
  without(/^const xySeriesOpts = \{[\s\S]*?^\};$/gm),
  // Plots that follow each other, and what only a program would change later.
  always(/\be != null\b/g, 8),
  always(/\bsrc == null\b/g, 3),
  never(/\bsrc != null\b/g, 1),
  [/^\t+(_pub && )?pubSync\([^;]*;$/gm, ";", 5],
  [/\bif \(_pub\)/g, "if (false)", 1],
  without(/^\tconst (seriesIdxMatcher|syncKey|sync|events) = .*;$/gm, 4),
  without(/^\tconst syncOpts = [\s\S]*?cursor\.sync = syncOpts;$/gm),
  without(/^\t+sync\.(un)?sub\(self\);$/gm, 2),
  without(/^\tevents\["setSeries"\] = [\s\S]*?^\t\};$/gm),
  without(/^\tevents\.\w+ = \w+;$/gm, 4),
  without(
    body(
      "(pubSync|pub|_sync|addSeries|delSeries|addBand|setBand|delBand|batch|flushHooks|setSeries|toggleDOM|setFocus|setAlpha|setLegend|closestIdxFromXpos)",
    ),
    16,
  ),
  without(
    /^\tself\.(pub|addSeries|delSeries|addBand|setBand|delBand|batch|setLegend|setSeries|posToIdx|valToIdx) = .*;$/gm,
    11,
  ),
  without(/^\tself\.setCursor = [\s\S]*?^\t\};$/gm),
  without(/^\t\(opts\.plugins \|\| \[\]\)\.forEach[\s\S]*?^\t\}\);$/gm, 2),
  never(/\bopts\.title\b(?=\))/g, 1),
  without(/^\tif \(opts\.id != null\)\n.*;$/gm),
  without(/(_fire !== false && )?\bfire\("(?!(setScale|setCursor|draw)")\w+".*\);/g, 11),
  never(/\bdeferHooks(?=\)$)/gm, 1),
  without(/^\tlet (deferHooks|hooksQueue) = .*;$/gm, 2),
  without(/^\t\tclosestSeries = null;$/gm),
  without(/^\tlet (closestSeries|focusedSeries);$/gm, 2),
  // One line is not told from the others by pointing at it; a cursor is not held; x alone is zoomed.
  never(/\bcursorFocus\b(?! =)/g, 5),
  never(/\bcursorOnePt\b(?! =)/g, 5),
  without(/^\tconst (cursorFocus|cursorOnePt) = .*;$/gm, 2),
  never(/\bcursor\.lock\b/g, 1),
  never(/\bcursor\._lock\b(?! =)/g, 5),
  never(/\bwithProx\b(?! =)/g, 2),
  [/^\t+(let )?dragY = .*;$/gm, ";", 5],
  [/\bdragX = dragY = (drag\._x = )?(drag\._y = )?/g, "dragX = $1", 2],
  never(/\bdragY\b/g, 15),
  never(/\bdrag\.y\b/g, 2),
  // Scales of their own, axes with names or turned words.
  never(/\b\w+\.from != null\b/g, 3),
  always(/\b\w+\.from == null\b/g, 4),
  never(/\baxis\.label != null\b/g, 3),
  without(/^\t+let angle = .*;$/gm),
  without(/\bangle > 0 \? LEFT :\s+angle < 0 \? RIGHT :/g),
  never(/\bangle(?=\)| \|\|)/g, 3),
  without(/^\t+axis\._?rotate = .*;$/gm, 2),
  [/\b(log)?[bB]ase == 10\b/g, "true", 9],
];

/** uPlot's source without what is not asked of it. */
export function slim(source) {
  let text = source;
  for (const [pattern, replacement, times] of RULES) {
    const found = text.match(pattern)?.length ?? 0;
    if (found !== times) throw new Error(`uPlot has ${pattern} ${found} times, not ${times}`);
    text = text.replace(pattern, replacement);
  }
  return text;
}
