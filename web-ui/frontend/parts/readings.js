// Process readings: value and unit; what cannot be trusted says so.

import { el, keyed, mark, say } from "../dom.js";
import { lasting, measured, unit } from "../format.js";
import { t } from "../words/index.js";
import { reshape, shape } from "./shapes.js";

export function makeReadings() {
  const list = el("div", { class: "readings-list" });
  const empty = el("p", { class: "empty" }, t("readings.none"));
  const node = el("section", { class: "readings panel" }, el("h2", {}, t("readings.title")), empty, list);

  function make() {
    return el("div", { class: "reading" }, el("span", { class: "tag" }), el("span", { class: "value" }), el("span", { class: "quality" }, shape("good"), el("span", {})));
  }

  function refresh(row, reading, at) {
    const [tag, value, quality] = row.children;
    say(tag, reading.tag);
    mark(tag, "title", reading.tag);
    say(value, reading.quality === "bad" ? `– ${unit(reading.unit)}` : reading.text ?? `${measured(reading.value)} ${unit(reading.unit)}`);
    mark(row, "data-quality", reading.quality);
    if (reading.quality === "good") {
      quality.hidden = true;
    } else {
      quality.hidden = false;
      reshape(quality.firstChild, reading.quality === "stale" ? "warning" : "bad");
      const age = (at.mono_micros - reading.sampled_at.mono_micros) / 1000;
      say(quality.lastChild, `${t(`quality.${reading.quality}`)} ${lasting(age)}`);
    }
  }

  return {
    node,
    update({ snapshot }) {
      empty.hidden = snapshot.readings.length > 0;
      keyed(list, snapshot.readings, (reading) => reading.tag, make, (row, reading) => refresh(row, reading, snapshot.at));
    },
  };
}
