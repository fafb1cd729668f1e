//! `penstock why`: why a tag stands as it stands, now or at any recorded moment.
//!
//! The record is replayed up to the moment; what the arbiter, the program and the image then hold is the answer. Nothing
//! is asked of the runtime, so that it may also be told why a valve stood where it stood before a crash.

use super::compare::Comparison;
use super::window::Runner;
use super::{Common, Opened};
use crate::config::{DriverConfig, Site};
use crate::diagnostics::suggest;
use crate::recorder::order;
use crate::recorder::tape::{Configs, Next, Ran, Tape};
use penstock_engine::{Circumstances, Explained, HeldClaim, InputNow, OutputMemory, Wished, age};
use penstock_model::{
    FallbackCause, Instant, LinkState, Now, Origin, OutcomeState, OutputDef, Priority, Quality, Sample, Source, TagDef,
    TagId, TaskId, Utc, Wish,
};
use std::collections::HashMap;
use std::time::Duration;

/// `penstock why`
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    #[command(flatten)]
    common: Common,
    /// Path of the tag.
    tag: String,
    /// The moment: `2026-11-22 18:05`, `18:05:30`, `-10min` before the end of the record. Default: its end.
    #[arg(long, allow_hyphen_values = true)]
    at: Option<String>,
}

/// How a task stood, and what it ran.
struct Stood {
    runner: Runner,
    ran: Ran,
}

/// A link as recorded.
struct Link {
    state: String,
    reason: String,
    at: Utc,
}

struct Asked<'a> {
    common: &'a Common,
    opened: &'a Opened,
    /// The moment; none: the end of the record.
    at: Option<Utc>,
    configs: Configs,
    tasks: HashMap<TaskId, Option<Stood>>,
    lines: Vec<String>,
}

/// Tells why a tag stands as it stands.
///
/// # Errors
/// In words: no such tag, with the nearest names; no record of the moment.
pub fn run(args: &WhyArgs) -> Result<(), String> {
    let opened = args.common.open()?;
    let (first, last) = opened.span();
    // After all that is recorded, its end is what is known.
    let at = args.at.as_deref().map(|t| opened.moment(t)).transpose()?.filter(|at| *at < last);
    if let Some(at) = at.filter(|at| *at < first) {
        let (at, first) = (opened.shown(at), opened.shown(first));
        return Err(format!("{at} is not in the record, which begins at {first}"));
    }
    let Some(tag) = opened.site.tags.find(&args.tag) else {
        let help = suggest(&args.tag, opened.site.tags.iter().map(|t| &*t.path)).unwrap_or_default();
        return Err(format!("the site has no tag `{}`; {help}", args.tag));
    };
    let def = opened.site.tags.get(tag).clone();
    let configs = Configs::new(&opened.dir);
    let mut asked =
        Asked { common: &args.common, opened: &opened, at, configs, tasks: HashMap::new(), lines: Vec::new() };
    asked.explain(&def)?;
    for line in asked.lines {
        say!("{line}");
    }
    Ok(())
}

