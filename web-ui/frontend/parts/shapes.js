// Shapes that carry meaning together with a word, so that colour is never needed to read the page.

import { svg } from "../dom.js";

const PATHS = {
  pass: "M4 12.5l5 5L20 6.5",
  reject: "M6 6l12 12M18 6L6 18",
  hold: "M9 5v14M15 5v14",
  good: "M4 12.5l5 5L20 6.5",
  warning: "M12 4l9 16H3zM12 10v5M12 17.2v.6",
  bad: "M8.5 3h7L21 8.5v7L15.5 21h-7L3 15.5v-7zM12 7.5v6M12 16v.8",
  unknown: "M12 3a9 9 0 100 18 9 9 0 000-18zM8 12h8",
  running: "M7 4.5l12 7.5-12 7.5z",
  starting: "M12 3a9 9 0 109 9M12 7v5l3 2",
  stopped: "M8 3h8l5 5v8l-5 5H8l-5-5V8z",
  acknowledged: "M8 3h8l5 5v8l-5 5H8l-5-5V8zM7.5 12l3 3 6-6",
  releasing: "M5 12h12M12 6l6 6-6 6",
  theme: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 3v18M12 8h7.5M12 12h9M12 16h7.5",
  hand: "M8 3h8l5 5v8l-5 5H8l-5-5V8zM12 7v6M12 16v1",
};

/** A shape of the text's size and colour; the word beside it says the same. */
export function shape(name) {
  const path = svg("path", { d: PATHS[name] ?? PATHS.unknown });
  const node = svg("svg", { class: `shape shape-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, path);
  return node;
}

/** Changes the shape in place. */
export function reshape(node, name) {
  const wanted = `shape shape-${name}`;
  if (node.getAttribute("class") === wanted) return;
  node.setAttribute("class", wanted);
  node.firstChild.setAttribute("d", PATHS[name] ?? PATHS.unknown);
}
