// The screen against the real product, as a person uses it.
//
//   PENSTOCK_BIN=target/debug/penstock node e2e/run.mjs     the demo: simulators, runtime and HMI on free ports
//   node e2e/run.mjs --mock                                 the same steps against the stand-in
//
// Prints `ok - step` for each step; on the first failure `not ok - step`, a picture in test-results/, and exit code 1.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { startMock } from "./mock.mjs";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const RESULTS = fileURLToPath(new URL("../test-results/", import.meta.url));
/** A debug build of the runtime needs its time to start every simulator and connect. */
const START_MS_MAX = 60_000;
/** The set-point the steps move, and the value above which the demo site raises a low alarm on it. */
const SETPOINT = "aer/nh4_sp";
const STEP_MS_MAX = 20_000;

/** Starts `penstock demo`; resolves to { url, users, stop, log }. */
async function startDemo() {
  const bin = process.env.PENSTOCK_BIN;
  if (!bin) throw new Error("PENSTOCK_BIN must name the penstock binary (or use --mock)");
  const state = mkdtempSync(join(tmpdir(), "penstock-e2e-"));
  const args = ["demo", "--free-ports", "--hmi", "127.0.0.1:0", "--state", state, "--json"];
  const child = spawn(bin, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  const keep = (line) => {
    log.push(line);
    if (log.length > 400) log.shift();
  };
  createInterface({ input: child.stderr }).on("line", keep);
  const ended = new Promise((done) => child.on("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await ended;
    clearTimeout(timer);
    rmSync(state, { recursive: true, force: true });
  };
  const first = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no address within ${START_MS_MAX} ms`)), START_MS_MAX);
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`penstock ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout }).on("line", (line) => {
      keep(line);
      if (!line.startsWith("{")) return;
      clearTimeout(timer);
      resolve(JSON.parse(line));
    });
  });
  try {
    const { url, users } = await first;
    return { url, users, stop, log };
  } catch (error) {
    console.log(log.join("\n"));
    await stop();
    throw error;
  }
}

const mock = process.argv.includes("--mock");
const product = await (mock ? startMock().then((m) => ({ ...m, log: [] })) : startDemo()).catch((error) => {
  console.log(`not ok - the demo starts\n${error.message}`);
  process.exit(1);
});
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1366, height: 768 } });
const page = await context.newPage();
page.setDefaultTimeout(STEP_MS_MAX);
const errors = [];
page.on("pageerror", (e) => errors.push(e.message));

const user = (name) => product.users.find((u) => u.name === name);
let failed = false;

