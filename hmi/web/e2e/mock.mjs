// A stand-in for the runtime while the screen is developed: it speaks the same interface over a site's own
// configuration, with animated values. It controls nothing and proves nothing about the runtime.
//
//   node e2e/mock.mjs [--port 8380] [--site ../../configs/jinan-wwtp]
//
// POST /mock/scenario {"down": ["device"], "uncertain": ["tag"], "stale": ["tag"], "raise": ["alarm"], "drop": true,
// "long": true, "fault": "task", "failing": ["tag"], "silent": true} plays what a plant would have to suffer, and what
// mock-objects.mjs knows of objects; fields left out keep their state.

import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { Model } from "./mock-model.mjs";
import { why } from "./mock-writes.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export const USERS = [
  { name: "operator", role: "operator", password: "operator-demo" },
  { name: "engineer", role: "engineer", password: "engineer-demo" },
  { name: "viewer", role: "viewer", password: "viewer-demo" },
];

function readYaml(path, fallback) {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return fallback;
    throw error;
  }
}

function readSite(dir) {
  const profiles = {};
  try {
    for (const file of readdirSync(join(dir, "../profiles"))) {
      const profile = readYaml(join(dir, "../profiles", file));
      profiles[profile.profile] = profile;
    }
  } catch {
    // A site without profiles.
  }
  const devices = readdirSync(join(dir, "devices"))
    .sort()
    .map((file) => {
      const device = readYaml(join(dir, "devices", file));
      return device.profile ? { ...profiles[device.profile], ...device } : device;
    });
  return {
    site: readYaml(join(dir, "site.yaml")),
    devices,
    tags: readYaml(join(dir, "tags.yaml"), {}),
    programs: readYaml(join(dir, "programs.yaml"), []),
    alarms: readYaml(join(dir, "alarms.yaml"), []),
    objects: readYaml(join(dir, "objects.yaml"), []),
    energy: readYaml(join(dir, "energy.yaml"), {}),
    carbon: readYaml(join(dir, "carbon.yaml"), {}),
    pages: readYaml(join(dir, "hmi/pages.yaml"), {}),
  };
}

