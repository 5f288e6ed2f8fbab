// Numbers, units and times as people read them.

import { preferences } from "./preferences.js";
import { t } from "./words/index.js";

/** Units as the configuration writes them (UCUM) and as people do. */
const UNITS = { um: "µm", Cel: "°C", "1": "", "%": "%", "N/mm2": "N/mm²", "mm2": "mm²", "m/s2": "m/s²" };

const locale = () => (preferences.language === "zh" ? "zh-CN" : "en-GB");

export function unit(code) {
  return UNITS[code] ?? code ?? "";
}

export function whole(value) {
  return Number.isFinite(value) ? value.toLocaleString(locale(), { maximumFractionDigits: 0 }) : "–";
}

/** A measured value with about four digits, the same number of them as long as it stays in its decade. */
export function measured(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
  return value.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function share(part, all, digits = 1) {
  if (!all) return "–";
  return (part / all).toLocaleString(locale(), { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function millis(micros) {
  return Number.isFinite(micros) ? (micros / 1000).toLocaleString(locale(), { minimumFractionDigits: 1, maximumFractionDigits: 1 }) : "–";
}

export function clock(timestamp) {
  return timestamp ? new Date(timestamp.wall_micros / 1000).toLocaleTimeString(locale(), { hour12: false }) : "–";
}

export function dateAndClock(timestamp) {
  if (!timestamp) return "–";
  return new Date(timestamp.wall_micros / 1000).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "medium", hour12: false });
}

/** A duration in the two largest units that matter. */
export function lasting(milliseconds) {
  const secs = Math.max(0, Math.floor(milliseconds / 1000));
  if (secs < 60) return t("time.secs", { s: secs });
  if (secs < 3600) return t("time.mins", { m: Math.floor(secs / 60), s: secs % 60 });
  if (secs < 86400) return t("time.hours", { h: Math.floor(secs / 3600), m: Math.floor((secs % 3600) / 60) });
  return t("time.days", { d: Math.floor(secs / 86400), h: Math.floor((secs % 86400) / 3600) });
}

/** `Nelson 2` → `N2`, `Western Electric 1` → `WE1`, `Nelson 1 (moving range)` → `N1(mr)`. */
export function shortRule(name) {
  return name.replace(/[A-Za-z]+/g, (word) => word[0]).replace(/\s+/g, "");
}
