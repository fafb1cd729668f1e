// The live connection: opens, watches for silence, waits longer after each failure. Knows nothing of values.

/** Silence that ends a connection: the runtime speaks at least once a second. */
export const SILENCE_MS_MAX = 3_500;
export const WAIT_MS_MIN = 500;
export const WAIT_MS_MAX = 10_000;

/** The wait before try number `failures` (1-based), doubled each time up to the bound; `spread` in 0..1 parts the screens. */
export function backoff(failures: number, spread: number): number {
  const base = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** Math.min(16, Math.max(0, failures - 1)));
  return base * (0.75 + 0.25 * spread);
}

export interface SocketLike {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  onerror: (() => void) | null;
  close(): void;
}

export interface FeedHost {
  /** Opens a socket. */
  open(): SocketLike;
  /** Asked before each try after the first; `stop` ends all tries (not logged in any more). */
  ready(): Promise<"go" | "wait" | "stop">;
  message(data: string): void;
  /** The connection ended; the next try is in `waitMs`. */
  lost(waitMs: number): void;
  setTimer(run: () => void, ms: number): number;
  clearTimer(id: number): void;
  random(): number;
}

export class Feed {
  #host: FeedHost;
  #socket: SocketLike | null = null;
  #failures = 0;
  #silence = 0;
  #retry = 0;
  #stopped = true;

  constructor(host: FeedHost) {
    this.#host = host;
  }

  start(): void {
    this.#stopped = false;
    this.#failures = 0;
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    this.#host.clearTimer(this.#retry);
    this.#drop();
  }

  /** Tries at once instead of waiting. */
  retryNow(): void {
    if (this.#stopped || this.#socket !== null) return;
    this.#host.clearTimer(this.#retry);
    void this.#try();
  }

  #connect(): void {
    let socket: SocketLike;
    try {
      socket = this.#host.open();
    } catch {
      this.#failed();
      return;
    }
    this.#socket = socket;
    this.#armSilence();
    socket.onmessage = (event) => {
      if (socket !== this.#socket || typeof event.data !== "string") return;
      this.#failures = 0;
      this.#armSilence();
      this.#host.message(event.data);
    };
    const ended = (): void => {
      if (socket === this.#socket) this.#failed();
    };
    socket.onclose = ended;
    socket.onerror = ended;
  }

  #armSilence(): void {
    this.#host.clearTimer(this.#silence);
    this.#silence = this.#host.setTimer(() => this.#failed(), SILENCE_MS_MAX);
  }

  #drop(): void {
    this.#host.clearTimer(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.onerror = null;
    socket.close();
  }

  #failed(): void {
    this.#drop();
    if (this.#stopped) return;
    this.#failures += 1;
    const wait = backoff(this.#failures, this.#host.random());
    this.#host.lost(wait);
    this.#host.clearTimer(this.#retry);
    this.#retry = this.#host.setTimer(() => void this.#try(), wait);
  }

  async #try(): Promise<void> {
    const answer = await this.#host.ready();
    if (this.#stopped || this.#socket !== null) return;
    if (answer === "go") this.#connect();
    else if (answer === "wait") this.#failed();
    else this.stop();
  }
}