/** Starts the stand-in; resolves to { url, users, stop, scenario }. */
export function startMock({ port = 0, site: siteDir = join(HERE, "../../../configs/jinan-wwtp"), dist = join(HERE, "../dist") } = {}) {
  const dir = resolve(siteDir);
  const model = new Model(readSite(dir));
  const sessions = new Map();
  const sockets = new Set();
  const actions = [];
  const events = [];
  model.onEvent = (event) => events.unshift(event);

  const send = (res, status, body, type = "application/json") => {
    const data = type === "application/json" ? JSON.stringify(body) : body;
    res.writeHead(status, { "content-type": type, "content-security-policy": POLICY });
    res.end(data);
  };
  const fail = (res, status, zh, en) => send(res, status, { error: { zh, en } });
  const userOf = (req) => {
    const id = /penstock_session=(\w+)/.exec(req.headers.cookie ?? "")?.[1];
    return id ? (sessions.get(id) ?? null) : null;
  };
  const record = (user, kind, fields = {}) =>
    actions.unshift({ seq: actions.length + 1, utc_ms: Date.now(), who: user.name, role: user.role, kind, ...fields });

  async function body(req) {
    let text = "";
    for await (const part of req) text += part;
    return text === "" ? {} : JSON.parse(text);
  }

  async function handle(req, res) {
    const url = new URL(req.url, "http://mock");
    const path = url.pathname;
    if (path === "/mock/scenario") {
      const wish = await body(req);
      model.scenario(wish);
      if (wish.drop) for (const socket of sockets) socket.destroy();
      if (wish.logout) sessions.clear();
      return send(res, 200, {});
    }
    if (!path.startsWith("/api/")) return serveFile(path, res);
    if (model.dropped) return req.socket.destroy();
    if (path === "/api/login") {
      const { user, password } = await body(req);
      const found = USERS.find((u) => u.name === user && u.password === password);
      if (!found) return fail(res, 401, "用户名或密码错误", "wrong user name or password");
      const id = randomBytes(16).toString("hex");
      sessions.set(id, found);
      record(found, "login");
      res.setHeader("set-cookie", `penstock_session=${id}; HttpOnly; SameSite=Strict; Path=/`);
      return send(res, 200, { user: found.name, role: found.role });
    }
    const user = userOf(req);
    if (!user) return fail(res, 401, "请先登录", "please log in");
    if (path === "/api/logout") {
      sessions.clear();
      return send(res, 200, {});
    }
    if (path === "/api/me") return send(res, 200, { user: user.name, role: user.role });
    if (path === "/api/site") return send(res, 200, model.siteJson());
    if (path.startsWith("/api/mimic/")) {
      const name = path.slice("/api/mimic/".length);
      if (!/^[\w-]+$/.test(name)) return fail(res, 404, "没有此图形", "there is no such drawing");
      try {
        return send(res, 200, readFileSync(join(dir, "hmi", `${name}.svg`)), "image/svg+xml");
      } catch {
        return fail(res, 404, "没有此图形", "there is no such drawing");
      }
    }
    const number = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise);
    if (path === "/api/history") {
      const tags = (url.searchParams.get("tags") ?? "").split(",").filter(Boolean);
      const unknown = tags.find((t) => !model.tag(t));
      if (unknown || tags.length === 0 || tags.length > 16) return fail(res, 404, `没有 ${unknown}`, `there is no tag ${unknown}`);
      const series = tags.map((t) => model.history(t, number("from", 0), number("to", 0), number("points", 800)));
      return send(res, 200, { series });
    }
    if (path === "/api/events") {
      const kind = url.searchParams.get("kind");
      const all = [...events, ...model.pastEvents()].filter((e) => !kind || e.kind === kind);
      const found = all.filter((e) => e.utc_ms >= number("from", 0) && e.utc_ms <= number("to", Infinity));
      return send(res, 200, found.slice(0, number("limit", 200)));
    }
    if (path === "/api/writes") {
      const tag = model.tag(url.searchParams.get("tag"));
      if (!tag) return fail(res, 404, "没有此点", "there is no such tag");
      if (!tag.to) return fail(res, 400, `\`${tag.path}\` 不写入任何设备`, `\`${tag.path}\` is written to no device`);
      return send(res, 200, model.writes.json(tag.path));
    }
    if (path.startsWith("/api/why/")) {
      const tag = model.tag(decodeURIComponent(path.slice("/api/why/".length)));
      return tag ? send(res, 200, why(model, tag.path)) : fail(res, 404, "没有此点", "there is no such tag");
    }
    const order = /^\/api\/objects\/(mode|lock|unlock|reset)$/.exec(path);
    if (order) {
      const answer = model.objects.order(order[1], await body(req), user);
      if (answer.kind) record(user, answer.kind, answer.fields);
      return send(res, answer.status, answer.body);
    }
    if (path === "/api/actions") return send(res, 200, actions.slice(0, number("limit", 200)));
    if (path === "/api/energy") return send(res, 200, model.energy(number("from", 0), number("to", 0)));
    if (path === "/api/system") return send(res, 200, model.system());
    if (path === "/api/claim") {
      if (user.role === "viewer") return fail(res, 403, "需要操作员权限", "this needs the role of an operator");
      const wish = await body(req);
      const answer = model.claim(wish, user);
      if (answer.error) return fail(res, answer.error.status ?? 422, answer.error.zh, answer.error.en);
      record(user, wish.release ? "release" : answer.kind, { tag: wish.tag, old: answer.old, new: answer.new, unit: answer.unit });
      return send(res, 200, { tag: wish.tag, old: answer.old, new: answer.new });
    }
    if (path === "/api/alarms/ack") {
      if (user.role === "viewer") return fail(res, 403, "需要操作员权限", "this needs the role of an operator");
      const { ids } = await body(req);
      const done = ids.filter((id) => model.acknowledge(id, user.name));
      for (const id of done) record(user, "acknowledge", { alarm: model.alarmName(id) });
      return send(res, 200, { acknowledged: done });
    }
    const reset = /^\/api\/tasks\/(\d+)\/reset$/.exec(path);
    if (reset) {
      if (user.role !== "engineer") return fail(res, 403, "需要工程师权限", "this needs the role of an engineer");
      model.resetTask(Number(reset[1]));
      record(user, "reset_task", { task: reset[1] });
      return send(res, 200, {});
    }
    return fail(res, 404, "没有此接口", "there is no such interface");
  }

  function serveFile(path, res) {
    let file = resolve(dist, `.${path}`);
    if (!file.startsWith(resolve(dist)) || !exists(file) || statSync(file).isDirectory()) file = join(dist, "index.html");
    send(res, 200, readFileSync(file), TYPES[extname(file)] ?? "application/octet-stream");
  }

  const server = createServer((req, res) => {
    handle(req, res).catch((error) => fail(res, 500, String(error), String(error)));
  });

  server.on("upgrade", (req, socket) => {
    if (model.dropped || !userOf(req) || req.url !== "/api/live") return socket.destroy();
    const key = createHash("sha1").update(`${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => sockets.delete(socket));
    socket.on("data", (data) => {
      if ((data[0] & 0x0f) === 8) socket.end();
    });
    const client = model.client();
    let step = 0;
    const timer = setInterval(() => {
      if (socket.destroyed) return clearInterval(timer);
      for (const message of client.step(step++ % 4 === 0)) socket.write(frame(JSON.stringify(message)));
    }, 250);
  });

  return new Promise((ready) => {
    server.listen(port, "127.0.0.1", () => {
      const url = `http://127.0.0.1:${server.address().port}`;
      ready({
        url,
        users: USERS,
        scenario: (wish) => fetch(`${url}/mock/scenario`, { method: "POST", body: JSON.stringify(wish) }),
        stop: () => {
          for (const socket of sockets) socket.destroy();
          server.close();
          server.closeAllConnections();
        },
      });
    });
  });
}

function exists(file) {
  try {
    statSync(file);
    return true;
  } catch {
    return false;
  }
}

function frame(text) {
  const data = Buffer.from(text);
  let head;
  if (data.length < 126) head = Buffer.from([0x81, data.length]);
  else if (data.length < 65536) {
    head = Buffer.alloc(4);
    head[0] = 0x81;
    head[1] = 126;
    head.writeUInt16BE(data.length, 2);
  } else {
    head = Buffer.alloc(10);
    head[0] = 0x81;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  return Buffer.concat([head, data]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, otherwise) => {
    const at = process.argv.indexOf(name);
    return at < 0 ? otherwise : process.argv[at + 1];
  };
  const mock = await startMock({ port: Number(option("--port", "8380")), site: option("--site", undefined) });
  console.log(JSON.stringify({ url: mock.url, users: mock.users }));
}
