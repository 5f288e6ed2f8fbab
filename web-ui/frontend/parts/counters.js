// The counts of the line, with yield and ppm.

import { el, mark, say } from "../dom.js";
import { share, whole } from "../format.js";
import { t } from "../words/index.js";

/** Each: what to show, and whether it needs a person now (a piece missed long ago does not). */
const TILES = [
  ["inspected", (counts) => whole(counts.inspected)],
  ["fpy", (counts) => share(counts.pass, counts.inspected)],
  ["ppm", (counts) => (counts.inspected ? whole((counts.reject / counts.inspected) * 1e6) : "–")],
  ["reject", (counts) => whole(counts.reject)],
  ["hold", (counts) => whole(counts.hold)],
  ["missed", (counts) => whole(counts.missed), ({ pieces }) => pieces.some((view) => view.verdict === "hold")],
  ["unconfirmed", (counts) => whole(counts.reject_unconfirmed), ({ counters }) => counters.reject_unconfirmed > 0],
];

export function makeCounters() {
  const values = TILES.map(() => el("dd", {}));
  const tiles = TILES.map(([name], place) => el("div", { id: `count-${name}` }, el("dt", {}, t(`count.${name}`)), values[place]));
  return {
    node: el("dl", { class: "counters panel" }, ...tiles),
    update({ snapshot }) {
      TILES.forEach(([, value, needsPerson], place) => {
        say(values[place], value(snapshot.counters));
        mark(tiles[place], "data-look", needsPerson?.(snapshot) ?? false);
      });
    },
  };
}
