// Small words for pictures and tables; the same as src/flowbook/_words.py.

const WIDTHS = new Map<string, number>();
for (const [letters, width] of [
  ["ijl'|", 240],
  ["ft.,:;!/\\[]()I ", 300],
  ['r-*"`', 350],
  ["sckvxyzJ", 510],
  ["mMW", 860],
  ["w@%", 760],
  ["ABCDEFGHKNOPQRSTUVXYZ+=<>~&∂×", 680],
] as const) {
  for (const letter of letters) WIDTHS.set(letter, width);
}

/** Estimates how wide a text is drawn, in pixels, a little on the safe side. */
export function textWidth(text: string, size: number, style: "" | "mono" | "bold" = ""): number {
  if (style === "mono") return [...text].length * size * 0.612;
  let units = 0;
  for (const letter of text) units += WIDTHS.get(letter) ?? 560;
  return ((units * size) / 1000) * (style === "bold" ? 1.24 : 1.13);
}

/** Cuts a text to `limit` characters, with an ellipsis in the middle. */
export function shorten(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const letters = [...text];
  if (letters.length <= limit) return text;
  const head = Math.floor(((limit - 1) * 2) / 3);
  const tail = letters.length - (limit - 1 - head);
  return `${letters.slice(0, head).join("")}…${letters.slice(tail).join("")}`;
}

/** Python's `{value:.<digits>g}`. */
export function general(value: number, digits: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  const trim = (text: string): string =>
    text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
  if (power < -4 || power >= digits) {
    const size = String(Math.abs(power)).padStart(2, "0");
    return `${trim(mantissa)}e${power < 0 ? "-" : "+"}${size}`;
  }
  return trim(value.toFixed(digits - 1 - power));
}

/** A number of bytes as a person would write it: `1.2 MB`. */
export function humanBytes(count: number): string {
  let rest = count;
  for (const unit of ["B", "kB", "MB"]) {
    if (Math.abs(rest) < 1000) {
      const whole = unit === "B" || Math.abs(rest) >= 100;
      return `${whole ? rest.toFixed(0) : general(rest, 3)} ${unit}`;
    }
    rest /= 1000;
  }
  return `${Math.abs(rest) >= 100 ? rest.toFixed(0) : general(rest, 3)} GB`;
}

/** A duration as a person would write it: `1.2 ms`. */
export function humanTime(microseconds: number): string {
  if (microseconds < 1000) return `${general(microseconds, 3)} µs`;
  if (microseconds < 1e6) return `${general(microseconds / 1000, 3)} ms`;
  return `${general(microseconds / 1e6, 3)} s`;
}

/** A large number as a person would write it: `1.2M`. */
export function humanCount(count: number): string {
  for (const [unit, size] of [
    ["B", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ] as const) {
    if (count >= size) return `${general(count / size, 3)}${unit}`;
  }
  return String(count);
}

/** A whole number with thousands separated, as Python's `{n:,}`. */
export const thousands = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
