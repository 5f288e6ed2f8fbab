// The live stream: the latest state, how old it is, and whether the appliance still talks to us.

import { api } from "./api.js";

/** Without a word for this long the connection counts as lost. The appliance speaks at least every second. */
const SILENCE_MILLIS = 3500;

/** A browser's own retry gives up after an error answer; then the page asks again this often. */
const RETRY_MILLIS = 3000;

export function makeLive({ onState, onSignedOut }) {
  let source = null;
  let retry = 0;
  let heardAt = performance.now();
  let ageAtHearing = 0;
  let state = null;

  function heard(age) {
    heardAt = performance.now();
    ageAtHearing = age;
  }

  function open() {
    close();
    source = api.stream();
    source.addEventListener("state", (event) => {
      const message = JSON.parse(event.data);
      heard(message.age_millis);
      if (message.state) {
        state = message.state;
        onState(state);
      }
    });
    source.addEventListener("beat", (event) => heard(JSON.parse(event.data).age_millis));
    source.addEventListener("signed_out", () => {
      close();
      onSignedOut();
    });
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) again();
    });
  }

  // An error answer does not say which; asking who is signed in does.
  function again() {
    clearTimeout(retry);
    retry = setTimeout(async () => {
      try {
        await api.who();
        open();
      } catch (problem) {
        if (problem.status === 401) onSignedOut();
        else again();
      }
    }, RETRY_MILLIS);
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    source = null;
  }

  return {
    open,
    close,
    state: () => state,
    /** Time since the appliance last spoke, in milliseconds; 0 while the connection is good. */
    silence() {
      const quiet = performance.now() - heardAt;
      return quiet > SILENCE_MILLIS ? quiet : 0;
    },
    /** Age of the station's state, in milliseconds. */
    age: () => ageAtHearing + (performance.now() - heardAt),
  };
}
