import { beforeEach, describe, expect, it } from "vitest";
import { backoff, Feed, type FeedHost, SILENCE_MS_MAX, type SocketLike, WAIT_MS_MAX, WAIT_MS_MIN } from "../src/lib/feed";

class Host implements FeedHost {
  sockets: (SocketLike & { closed: boolean })[] = [];
  timers = new Map<number, { at: number; run: () => void }>();
  now = 0;
  next = 1;
  answer: "go" | "wait" | "stop" = "go";
  lostWaits: number[] = [];
  messages: string[] = [];

  open(): SocketLike {
    const socket = { onmessage: null, onclose: null, onerror: null, closed: false, close() { this.closed = true; } } as SocketLike & { closed: boolean };
    this.sockets.push(socket);
    return socket;
  }
  ready = async (): Promise<"go" | "wait" | "stop"> => this.answer;
  message = (data: string): void => void this.messages.push(data);
  lost = (wait: number): void => void this.lostWaits.push(wait);
  setTimer = (run: () => void, ms: number): number => {
    this.timers.set(this.next, { at: this.now + ms, run });
    return this.next++;
  };
  clearTimer = (id: number): void => void this.timers.delete(id);
  random = (): number => 1;

  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.now = due[1].at;
      due[1].run();
      await Promise.resolve();
      await Promise.resolve();
    }
    this.now = end;
  }
}

describe("the feed", () => {
  let host: Host;
  let feed: Feed;
  beforeEach(() => {
    host = new Host();
    feed = new Feed(host);
    feed.start();
  });
  const last = (): SocketLike & { closed: boolean } => host.sockets[host.sockets.length - 1] as SocketLike & { closed: boolean };

  it("ends a silent connection and tries again, waiting longer each time", async () => {
    last().onmessage?.({ data: "a" });
    await host.pass(SILENCE_MS_MAX - 1);
    expect(host.lostWaits).toEqual([]);
    await host.pass(1);
    expect(host.lostWaits).toEqual([WAIT_MS_MIN]);
    expect(last().closed).toBe(true);
    await host.pass(WAIT_MS_MIN);
    expect(host.sockets).toHaveLength(2);
    last().onclose?.();
    expect(host.lostWaits).toEqual([WAIT_MS_MIN, WAIT_MS_MIN * 2]);
    await host.pass(WAIT_MS_MIN * 2);
    last().onmessage?.({ data: "b" });
    last().onclose?.();
    expect(host.lostWaits[2]).toBe(WAIT_MS_MIN);
  });

  it("waits while the runtime does not answer and stops when the session is over", async () => {
    host.answer = "wait";
    last().onclose?.();
    await host.pass(60_000);
    expect(host.sockets).toHaveLength(1);
    expect(Math.max(...host.lostWaits)).toBe(WAIT_MS_MAX);
    host.answer = "stop";
    await host.pass(60_000);
    expect(host.timers.size).toBe(0);
    host.answer = "go";
    await host.pass(60_000);
    expect(host.sockets).toHaveLength(1);
  });

  it("ignores a late word from a connection given up", () => {
    const old = last();
    const hear = old.onmessage;
    old.onclose?.();
    hear?.({ data: "late" });
    expect(host.messages).toEqual([]);
  });

  it("tries at once when asked to", async () => {
    last().onclose?.();
    feed.retryNow();
    await Promise.resolve();
    await Promise.resolve();
    expect(host.sockets).toHaveLength(2);
  });

  it("bounds its waits and parts the screens", () => {
    expect(backoff(1, 1)).toBe(WAIT_MS_MIN);
    expect(backoff(1, 0)).toBe(WAIT_MS_MIN * 0.75);
    expect(backoff(1_000, 1)).toBe(WAIT_MS_MAX);
  });
});
