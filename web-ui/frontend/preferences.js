// What a person chose for this browser: language and light or dark. Kept in the browser only.

const LANGUAGES = ["zh", "en"];
const THEMES = ["auto", "light", "dark"];

const listeners = new Set();

function read(name, allowed, otherwise) {
  let value = null;
  try {
    value = localStorage.getItem(`jidoka.${name}`);
  } catch {
    // Storage may be switched off; then the choice lasts as long as the page.
  }
  return allowed.includes(value) ? value : otherwise;
}

function write(name, value) {
  try {
    localStorage.setItem(`jidoka.${name}`, value);
  } catch {
    // See above.
  }
}

export const preferences = {
  language: read("language", LANGUAGES, navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
  theme: read("theme", THEMES, "auto"),
};

function apply() {
  const root = document.documentElement;
  root.lang = preferences.language === "zh" ? "zh-CN" : "en";
  if (preferences.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = preferences.theme;
}

export function choose(name, value) {
  preferences[name] = value;
  write(name, value);
  apply();
  for (const listener of listeners) listener(name);
}

export function onChoice(listener) {
  listeners.add(listener);
}

/** The theme after the present one. */
export function nextTheme() {
  return THEMES[(THEMES.indexOf(preferences.theme) + 1) % THEMES.length];
}

apply();
