// Every word on the page, in the language that was chosen.

import { preferences } from "../preferences.js";
import en from "./en.js";
import zh from "./zh.js";

const DICTIONARIES = { en, zh };

/** The text of `key`, with `{name}` replaced by the values. */
export function t(key, values = {}) {
  const text = DICTIONARIES[preferences.language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** The text of `key` if there is one, else `otherwise`. */
export function tOr(key, otherwise) {
  return DICTIONARIES[preferences.language][key] ?? otherwise;
}
