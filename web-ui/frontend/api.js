// The appliance's API, as the rest of the page uses it.

const BASE = "/api/v1";

/** What the appliance refused, with its code, its words and its mend. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.error ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.mend = body.mend ?? "";
  }
}

async function ask(method, path, body) {
  const options = { method, headers: {}, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(BASE + path, options);
  } catch {
    throw new Problem(0, { code: "unreachable" });
  }
  if (answer.ok || answer.status === 304) return answer;
  throw new Problem(answer.status, await answer.json().catch(() => ({})));
}

async function json(answer) {
  return (await answer).json();
}

export const api = {
  who: () => json(ask("GET", "/session")),
  signIn: (name, password) => json(ask("POST", "/session", { name, password })),
  signOut: () => ask("DELETE", "/session"),
  setUp: (code, name, password) => json(ask("POST", "/setup", { code, name, password })),
  stop: (note) => ask("POST", "/stop", { note }),
  acknowledge: (stop_seq, cause, corrective_action) =>
    ask("POST", "/stop/acknowledge", { stop_seq, cause, corrective_action }),
  release: (stop_seq) => ask("POST", "/stop/release", { stop_seq }),
  arm: () => ask("POST", "/line-stop/arm", {}),
  disarm: () => ask("POST", "/line-stop/disarm", {}),
  piece: (resultId) => json(ask("GET", `/pieces/${resultId}`)),
  bySerial: (serial) => json(ask("GET", `/pieces?serial=${encodeURIComponent(serial)}`)),
  stream: () => new EventSource(`${BASE}/stream`),
  /** A frame as a bitmap, the piece on it, its camera where several look at a piece, and the frame's pixels per pixel of it; the latest one without a number. */
  async frame(resultId) {
    const answer = await ask("GET", resultId ? `/pieces/${resultId}/frame.jpg` : "/frame.jpg");
    const bitmap = await createImageBitmap(await answer.blob());
    const [piece, shrink] = ["x-piece", "x-shrink"].map((name) => Number(answer.headers.get(name)));
    return { bitmap, piece, shrink, camera: answer.headers.get("x-camera") };
  },
};
