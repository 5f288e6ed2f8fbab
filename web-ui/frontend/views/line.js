// The line at a glance: may it run, what does the camera see, what were the last verdicts, does the process drift.

import { el, say } from "../dom.js";
import { clock } from "../format.js";
import { t } from "../words/index.js";
import { makeCharts } from "../parts/charts.js";
import { makeCounters } from "../parts/counters.js";
import { makeHealth } from "../parts/health.js";
import { makeLiveFrame } from "../parts/frame.js";
import { makePermit, reasonText } from "../parts/permit.js";
import { makeReadings } from "../parts/readings.js";
import { makeStrip } from "../parts/strip.js";

export function makeLineView({ person, showStop }) {
  const parts = [makePermit(showStop), makeCounters(), makeLiveFrame(), makeCharts(), makeStrip(), makeReadings(), makeHealth(person)];
  const last = el("p", { class: "last-stop" });
  const node = el("main", { class: "line", id: "line" }, ...parts.map((part) => part.node), last);
  return {
    node,
    update(state) {
      for (const part of parts) part.update(state);
      const stop = state.snapshot.last_stop;
      const words = stop?.withheld ? "stop.lastWithheld" : "stop.last";
      say(last, stop ? t(words, { seq: stop.seq, reason: `${reasonText(stop.first)} (${stop.detail})`, time: clock(stop.since) }) : "");
    },
  };
}
