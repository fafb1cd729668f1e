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
use penstock_engine::{Explained, Imposed, InputNow, OutputMemory, Wished};
use penstock_model::{
    FallbackAction, FallbackCause, Instant, LinkState, Now, Origin, OutcomeState, OutputDef, Priority, Quality, Sample,
    Source, TagDef, TagId, TaskId, Utc, Value, Wish,
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
        let value = e.sample.as_ref().map_or_else(|| "–".to_owned(), |s| valued(s.value.as_ref(), &def));
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
        let g = &o.stands;
        let (granted, wished) = (valued(g.granted.as_ref(), def), valued(g.wished.as_ref(), def));
        let bound = g.bound_by.as_deref().map(|b| self.bound(b, def.output.as_ref()));
        let who = g.holder.as_ref().map(|(origin, _)| self.origin(origin));
        let (zh, en) = match (&g.holder, g.fallback) {
            (_, Some(cause)) => {
                let why = self.cause(cause, e, def);
                (format!("处于后备状态 {granted}：{why}"), format!("it is in its fallback at {granted}: {why}"))
            }
            (Some((Origin::Retained, _)), None) if o.base.is_some() => {
                ("初始值，尚无人输入".to_owned(), "it is the initial value: nobody has entered another".to_owned())
            }
            (Some((_, Priority::Manual)), None) if o.base.is_some() => {
                let who = who.unwrap_or_default();
                (format!("由 {who} 输入"), format!("it was entered by {who}"))
            }
            (Some((Origin::Off(_), _)), None) => {
                let who = who.unwrap_or_default();
                (format!("由 {who} 保持在 {wished}"), format!("{who} holds it at {wished}"))
            }
            (Some((Origin::Local(_), _)), None) => {
                let who = who.unwrap_or_default();
                (format!("由 {who} 控制，不发送命令"), format!("{who} has it: nothing is sent"))
            }
            (Some((_, priority)), None) if *priority > Priority::Program => {
                let (who, strength) = (who.unwrap_or_default(), priority.as_str());
                if *priority == Priority::Manual {
                    (format!("由 {who} 手动保持在 {wished}"), format!("it is held by hand by {who} at {wished}"))
                } else {
                    (format!("由 {who}（{strength}）决定：{wished}"), format!("{who} ({strength}) decides: {wished}"))
                }
            }
            (Some(_), None) => {
                let who = who.unwrap_or_default();
                (format!("跟随 {who}，其期望 {wished}"), format!("it follows {who}, which wishes {wished}"))
            }
            (None, None) if g.granted.is_some() && o.hold.imposed == Imposed::Stand => (
                format!("其对象使其停留在 {granted}"),
                format!("its object lets nobody move it: it stands at {granted}"),
            ),
            (None, None) if g.granted.is_some() => {
                (format!("保持 {granted}：无人提出期望"), format!("it keeps {granted}: nobody wishes anything"))
            }
            (None, None) => ("尚无值".to_owned(), "it has no value yet".to_owned()),
        };
        self.line(format!("  原因：{zh}"), format!("  because {en}"));
        if let Some(bound) = bound {
            self.line(format!("  但受限：{bound}，实际 {granted}"), format!("  but {bound} keeps it at {granted}"));
        }
    }

    fn bound(&self, word: &str, def: Option<&OutputDef>) -> String {
        let limits = def.and_then(|o| o.limits).map(|(l, h)| format!("{l}..{h}")).unwrap_or_default();
        let rate = def.and_then(|o| o.rate_per_s).map(|r| format!("{r}/s")).unwrap_or_default();
        match word {
            "limit" => self.say(format!("限值 {limits}"), format!("its limit {limits}")),
            "rate" => self.say(format!("变化率 {rate}（正在接近）"), format!("its rate of {rate} (it is on its way)")),
            "min on time" => {
                let t = def.map(|o| o.min_on).unwrap_or_default();
                self.say(format!("最短运行时间 {t:?}"), format!("its minimum on time of {t:?}"))
            }
            "min off time" => {
                let t = def.map(|o| o.min_off).unwrap_or_default();
                self.say(format!("最短停止时间 {t:?}"), format!("its minimum off time of {t:?}"))
            }
            "permissive" => self.say("启动允许条件未满足", "a permissive that is not met"),
            author => self.say(format!("{author} 的允许范围"), format!("the band of {author}")),
        }
    }

    fn origin(&self, origin: &Origin) -> String {
        match origin {
            Origin::Program(n) => self.say(format!("程序 {n}"), format!("program {n}")),
            Origin::User(n) => n.to_string(),
            Origin::Remote(n) => self.say(format!("远程 {n}"), format!("remote {n}")),
            Origin::Fallback(c) => self.say(format!("后备（{c}）"), format!("fallback on {c}")),
            Origin::Retained => self.say("停机前的值", "the value before the last stop"),
            Origin::Off(n) => self.say(format!("对象 {n} 的停用模式"), format!("mode off of {n}")),
            Origin::Local(n) => self.say(format!("对象 {n} 的现场操作盘"), format!("the panel in the field of {n}")),
            Origin::Interlock(n) => self.say(format!("对象 {n} 的联锁"), format!("an interlock of {n}")),
            Origin::Lock(n) => self.say(format!("{n} 的检修锁定"), format!("the maintenance lock of {n}")),
        }
    }

    fn cause(&self, cause: FallbackCause, e: &Explained, def: &TagDef) -> String {
        match cause {
            FallbackCause::BadInput => {
                let bad: Vec<String> = match &e.missing {
                    Some(name) => vec![name.clone()],
                    None => e.inputs.iter().filter(|i| i.sample.quality.is_bad()).map(|i| i.name.clone()).collect(),
                };
                let bad = bad.join(", ");
                self.say(format!("程序输入不可用：{bad}"), format!("the program's input {bad} is bad"))
            }
            FallbackCause::Fault | FallbackCause::Overrun => {
                let text = e.fault.as_deref().unwrap_or("?");
                self.say(format!("任务故障：{text}"), format!("the task is faulted: {text}"))
            }
            FallbackCause::Link => {
                let device = def.output.as_ref().and_then(|o| o.device).map(|d| usize::from(d.0));
                let link = device.map(|d| self.link(d)).unwrap_or_default();
                self.say(format!("通信中断：{link}"), format!("the link is down: {link}"))
            }
            FallbackCause::Shutdown => self.say("运行系统正在停止", "the runtime is stopping"),
            FallbackCause::Crash => self.say("运行系统已崩溃", "the runtime has crashed"),
        }
    }

    fn output(&mut self, e: &Explained, o: &OutputMemory, def: &TagDef, program: Option<&str>) {
        let now = e.now;
        let seconds = |since: Instant| age(now.mono.since(since));
        if let Some(since) = o.changed_at {
            let (at, for_) = (self.shown(now, since), seconds(since));
            self.line(format!("  自 {at} 起（{for_}）"), format!("  since {at} ({for_})"));
        }
        // While it falls back, what its program left is from before.
        if let (Some(program), Wished::Value(value, quality), None) = (program, &o.wished, o.stands.fallback) {
            let value = valued(Some(value), def);
            self.line(
                format!("  程序 {program} 期望 {value}（{quality}）"),
                format!("  program {program} wishes {value} ({quality})"),
            );
        }
        for claim in &o.claims {
            let wish = match &claim.wish {
                Wish::Value(v) => valued(Some(v), def),
                Wish::Band(low, high) => self.say(format!("范围 {low}..{high}"), format!("band {low}..{high}")),
                Wish::Release => continue,
            };
            let (who, strength) = (self.origin(&claim.origin), claim.priority.as_str());
            let lease = match claim.expires {
                Some(end) => {
                    let left = age(end.since(now.mono));
                    self.say(format!("租期剩余 {left}"), format!("lease ends in {left}"))
                }
                None => self.say("无租期", "until released"),
            };
            self.line(
                format!("  请求：{strength} {who} {wish}，{lease}"),
                format!("  claim: {strength} by {who}: {wish}, {lease}"),
            );
        }
        if let Some((value, origin, at)) = o.base.as_ref().filter(|(_, origin, _)| *origin != Origin::Retained) {
            let (value, who, at) = (valued(Some(value), def), self.origin(origin), self.opened.shown(at.utc));
            self.line(format!("  输入值 {value}，{who}，{at}"), format!("  entered: {value} by {who} at {at}"));
        }
        if let Some(out) = &def.output {
            self.declared(out);
        }
        if let Some(command) = &o.last_command {
            let (value, who) = (valued(command.value.as_ref(), def), self.origin(&command.origin));
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

    fn declared(&mut self, out: &OutputDef) {
        let mut parts = Vec::new();
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
        let falls: Vec<String> = causes.iter().map(|c| format!("{c} → {}", action(out.fallback.action(*c)))).collect();
        parts.push(self.say(format!("后备 {}", falls.join("，")), format!("fallback {}", falls.join(", "))));
        self.lines.push(format!("  {}", parts.join("; ")));
    }

    /// A device's point: where it lies, its last sample, its link.
    fn point(&mut self, e: &Explained, def: &TagDef, device: usize) {
        let Some(found) = self.opened.site.devices.get(device) else { return };
        let id = self.opened.site.tags.find(&def.path);
        let place = match &found.driver {
            DriverConfig::Modbus(config) => {
                config.points.iter().find(|p| Some(p.tag) == id).map(|p| format!("{} {:?}", p.address, p.wire))
            }
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
        let (zh, en) = match sample.quality.reason() {
            "" => return String::new(),
            "stale" => {
                let ttl = def.ttl.map(age).unwrap_or_default();
                (format!("比有效期 {ttl} 更旧"), format!("older than its time to live of {ttl}"))
            }
            "frozen" => ("长时间不变".to_owned(), "it has not moved for too long".to_owned()),
            "link" => ("通信中断".to_owned(), "the link is down".to_owned()),
            "refused" => ("设备拒绝".to_owned(), "the device refuses it".to_owned()),
            "never-received" => ("从未收到".to_owned(), "nothing was ever received".to_owned()),
            other => (other.to_owned(), other.to_owned()),
        };
        self.say(format!("；{}：{zh}", sample.quality), format!("; {}: {en}", sample.quality))
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
            let (value, old) = (valued(sample.value.as_ref(), &def), age(sample.age(e.now.mono)));
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
        let mut files: Vec<_> = self.opened.site.sources.iter().collect();
        files.sort_by_key(|(path, _)| rank(path));
        let hit = files.into_iter().find_map(|(path, bytes)| {
            let text = std::str::from_utf8(bytes).ok().filter(|_| path.extension().is_some_and(|e| e == "yaml"))?;
            let line = text.lines().position(|line| {
                let line = plain(line);
                line.contains(key) && line.split_whitespace().any(|word| word == name)
            })?;
            Some((path.clone(), line + 1))
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

fn valued(value: Option<&Value>, def: &TagDef) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let number = match value {
        Value::Float(x) => format!("{x:.*}", usize::from(def.decimals)),
        other => other.to_string(),
    };
    let unit = def.unit.as_str();
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

fn age(time: Duration) -> String {
    let s = time.as_secs_f64();
    if s < 120.0 {
        format!("{s:.1} s")
    } else if s < 7_200.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3_600.0)
    }
}

fn action(action: &FallbackAction) -> String {
    match action {
        FallbackAction::Hold => "hold".to_owned(),
        FallbackAction::HoldThen(time, value) => format!("hold {time:?} then {value}"),
        FallbackAction::Value(value) => value.to_string(),
        FallbackAction::Release => "device".to_owned(),
    }
}