async function step(name, run) {
  if (failed) return;
  try {
    await run();
    console.log(`ok - ${name}`);
  } catch (error) {
    failed = true;
    console.log(`not ok - ${name}\n${error.stack ?? error}`);
    mkdirSync(RESULTS, { recursive: true });
    const picture = join(RESULTS, "failure.png");
    await page.screenshot({ path: picture }).catch(() => undefined);
    console.log(`picture: ${picture}`);
    if (product.log.length > 0) console.log(`--- last words of the runtime\n${product.log.slice(-60).join("\n")}`);
  }
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

async function logIn(name) {
  const { password } = user(name);
  await page.fill("input[name=user]", name);
  await page.fill("input[name=password]", password);
  await page.click("button[type=submit]");
  await page.waitForSelector("[data-test=alarm-line]");
}

async function logOut() {
  await page.click("[data-test=logout]");
  await page.waitForSelector("input[name=password]");
}

const visit = (hash) => page.goto(`${product.url}/${hash}`);
const ask = (path) => page.evaluate((p) => fetch(p).then((r) => r.json()), path);
const entry = `[data-write="${SETPOINT}"]`;

async function openSetpoint() {
  await page.keyboard.press("Control+k");
  await page.fill("[data-test=search-input]", SETPOINT);
  await page.keyboard.press("Enter");
  await page.waitForSelector(`[data-test=faceplate] ${entry}`);
}

async function enter(value) {
  await page.fill(`${entry} [data-test=entry]`, value);
  await page.click(`${entry} [data-test=set]`);
  await page.waitForSelector("[data-test=confirm-dialog]");
}

const holds = (value) =>
  page.waitForFunction(([sel, v]) => document.querySelector(sel)?.textContent?.trim() === v, [`${entry} [data-test=held]`, value]);

await step("the page opens in Chinese and asks for a login", async () => {
  await visit("#/overview");
  await page.waitForSelector("input[name=password]");
  expect((await page.textContent("form")).includes("登录"), "the login page is not in Chinese");
});

await step("a wrong password is refused in words", async () => {
  await page.fill("input[name=user]", "operator");
  await page.fill("input[name=password]", "not the password");
  await page.click("button[type=submit]");
  await page.waitForSelector("form [role=alert]");
});

await step("the operator logs in and sees the mimic with good values", async () => {
  await logIn("operator");
  await page.waitForSelector(".mimic svg");
  await page.waitForFunction(() => document.querySelectorAll(".mimic .m-figure.q-good").length > 10);
});

await step("a value changes by itself", async () => {
  const read = () => page.$$eval(".mimic .m-figure", (all) => all.map((e) => e.querySelector("tspan")?.textContent ?? "").join("|"));
  const before = await read();
  await page.waitForFunction((old) => [...document.querySelectorAll(".mimic .m-figure")].map((e) => e.querySelector("tspan")?.textContent ?? "").join("|") !== old, before);
});

await step("all pages of the rail open without an error", async () => {
  for (const link of await page.$$eval("nav a", (all) => all.map((a) => a.getAttribute("href")))) {
    await visit(link);
    await page.waitForTimeout(250);
    expect(!(await page.textContent("main")).includes("没有这个页面"), `${link} is missing`);
  }
  expect(errors.length === 0, `errors of the page: ${errors.join("; ")}`);
});

await step("the pages of the site have no problem", async () => {
  await visit("#/system");
  await page.waitForSelector("[data-test=tasks] tbody tr");
  const site = await ask("/api/site");
  const known = new Set(site.tags.map((t) => t.path));
  const named = new Set();
  const collect = (x, key) => {
    if (Array.isArray(x)) for (const y of x) collect(y, key);
    else if (x && typeof x === "object") for (const [k, y] of Object.entries(x)) collect(y, k);
    else if (typeof x === "string" && ["tag", "tags", "pv", "sp", "out", "indicators", "switches", "entries"].includes(key)) named.add(x);
  };
  collect(site.pages, "");
  const svg = await page.evaluate((name) => fetch(`/api/mimic/${name}`).then((r) => r.text()), site.pages.overview.mimic);
  for (const [, tags] of svg.matchAll(/data-(?:value|bar|sp|level|open|running|shown|state|faceplate|mode)="([^"]+)"/g)) for (const tag of tags.split(" ")) named.add(tag);
  const unknown = [...named].filter((t) => !known.has(t));
  expect(unknown.length === 0, `pages name tags the site has not: ${unknown.join(", ")}`);
});

await step("a trend shows recorded history", async () => {
  await visit("#/trends");
  await page.fill("[data-test=pen-search]", SETPOINT);
  await page.click("[data-test=pen-found] >> nth=0");
  await page.waitForSelector("[data-test=trend-canvas] canvas");
  await page.click("text=10 分钟");
  // Something recorded must come back through the canvas' own data: the cursor names a value at the right edge.
  const box = await page.locator("[data-test=trend-canvas]").boundingBox();
  await page.waitForFunction(async ([tag]) => {
    const now = Date.now();
    const got = await fetch(`/api/history?tags=${tag}&from=${now - 600_000}&to=${now}&points=300`).then((r) => r.json());
    return got.series[0].points.some((p) => p[3] !== null);
  }, [SETPOINT], { polling: 1000 });
  await page.waitForTimeout(2500);
  await page.mouse.move(box.x + box.width - 40, box.y + box.height / 2);
  await page.waitForFunction(() => /\d/.test(document.querySelector("[data-test=cursor-value]")?.textContent ?? ""));
});

await step("a set-point outside its range is not accepted", async () => {
  await openSetpoint();
  await page.fill(`${entry} [data-test=entry]`, "999");
  expect(await page.isDisabled(`${entry} [data-test=set]`), "the button takes a value outside the range");
  await page.fill(`${entry} [data-test=entry]`, "");
});

await step("a set-point can be cancelled before it is sent", async () => {
  const held = await page.textContent(`${entry} [data-test=held]`);
  await enter("3.1");
  await page.keyboard.press("Escape");
  await page.waitForSelector("[data-test=confirm-dialog]", { state: "detached" });
  await page.waitForTimeout(800);
  expect((await page.textContent(`${entry} [data-test=held]`)) === held, "a cancelled value took effect");
});

await step("a set-point is changed, confirmed, and holds", async () => {
  await enter("2.5");
  expect((await page.textContent("[data-test=confirm-dialog]")).includes("2.50"), "the dialog does not show the new value");
  await page.click("[data-test=confirm]");
  await holds("2.50");
});

await step("the change stands in the action log with old and new", async () => {
  const rows = await ask("/api/actions?limit=20");
  const row = rows.find((r) => r.tag === SETPOINT);
  expect(row && row.new === 2.5 && row.who === "operator", `the log says ${JSON.stringify(row)}`);
});

await step("an alarm is raised and acknowledged", async () => {
  // The demo may have none of its own: this set-point above 6 raises a low one.
  await enter("7");
  await page.click("[data-test=confirm]");
  await holds("7.00");
  await page.click("[data-test=close]");
  await visit("#/alarms");
  const site = await ask("/api/site");
  const tag = site.tags.find((t) => t.path === SETPOINT);
  const alarm = site.alarms.find((a) => a.tag === tag.id && a.kind === "above");
  expect(alarm, `the site has no alarm above a limit on ${SETPOINT}`);
  const row = `tr[data-alarm="${alarm.name}"]`;
  await page.waitForFunction((r) => document.querySelector(r) || document.querySelector("[data-test=fresh]"), row, { timeout: 60_000 });
  if (!(await page.$(row))) await page.click("[data-test=fresh]");
  for (let more = 0; more < 10 && !(await page.$(row)); more += 1) await page.click(".pager button >> nth=1");
  await page.waitForSelector(`${row}[data-state=active]`);
  await page.click(row);
  await page.click("[data-test=ack-one]");
  await page.waitForSelector(`${row}[data-state=acknowledged]`);
  await page.keyboard.press("Escape");
  await openSetpoint();
  await enter("2");
  await page.click("[data-test=confirm]");
  await holds("2.00");
  await page.click("[data-test=close]");
});

await step("the language changes at once and stays", async () => {
  await page.click("[data-test=lang-en]");
  await page.waitForFunction(() => document.querySelector("[data-test=nav-alarms]")?.textContent?.includes("Alarms"));
  await page.reload();
  await page.waitForFunction(() => document.querySelector("[data-test=nav-alarms]")?.textContent?.includes("Alarms"));
  await page.click("[data-test=lang-zh]");
});

await step("a viewer sees everything and can set nothing", async () => {
  await logOut();
  await visit("#/page/aeration");
  await logIn("viewer");
  expect(page.url().endsWith("#/page/aeration"), "the login did not return to the page");
  await openSetpoint();
  expect(await page.isDisabled(`${entry} [data-test=entry]`), "a viewer may type a set-point");
  await page.waitForSelector(`${entry} [data-test=denied]`);
  // Nor past the screen.
  const status = await page.evaluate((tag) => fetch("/api/claim", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ tag, value: 3, confirm: true }) }).then((r) => r.status), SETPOINT);
  expect(status === 403, `the runtime answered a viewer's claim with ${status}`);
});

await step("an ended session leads to the login and back to the same page", async () => {
  await context.clearCookies();
  await page.waitForTimeout(300);
  await visit("#/system");
  await page.reload();
  await page.waitForSelector("input[name=password]");
  await logIn("operator");
  await page.waitForSelector("[data-test=links-table]");
});

await step("without its runtime the screen says that values are old and shows none as live", async () => {
  await visit("#/overview");
  await page.waitForFunction(() => document.querySelectorAll(".mimic .m-figure.q-good").length > 10);
  await product.stop();
  await page.waitForSelector("[data-test=lost]", { timeout: 15_000 });
  await page.waitForFunction(() => document.querySelectorAll(".mimic .m-figure.q-good, .mimic .m-figure.q-uncertain").length === 0);
  const good = await page.$$eval(".q-good > .fig", (all) => all.length);
  expect(good === 0, `${good} values are still shown as good`);
});

if (errors.length > 0 && !failed) {
  failed = true;
  console.log(`not ok - the page threw no error\n${errors.join("\n")}`);
}
await browser.close();
if (failed) await product.stop();
console.log(failed ? "failed" : "all steps passed");
process.exit(failed ? 1 : 0);