impl Asked<'_> {
    fn say(&self, zh: impl Into<String>, en: impl Into<String>) -> String {
        self.common.say(zh, en)
    }

    fn line(&mut self, zh: impl Into<String>, en: impl Into<String>) {
        let line = self.say(zh, en);
        self.lines.push(line);
    }

    /// The task replayed up to the moment.
    fn stood(&mut self, task: TaskId) -> Result<Option<&Stood>, String> {
        if !self.tasks.contains_key(&task) {
            let mut tape = Tape::new(&self.opened.index, task, self.at.unwrap_or(Utc(i64::MAX)));
            let mut runner = Runner::new(task, None, super::alter::Alter::default(), Utc(i64::MAX));
            let (mut comparison, mut last) = (Comparison::default(), None);
            while let Some(next) = tape.next(&self.opened.index, &mut self.configs)? {
                match next {
                    Next::Gap(_) => runner.stop(),
                    Next::Scan(journal, ran) => {
                        // The first scan after the moment tells nothing that is not known, but where nothing is before.
                        if self.at.is_some_and(|at| journal.now.utc > at) && runner.replay().is_some() {
                            break;
                        }
                        runner.scan(&mut self.configs, &journal, &ran, &mut comparison)?;
                        last = Some(ran);
                    }
                }
            }
            let stood = last.filter(|_| runner.replay().is_some()).map(|ran| Stood { runner, ran });
            self.tasks.insert(task, stood);
        }
        Ok(self.tasks.get(&task).and_then(Option::as_ref))
    }

    /// What the task that owns a tag knows of it, with the site it ran.
    fn known(&mut self, def: &TagDef) -> Result<Option<(Explained, TagDef, Option<String>)>, String> {
        let all: Vec<TaskId> = (0_u8..).map(TaskId).take(self.opened.names.tasks.len()).collect();
        let mut best: Option<(Explained, TagDef, Option<String>)> = None;
        for task in all {
            let Some(stood) = self.stood(task)? else { continue };
            let (hash, run) = (stood.ran.hash.clone(), stood.ran.run);
            let site = &self.configs.get(&hash, run)?.site;
            let Some(tag) = site.tags.find(&def.path) else { continue };
            let def = site.tags.get(tag).clone();
            let writer = writer(site, tag, task);
            let Some(replay) = self.tasks.get(&task).and_then(Option::as_ref).and_then(|s| s.runner.replay()) else {
                continue;
            };
            let explained = replay.explain(tag, writer.as_deref());
            if writer.is_some() || explained.output.is_some() {
                return Ok(Some((explained, def, writer)));
            }
            if explained.sample.is_some() && best.is_none() {
                best = Some((explained, def, None));
            }
        }
        Ok(best)
    }

    fn explain(&mut self, def: &TagDef) -> Result<(), String> {
        let Some((e, def, program)) = self.known(def)? else {
            return Err(format!(
                "the record does not know how `{}` stood at {}",
                def.path,
                self.opened.shown(self.at.unwrap_or(self.opened.end()))
            ));
        };
        let at = self.opened.shown(e.now.utc);
        let value =
            e.sample.as_ref().map_or_else(|| "–".to_owned(), |s| self.common.words().valued(s.value.as_ref(), &def));
        let quality = e.sample.as_ref().map_or(Quality::Good, |s| s.quality);
        let title = self.say(&*def.title.zh, &*def.title.en);
        self.lines.push(format!("{}  {value}  {quality}  ({title}, {at})", def.path));
        if let Some(output) = e.output.clone() {
            self.reason(&e, &output, &def);
            self.output(&e, &output, &def, program.as_deref());
        }
        if let Source::Device(device) = def.source {
            self.point(&e, &def, usize::from(device.0));
        }
        if let Some(program) = program {
            self.program(&e, &program, 1)?;
        } else if e.output.is_none() && def.source == Source::System {
            self.line("  由运行系统自身发布", "  published by the runtime itself");
        }
        self.place(&format!("tag: {}", def.path), &def.path);
        Ok(())
    }

    /// The one sentence that a person reads first.
    fn reason(&mut self, e: &Explained, o: &OutputMemory, def: &TagDef) {
        let (g, words) = (&o.stands, self.common.words());
        let bad_inputs = match &e.missing {
            Some(name) => vec![name.clone()],
            None => e.inputs.iter().filter(|i| i.sample.quality.is_bad()).map(|i| i.name.clone()).collect(),
        };
        let device = def.output.as_ref().and_then(|out| out.device).map(|d| usize::from(d.0));
        let with = Circumstances {
            bad_inputs,
            fault: e.fault.as_deref().map(str::to_owned),
            link: device.map(|d| self.link(d)).unwrap_or_default(),
            stands_still: Circumstances::stands_still(&o.hold.imposed),
            interlock: e.interlock.as_deref().map(|why| words.hindrance(why, &self.tag_of(why.cause.tag))),
        };
        let reason = words.reason(g, def, &with);
        self.line(format!("  原因：{reason}"), format!("  because {reason}"));
        if let Some(word) = g.bound_by.as_deref() {
            let mut bound = words.bound(word, def.output.as_deref());
            if let Some(why) = e.blocked.as_deref().filter(|_| word == "permissive") {
                let why = words.hindrance(why, &self.tag_of(why.cause.tag));
                bound = self.say(format!("{bound}（{why}）"), format!("{bound}: {why},"));
            }
            let granted = words.valued(g.granted.as_ref(), def);
            self.line(format!("  但受限：{bound}，实际 {granted}"), format!("  but {bound} keeps it at {granted}"));
        }
    }

    /// How long a claim still stands. The end of a hold by hand of an object is the object's.
    fn lease(&self, claim: &HeldClaim, o: &OutputMemory, now: Now) -> String {
        let of_object = o.hold.until.filter(|_| claim.priority == Priority::Manual);
        let left = claim.expires.map(|end| end.since(now.mono)).or_else(|| {
            let ns = of_object?.0.saturating_sub(now.utc.0);
            Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
        });
        match left.map(age) {
            Some(left) => self.say(format!("租期剩余 {left}"), format!("lease ends in {left}")),
            None => self.say("无租期", "until released"),
        }
    }

    fn output(&mut self, e: &Explained, o: &OutputMemory, def: &TagDef, program: Option<&str>) {
        let (now, words) = (e.now, self.common.words());
        let seconds = |since: Instant| age(now.mono.since(since));
        if let Some(since) = o.changed_at {
            let (at, for_) = (self.shown(now, since), seconds(since));
            self.line(format!("  自 {at} 起（{for_}）"), format!("  since {at} ({for_})"));
        }
        // While it falls back, what its program left is from before.
        if let (Some(program), Wished::Value(value, quality), None) = (program, &o.wished, o.stands.fallback) {
            let value = words.valued(Some(value), def);
            self.line(
                format!("  程序 {program} 期望 {value}（{quality}）"),
                format!("  program {program} wishes {value} ({quality})"),
            );
        }
        for claim in &o.claims {
            let wish = match &claim.wish {
                Wish::Value(v) => words.valued(Some(v), def),
                Wish::Band(low, high) => self.say(format!("范围 {low}..{high}"), format!("band {low}..{high}")),
                Wish::Release => continue,
            };
            let (who, strength) = (words.origin(&claim.origin), words.strength(claim.priority));
            let lease = self.lease(claim, o, now);
            self.line(
                format!("  请求：{strength} {who} {wish}，{lease}"),
                format!("  claim: {strength} by {who}: {wish}, {lease}"),
            );
        }
        if let Some((value, origin, at)) = o.base.as_ref().filter(|(_, origin, _)| *origin != Origin::Retained) {
            let (value, who, at) = (words.valued(Some(value), def), words.origin(origin), self.opened.shown(at.utc));
            self.line(format!("  输入值 {value}，{who}，{at}"), format!("  entered: {value} by {who} at {at}"));
        }
        if let Some(out) = &def.output {
            self.declared(out, def);
        }
        if let Some(command) = &o.last_command {
            let (value, who) = (words.valued(command.value.as_ref(), def), words.origin(&command.origin));
            let at = self.opened.shown(command.granted);
            let outcome = match o.last_outcome.as_ref().map(|x| (&x.state, x.at)) {
                None => self.say("尚无回应", "no news of it yet"),
                Some((state, at)) => {
                    let at = self.opened.shown(at);
                    let state = match state {
                        OutcomeState::Sent => self.say("已发送", "sent"),
                        OutcomeState::Acknowledged => self.say("设备已确认", "acknowledged by the device"),
                        OutcomeState::ReadBack => self.say("读回一致", "read back equal"),
                        OutcomeState::Failed(why) => self.say(format!("失败：{why}"), format!("failed: {why}")),
                        OutcomeState::Superseded => self.say("被新命令取代", "superseded"),
                    };
                    format!("{state}, {at}")
                }
            };
            self.line(
                format!("  最后命令：{value}，{who}，{at}：{outcome}"),
                format!("  last command: {value} by {who} at {at}: {outcome}"),
            );
        }
        if let Some(device) = def.output.as_ref().and_then(|o| o.device) {
            let link = self.link(usize::from(device.0));
            self.line(format!("  通信：{link}"), format!("  link: {link}"));
        }
    }

    fn declared(&mut self, out: &OutputDef, def: &TagDef) {
        let (words, mut parts) = (self.common.words(), Vec::new());
        if let Some((low, high)) = out.limits {
            parts.push(self.say(format!("限值 {low}..{high}"), format!("limits {low}..{high}")));
        }
        if let Some(rate) = out.rate_per_s {
            parts.push(self.say(format!("变化率 {rate}/s"), format!("rate {rate}/s")));
        }
        for (time, zh, en) in [(out.min_on, "最短运行", "min on"), (out.min_off, "最短停止", "min off")] {
            if !time.is_zero() {
                parts.push(self.say(format!("{zh} {time:?}"), format!("{en} {time:?}")));
            }
        }
        let causes = [
            FallbackCause::BadInput,
            FallbackCause::Fault,
            FallbackCause::Overrun,
            FallbackCause::Link,
            FallbackCause::Shutdown,
        ];
        let falls: Vec<String> =
            causes.iter().map(|c| format!("{c} → {}", words.action(out.fallback.action(*c), def))).collect();
        parts.push(self.say(format!("安全值 {}", falls.join("，")), format!("fallback {}", falls.join(", "))));
        self.lines.push(format!("  {}", parts.join("; ")));
    }

    /// A device's point: where it lies, its last sample, its link.
    fn point(&mut self, e: &Explained, def: &TagDef, device: usize) {
        let Some(found) = self.opened.site.devices.get(device) else { return };
        let id = self.opened.site.tags.find(&def.path);
        let place = match &found.driver {
            DriverConfig::Modbus(config) => config.points.iter().find(|p| Some(p.tag) == id).map(modbus_place),
            DriverConfig::OpcUa(config) => config.points.iter().find(|p| Some(p.tag) == id).map(|p| p.node.clone()),
        };
        let (name, address, place) = (found.name.clone(), found.address.clone(), place.unwrap_or_default());
        self.line(
            format!("  来自设备 {name}（{address}），{place}"),
            format!("  from device {name} ({address}), {place}"),
        );
        if let Some(sample) = &e.sample {
            let (age, source) = (age(sample.age(e.now.mono)), self.opened.shown(sample.source_time));
            let meaning = self.meaning(sample, def);
            self.line(
                format!("  最近采样 {age} 前，源时间 {source}{meaning}"),
                format!("  last sample {age} ago, source time {source}{meaning}"),
            );
        }
        if e.output.is_none() {
            let link = self.link(device);
            self.line(format!("  通信：{link}"), format!("  link: {link}"));
        }
    }

    /// What a quality means for a person.
    fn meaning(&self, sample: &Sample, def: &TagDef) -> String {
        let meaning = self.common.words().quality(sample.quality.reason(), def);
        if meaning.is_empty() {
            return meaning;
        }
        self.say(format!("；{}：{meaning}", sample.quality), format!("; {}: {meaning}", sample.quality))
    }

    fn program(&mut self, e: &Explained, program: &str, level: usize) -> Result<(), String> {
        let indent = "  ".repeat(level);
        let config = self.opened.site.programs.iter().find(|p| *p.name == *program);
        let script = config.map(|p| p.script.name().to_owned()).unwrap_or_default();
        self.line(
            format!("{indent}程序 {program}（{script}）的输入："),
            format!("{indent}inputs of program {program} ({script}):"),
        );
        if e.inputs.is_empty() {
            self.line(format!("{indent}  无"), format!("{indent}  none"));
        }
        for InputNow { name, tag, sample } in &e.inputs {
            let Some(id) = tag else {
                self.line(format!("{indent}  {name}：未连接"), format!("{indent}  {name}: not bound"));
                continue;
            };
            let def = self.tag_of(*id);
            let (value, old) = (self.common.words().valued(sample.value.as_ref(), &def), age(sample.age(e.now.mono)));
            let ended = if e.missing.as_deref() == Some(name) {
                self.say("，程序在此停止", "; reading it ended the program's scan")
            } else {
                String::new()
            };
            let (path, quality) = (def.path.clone(), sample.quality);
            self.line(
                format!("{indent}  {name} = {path}  {value}  {quality}，{old} 前{ended}"),
                format!("{indent}  {name} = {path}  {value}  {quality}, {old} old{ended}"),
            );
            // One step further back, where the input is itself computed.
            if level == 1
                && matches!(def.source, Source::Program(_))
                && let Some((inner, _, Some(writer))) = self.known(&def)?
            {
                self.program(&inner, &writer, 3)?;
            }
        }
        if level == 1 {
            self.place(&format!("program: {program}"), program);
        }
        Ok(())
    }

    /// The definition by the number of the last configuration loaded for the moment.
    fn tag_of(&self, id: TagId) -> TagDef {
        let last = self.tasks.values().flatten().next().map(|s| (s.ran.hash.clone(), s.ran.run));
        let tags = last.and_then(|(hash, run)| self.configs.there(&hash, run).map(|u| u.site.tags.clone()));
        tags.unwrap_or_else(|| self.opened.site.tags.clone()).get(id).clone()
    }

    fn shown(&self, now: Now, at: Instant) -> String {
        self.opened.shown(now.utc - now.mono.since(at))
    }

    fn link(&self, device: usize) -> String {
        let name = self.opened.site.devices.get(device).map(|d| d.name.to_string()).unwrap_or_default();
        let (blocks, spans) = order::links(&self.opened.index.blocks);
        let here = order::locate(&spans, self.at.map_or(i64::MAX, |at| at.0));
        let block = here.and_then(|here| blocks[..=here].iter().rev().find_map(|b| self.opened.index.bytes(b)));
        let links: Option<Vec<serde_json::Value>> = block.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let link = links.and_then(|links| {
            let link = links.get(device)?;
            Some(Link {
                state: link["state"].as_str()?.to_owned(),
                reason: link["reason"].as_str()?.to_owned(),
                at: Utc(link["at_ns"].as_i64()?),
            })
        });
        let Some(Link { state, reason, at }) = link else { return name };
        let at = self.opened.shown(at);
        let word = match state.as_str() {
            s if s == LinkState::Up.as_str() => self.say("正常", "up"),
            s if s == LinkState::Down.as_str() => self.say("中断", "down"),
            _ => self.say("正在连接", "connecting"),
        };
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        self.say(format!("{name} {word}{reason}（{at}）"), format!("{name} {word}{reason} (since {at})"))
    }

    /// File and line where something is declared, as far as its name stands there.
    fn place(&mut self, key: &str, name: &str) {
        let plain = |line: &str| line.replace(['"', '\'', ',', '}', '{'], " ");
        // Alarms and pages name tags too; devices and lists of tags declare them.
        let rank = |path: &std::path::Path| {
            let in_devices = path.parent().is_some_and(|p| p.ends_with("devices"));
            let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if in_devices || file.starts_with("programs") { 0 } else { 1 + u8::from(!file.starts_with("tags")) }
        };
        let sources = &self.opened.site.sources;
        let mut files: Vec<_> = sources.paths().filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
        files.sort_by_key(|path| rank(path));
        let hit = files.into_iter().find_map(|path| {
            let text = String::from_utf8(sources.file(path)?.ok()?).ok()?;
            let line = text.lines().position(|line| {
                let line = plain(line);
                line.contains(key) && line.split_whitespace().any(|word| word == name)
            })?;
            Some((path.to_path_buf(), line + 1))
        });
        if let Some((path, line)) = hit {
            let (key, path) = (key.split(':').next().unwrap_or_default().to_owned(), path.display().to_string());
            self.line(format!("  声明于（{key}） {path}:{line}"), format!("  declared ({key}) at {path}:{line}"));
        }
    }
}

/// The program of a task that writes a tag.
fn writer(site: &Site, tag: TagId, task: TaskId) -> Option<String> {
    let writes = |p: &&penstock_engine::ProgramDef| p.task == task && p.outputs.iter().any(|(_, t)| *t == tag);
    site.programs.iter().find(writes).map(|p| p.name.to_string())
}
/// Where a point is read: by address and type, or by its name where the device says the rest.
fn modbus_place(point: &penstock_modbus::PointConfig) -> String {
    if point.sunspec.is_some() { point.place() } else { format!("{} {:?}", point.address, point.wire) }
}
