//! What differs between two configurations of a site, in the words of the plant, and what of it needs a restart.

use super::diff_parts;
use super::words::Words;
use crate::config::Site;
use penstock_engine::{Delay, ObjectDef, ObjectStart, ProgramDef, Script};
use penstock_model::{
    AlarmCondition, AlarmDef, FallbackAction, FallbackCause, OutputDef, Source, TagDef, TagId, TagTable, Text, Value,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Duration;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub words: Words,
    /// Why it needs a restart; `None`: it can be applied while the site runs.
    pub restart: Option<Words>,
    /// The program it is about, where it changes what a program does.
    pub program: Option<String>,
}

struct Finder<'a> {
    old: &'a Site,
    new: &'a Site,
    list: Vec<Difference>,
}

/// What differs from `old` to `new`, in the order of programs, tags, alarms, and what needs a restart.
#[must_use]
pub fn differences(old: &Site, new: &Site) -> Vec<Difference> {
    let mut finder = Finder { old, new, list: Vec::new() };
    finder.programs();
    finder.scripts();
    finder.tags();
    finder.alarms();
    finder.devices();
    finder.rest();
    finder.list
}

fn drivers() -> Words {
    Words::new("驱动按设备与点表建立连接，须重启", "drivers are laid out for the devices and their points")
}

fn layout() -> Words {
    Words::new("历史库、画面与任务按点表布置，须重启", "historian, screens and tasks are laid out for the list of tags")
}

fn at_start() -> Words {
    Words::new("仅在启动时读取，须重启", "it is read at the start alone")
}

impl Finder<'_> {
    fn live(&mut self, program: Option<&str>, zh: String, en: String) {
        let program = program.map(str::to_owned);
        self.list.push(Difference { words: Words::new(zh, en), restart: None, program });
    }

    fn restart(&mut self, zh: String, en: String, why: Words) {
        self.list.push(Difference { words: Words::new(zh, en), restart: Some(why), program: None });
    }

    fn programs(&mut self) {
        let (old, new) = (self.old, self.new);
        let task = |site: &Site, p: &ProgramDef| site.tasks[usize::from(p.task.0)].name.to_string();
        for p in &new.programs {
            let name = &*p.name;
            let Some(was) = old.programs.iter().find(|o| o.name == p.name) else {
                let writes = bound(&p.outputs, &new.tags);
                let (task, script) = (task(new, p), p.script.name());
                self.live(
                    Some(name),
                    format!("程序 {name}：新增，任务 {task}，脚本 {script}，写 {writes}"),
                    format!("program {name} is new: task {task}, script {script}, writes {writes}"),
                );
                continue;
            };
            let (from, to) = (task(old, was), task(new, p));
            if from != to {
                self.restart(
                    format!("程序 {name}：任务 {from} → {to}"),
                    format!("program {name}: task {from} → {to}"),
                    Words::new(
                        "输出由任务仲裁，换任务须重启",
                        "its outputs are weighed by its task; they cannot move to another one",
                    ),
                );
            }
            if was.script.name() != p.script.name() {
                let (from, to) = (was.script.name(), p.script.name());
                self.live(
                    Some(name),
                    format!("程序 {name}：脚本 {from} → {to}，状态按名称与类型带过去"),
                    format!("program {name}: script {from} → {to}; state is carried over by name and type"),
                );
            }
            self.params(was, p);
            self.bounds(was, p);
            for (zh, en, was, is) in
                [("输入", "input", &was.inputs, &p.inputs), ("输出", "output", &was.outputs, &p.outputs)]
            {
                self.ports(name, (zh, en), was, is);
            }
        }
        for gone in old.programs.iter().filter(|o| !new.programs.iter().any(|p| p.name == o.name)) {
            let (name, wrote) = (&gone.name, bound(&gone.outputs, &old.tags));
            let heir = new
                .programs
                .iter()
                .find(|p| p.script.name() == gone.script.name() && !old.programs.iter().any(|o| o.name == p.name));
            let (zh, en) = heir.map_or((String::new(), String::new()), |p| {
                (
                    format!("。若只是改名为 {}：新名称即新程序，不继承这些值", p.name),
                    format!(
                        ". If it is {} under another name: that is another program, and takes none of them over",
                        p.name
                    ),
                )
            });
            self.live(
                Some(name),
                format!("程序 {name}：删除（原写 {wrote}），其累计、运行时间与状态将丢失{zh}"),
                format!("program {name} is removed (wrote {wrote}); its totals, hours and states are lost{en}"),
            );
        }
    }

    fn params(&mut self, was: &ProgramDef, is: &ProgramDef) {
        let of = |p: &ProgramDef| -> BTreeMap<String, (String, Option<Value>)> {
            let given = |name: &str| p.params.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
            let all = p.script.declaration().params.iter();
            all.map(|d| (d.name.clone(), (d.unit.as_str().to_owned(), given(&d.name).or_else(|| d.default.clone()))))
                .collect()
        };
        let before = of(was);
        for (param, (unit, value)) in of(is) {
            let Some((_, old)) = before.get(&param) else { continue };
            if *old != value {
                let name = &*is.name;
                let (from, to) = (shown(old.as_ref(), &unit), shown(value.as_ref(), &unit));
                self.live(
                    Some(name),
                    format!("程序 {name}：参数 {param} {from} → {to}"),
                    format!("program {name}: parameter {param} {from} → {to}"),
                );
            }
        }
    }

    /// What a program reads late and what it may use up.
    fn bounds(&mut self, was: &ProgramDef, is: &ProgramDef) {
        let late = |p: &ProgramDef| -> BTreeMap<String, String> {
            let or = |d: &Delay| d.otherwise.as_ref().map_or_else(String::new, |v| format!(" or {v}"));
            p.delays.iter().map(|d| (d.input.clone(), format!("1 scan{}", or(d)))).collect()
        };
        let (before, after) = (late(was), late(is));
        let inputs: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let mut rows: Vec<(String, String, Option<String>, Option<String>)> = inputs
            .into_iter()
            .map(|i| {
                (format!("输入 {i} 延迟"), format!("input {i} delay"), before.get(i).cloned(), after.get(i).cloned())
            })
            .collect();
        let operations = |p: &ProgramDef| p.limits.operations.map(|n| n.to_string());
        let time = |p: &ProgramDef| p.limits.time.map(|t| format!("{t:?}"));
        rows.push(("运算次数上限".to_owned(), "limit of operations".to_owned(), operations(was), operations(is)));
        rows.push(("运行时间上限".to_owned(), "limit of time".to_owned(), time(was), time(is)));
        let name = &*is.name;
        for (zh, en, from, to) in rows.into_iter().filter(|(_, _, from, to)| from != to) {
            let (from, to) = (from.unwrap_or_else(|| "–".to_owned()), to.unwrap_or_else(|| "–".to_owned()));
            self.live(
                Some(name),
                format!("程序 {name}：{zh} {from} → {to}"),
                format!("program {name}: {en} {from} → {to}"),
            );
        }
    }

    fn ports(&mut self, name: &str, (zh, en): (&str, &str), was: &[(String, TagId)], is: &[(String, TagId)]) {
        let of = |list: &[(String, TagId)], tags: &TagTable| -> BTreeMap<String, String> {
            list.iter().map(|(port, tag)| (port.clone(), tags.get(*tag).path.to_string())).collect()
        };
        let (was, is) = (of(was, &self.old.tags), of(is, &self.new.tags));
        let ports: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for port in ports {
            let (from, to) = (was.get(port), is.get(port));
            if from != to {
                let none = "–".to_owned();
                let (from, to) = (from.unwrap_or(&none), to.unwrap_or(&none));
                self.live(
                    Some(name),
                    format!("程序 {name}：{zh} {port} {from} → {to}"),
                    format!("program {name}: {en} {port} {from} → {to}"),
                );
            }
        }
    }

    /// Scripts whose text differs, each once, with the programs that run it.
    fn scripts(&mut self) {
        let (old, new) = (self.old, self.new);
        let texts: HashMap<&str, &Script> = old.programs.iter().map(|p| (p.script.name(), &p.script)).collect();
        let mut changed: BTreeMap<&str, (&Script, &Script, Vec<&str>)> = BTreeMap::new();
        for p in &new.programs {
            let name = p.script.name();
            if let Some(was) = texts.get(name).filter(|was| was.source() != p.script.source()) {
                changed.entry(name).or_insert((was, &p.script, Vec::new())).2.push(&p.name);
            }
        }
        for (script, (was, is, users)) in changed {
            let (from, to) = changed_lines(was.source(), is.source());
            let (lines, programs) =
                (if from == to { from.to_string() } else { format!("{from}–{to}") }, users.join(", "));
            self.live(
                None,
                format!("脚本 {script}：第 {lines} 行改动，程序 {programs}"),
                format!("script {script} changed: lines {lines}; programs {programs}"),
            );
            // One line for a person, and every program of it under probation.
            if let Some(last) = self.list.last_mut() {
                last.program = Some(users.join("\n"));
            }
        }
    }

    fn tags(&mut self) {
        let (old, new) = (self.old, self.new);
        for is in new.tags.iter() {
            let path = &is.path;
            let Some(was) = old.tags.find(path).map(|id| old.tags.get(id)) else {
                self.restart(format!("点 {path}：新增"), format!("tag {path} is new"), layout());
                continue;
            };
            if let (Some(was), Some(is)) = (&was.output, &is.output) {
                self.output(path, was, is);
            }
            if was.output.is_some() != is.output.is_some() || was.entry.is_some() != is.entry.is_some() {
                let (zh, en) = (format!("点 {path}：写入方式改动"), format!("tag {path} is written otherwise"));
                self.restart(zh, en, layout());
            }
            self.fixed(was, is);
        }
        for gone in old.tags.iter().filter(|t| new.tags.find(&t.path).is_none()) {
            self.restart(format!("点 {}：删除", gone.path), format!("tag {} is removed", gone.path), layout());
        }
    }

    /// What of a tag cannot change while the site runs, one line for each.
    fn fixed(&mut self, was: &TagDef, is: &TagDef) {
        let kind = |def: &TagDef, site: &Site| match &def.source {
            Source::Device(id) => format!("device {}", site.devices.get(usize::from(id.0)).map_or("?", |d| &*d.name)),
            Source::Program(_) => "program".to_owned(),
            other => format!("{other:?}"),
        };
        let same = [
            ("名称", "title", was.title == is.title),
            ("单位", "unit", was.unit == is.unit),
            ("类型", "type", was.value_type == is.value_type),
            ("量程", "range", was.range == is.range),
            ("小数位", "decimals", was.decimals == is.decimals),
            ("有效时间", "ttl", was.ttl == is.ttl),
            ("冻结时间", "frozen_after", was.frozen_after == is.frozen_after),
            ("来源", "source", kind(was, self.old) == kind(is, self.new)),
            ("设定方式", "entry", was.entry.is_none() || is.entry.is_none() || was.entry == is.entry),
            ("类别", "category", was.category == is.category),
            ("记录", "log", was.log == is.log),
            ("状态名", "states", was.states == is.states),
        ];
        let path = &is.path;
        for (zh, en, _) in same.iter().filter(|(.., same)| !same) {
            self.restart(format!("点 {path}：{zh}改动"), format!("tag {path}: another {en}"), layout());
        }
    }

    fn output(&mut self, path: &str, was: &OutputDef, is: &OutputDef) {
        let span = |l: Option<(f64, f64)>| l.map_or("–".to_owned(), |(low, high)| format!("{low}..{high}"));
        let rate = |r: Option<f64>| r.map_or("–".to_owned(), |r| format!("{r}/s"));
        let rows = [
            ("限值".to_owned(), "limits".to_owned(), span(was.limits), span(is.limits)),
            ("速率".to_owned(), "rate".to_owned(), rate(was.rate_per_s), rate(is.rate_per_s)),
            ("最短开".to_owned(), "min_on".to_owned(), format!("{:?}", was.min_on), format!("{:?}", is.min_on)),
            ("最短关".to_owned(), "min_off".to_owned(), format!("{:?}", was.min_off), format!("{:?}", is.min_off)),
            ("死区".to_owned(), "deadband".to_owned(), was.write.deadband.to_string(), is.write.deadband.to_string()),
            ("静默".to_owned(), "quiet".to_owned(), format!("{:?}", was.write.quiet), format!("{:?}", is.write.quiet)),
            ("反馈".to_owned(), "feedback".to_owned(), followed(was, &self.old.tags), followed(is, &self.new.tags)),
        ];
        let causes = [
            FallbackCause::BadInput,
            FallbackCause::Fault,
            FallbackCause::Overrun,
            FallbackCause::Link,
            FallbackCause::Shutdown,
            FallbackCause::Crash,
        ]
        .map(|cause| {
            let of = |def: &OutputDef| action(def.fallback.action(cause));
            (format!("后备 {cause}"), format!("fallback {cause}"), of(was), of(is))
        });
        for (zh, en, from, to) in rows.into_iter().chain(causes).filter(|(_, _, from, to)| from != to) {
            self.live(None, format!("点 {path}：{zh} {from} → {to}"), format!("tag {path}: {en} {from} → {to}"));
        }
        if was.device.is_some() != is.device.is_some() {
            self.restart(format!("点 {path}：写入设备改动"), format!("tag {path} goes to another device"), drivers());
        }
    }

    fn alarms(&mut self) {
        let (old, new) = (self.old, self.new);
        let listed = || Words::new("报警按清单编号，增删须重启", "alarms are numbered by their list");
        for is in &new.alarms {
            let name = &is.name;
            let Some(was) = old.alarms.iter().find(|a| a.name == *name) else {
                self.restart(format!("报警 {name}：新增"), format!("alarm {name} is new"), listed());
                continue;
            };
            let (from, to) = (&old.tags.get(was.tag).path, &new.tags.get(is.tag).path);
            if from != to {
                let (zh, en) = (format!("报警 {name}：点 {from} → {to}"), format!("alarm {name}: tag {from} → {to}"));
                self.restart(zh, en, listed());
            }
            self.alarm(was, is);
        }
        for gone in old.alarms.iter().filter(|a| !new.alarms.iter().any(|n| n.name == a.name)) {
            self.restart(format!("报警 {}：删除", gone.name), format!("alarm {} is removed", gone.name), listed());
        }
    }

    fn alarm(&mut self, was: &AlarmDef, is: &AlarmDef) {
        let time = |t: Duration| format!("{t:?}");
        let rows = [
            ("条件", "condition", condition(was.condition), condition(is.condition)),
            ("延时", "on_delay", time(was.on_delay), time(is.on_delay)),
            ("恢复延时", "off_delay", time(was.off_delay), time(is.off_delay)),
            ("优先级", "priority", was.priority.as_str().to_owned(), is.priority.as_str().to_owned()),
        ];
        let name = &is.name;
        for (zh, en, from, to) in rows.into_iter().filter(|(_, _, from, to)| from != to) {
            self.live(None, format!("报警 {name}：{zh} {from} → {to}"), format!("alarm {name}: {en} {from} → {to}"));
        }
        let texts: [(&str, &str, &Text, &Text); 4] = [
            ("标题", "title", &was.title, &is.title),
            ("原因", "cause", &was.cause, &is.cause),
            ("后果", "consequence", &was.consequence, &is.consequence),
            ("处置", "response", &was.response, &is.response),
        ];
        for (zh, en, from, to) in texts.into_iter().filter(|(_, _, from, to)| from != to) {
            self.live(
                None,
                format!("报警 {name}：{zh}“{}” → “{}”", from.zh, to.zh),
                format!("alarm {name}: {en} \"{}\" → \"{}\"", from.en, to.en),
            );
        }
    }

    fn devices(&mut self) {
        let (old, new) = (self.old, self.new);
        for is in &new.devices {
            let name = &is.name;
            match old.devices.iter().find(|d| d.name == *name) {
                None => self.restart(format!("设备 {name}：新增"), format!("device {name} is new"), drivers()),
                // Ids of tags and devices follow the order of the files, which means nothing to a device.
                Some(was)
                    if was.address != is.address
                        || was.title != is.title
                        || diff_parts::points(was, old) != diff_parts::points(is, new) =>
                {
                    let named = diff_parts::device(was, is);
                    if !named.is_empty() {
                        named.into_iter().for_each(|words| self.restart(words.zh, words.en, drivers()));
                        continue;
                    }
                    self.restart(
                        format!("设备 {name}：地址、点或通讯设置改动"),
                        format!("device {name}: another address, point or setting"),
                        drivers(),
                    );
                }
                Some(_) => {}
            }
        }
        for gone in old.devices.iter().filter(|d| !new.devices.iter().any(|n| n.name == d.name)) {
            self.restart(format!("设备 {}：删除", gone.name), format!("device {} is removed", gone.name), drivers());
        }
    }

    /// What is compared as a whole.
    fn rest(&mut self) {
        let (old, new) = (self.old, self.new);
        let tasks = |site: &Site| {
            site.tasks
                .iter()
                .map(|t| format!("{} {:?} {} {:?}", t.name, t.period, t.overrun.as_str(), t.cpu))
                .collect::<Vec<_>>()
        };
        let held = |site: &Site| {
            let path = |tag: TagId| site.tags.get(tag).path.clone();
            site.loops.iter().map(|l| (path(l.measured), path(l.set_point))).collect::<Vec<_>>()
        };
        let declared = diff_parts::objects(old, new);
        let unnamed = declared.is_empty();
        declared.into_iter().for_each(|words| self.restart(words.zh, words.en, at_start()));
        let recorder = |site: &Site| {
            site.recorder.map_or("–".to_owned(), |r| format!("{} MB, {:?}", r.bytes_max / 1_000_000, r.keep))
        };
        let (from, to) = (recorder(old), recorder(new));
        if old.recorder != new.recorder {
            self.restart(format!("扫描记录：{from} → {to}"), format!("recorder: {from} → {to}"), at_start());
        }
        let rows: [(&str, &str, bool); 15] = [
            ("任务", "tasks", tasks(old) == tasks(new)),
            (
                "受控对象、联锁与许可",
                "controlled objects, interlocks and permissives",
                !unnamed || objects(old) == objects(new),
            ),
            ("手动保持时间", "times of holds by hand", old.hold == new.hold),
            ("监护进程", "supervisor", old.supervisor == new.supervisor),
            ("站点名称", "name of the site", (&old.id, &old.name) == (&new.id, &new.name)),
            ("时区", "time zone", old.time_zone == new.time_zone),
            ("语言", "languages", old.languages == new.languages),
            ("能源与碳账户", "energy and carbon accounts", said(&old.ledger) == said(&new.ledger)),
            ("汇总回路", "loops of the summary", held(old) == held(new)),
            ("MQTT 发布", "publication over MQTT", said(&old.mqtt) == said(&new.mqtt)),
            ("Modbus 服务", "Modbus server", said(&old.modbus_server) == said(&new.modbus_server)),
            ("OPC UA 服务", "OPC UA server", said(&old.opcua_server) == said(&new.opcua_server)),
            ("历史库设置", "historian", old.historian == new.historian),
            ("状态保持设置", "retained state", old.retain == new.retain),
            ("画面", "pages", old.pages == new.pages),
        ];
        for (zh, en, _) in rows.iter().filter(|(.., same)| !same) {
            self.restart(format!("{zh}改动"), format!("{en}: other settings"), at_start());
        }
    }
}

/// Everything that a site declares of its objects, with paths in the place of numbers of tags: those follow the order of files.
fn objects(site: &Site) -> Vec<String> {
    let declared = |o: &ObjectDef| said(&ObjectDef { start: ObjectStart::default(), ..o.clone() });
    let named = |text: String| {
        let mut parts = text.split("TagId(");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (id, rest) = part.split_once(')').unwrap_or((part, ""));
            let tag = id.trim().trim_end_matches(',').parse().ok().map(TagId);
            let path = tag.filter(|t| t.index() < site.tags.len()).map(|t| &*site.tags.get(t).path);
            out.push_str(path.unwrap_or(id));
            out.push_str(rest);
        }
        out
    };
    site.objects.iter().map(|o| named(declared(o))).collect()
}

/// What shows that the process followed an output.
fn followed(def: &OutputDef, tags: &TagTable) -> String {
    def.write
        .settle
        .map_or("–".to_owned(), |s| format!("{} ± {} in {:?}", tags.get(s.tag).path, s.tolerance, s.within))
}

/// Everything a value says of itself, for settings that are compared as a whole and never shown.
fn said(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn bound(ports: &[(String, TagId)], tags: &TagTable) -> String {
    if ports.is_empty() {
        return "–".to_owned();
    }
    ports.iter().map(|(_, tag)| tags.get(*tag).path.to_string()).collect::<Vec<_>>().join(", ")
}

fn shown(value: Option<&Value>, unit: &str) -> String {
    let text = value.map_or("–".to_owned(), ToString::to_string);
    if unit.is_empty() { text } else { format!("{text} {unit}") }
}

fn action(action: &FallbackAction) -> String {
    match action {
        FallbackAction::Hold => "hold".to_owned(),
        FallbackAction::HoldThen(time, value) => format!("hold {time:?} then {value}"),
        FallbackAction::Value(value) => value.to_string(),
        FallbackAction::Release => "device".to_owned(),
    }
}

fn condition(condition: AlarmCondition) -> String {
    match condition {
        AlarmCondition::Above { limit, deadband } => format!("> {limit} (±{deadband})"),
        AlarmCondition::Below { limit, deadband } => format!("< {limit} (±{deadband})"),
        AlarmCondition::Equals(n) => format!("= {n}"),
        AlarmCondition::Bad => "bad".to_owned(),
    }
}

/// First and last line (from 1) of the new text between what is the same before and after.
fn changed_lines(old: &str, new: &str) -> (usize, usize) {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let after = old[before..].iter().rev().zip(new[before..].iter().rev()).take_while(|(a, b)| a == b).count();
    (before + 1, (new.len() - after).max(before + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_site_read_from_two_folders_differs_in_nothing() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let beside = tempfile::tempdir().unwrap();
        for folder in ["configs", "scripts"] {
            copy(&root.join(folder), &beside.path().join(folder));
        }
        let load = |root: &std::path::Path, site: &str| {
            crate::config::load(&root.join("configs").join(site), &crate::config::Overrides::default()).unwrap().site
        };
        for site in ["jinan-wwtp", "bsm1"] {
            let (one, other) = (load(&root, site), load(beside.path(), site));
            assert_eq!(differences(&one, &other), []);
            assert_eq!(one.config_hash, other.config_hash);
        }
    }

    #[test]
    fn limits_of_interlocks_settings_of_points_the_record_and_a_new_name_are_told_in_words() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let beside = tempfile::tempdir().unwrap();
        for folder in ["configs", "scripts"] {
            copy(&root.join(folder), &beside.path().join(folder));
        }
        let site = beside.path().join("configs/jinan-wwtp");
        let load =
            || crate::config::load(&site, &crate::config::Overrides::default()).unwrap_or_else(|e| panic!("{e}")).site;
        let (old, mut new) = (load(), load());
        let object = new.objects.iter_mut().find(|o| !o.interlocks.is_empty()).unwrap();
        let (name, was) = (object.name.clone(), object.interlocks[0].bad.as_str());
        let other = penstock_engine::BadPolicy::ALL.into_iter().find(|b| b.as_str() != was).unwrap();
        object.interlocks[0].bad = other;
        new.recorder = None;
        let program = &mut new.programs[0].name;
        let renamed = program.clone();
        *program = "another".into();
        let mut point = String::new();
        for device in &mut new.devices {
            if let crate::config::DriverConfig::Modbus(c) = &mut device.driver {
                c.groups[0].every *= 3;
                let written = c.points.iter_mut().find(|p| p.write.is_some());
                if let Some(p) = written.filter(|_| point.is_empty()) {
                    p.write.as_mut().unwrap().tolerance = 0.77;
                    point = format!("device {}: point {} tolerance", device.name, p.path);
                }
            }
        }
        let found = differences(&old, &new);
        let has = |parts: &[&str]| found.iter().any(|d| parts.iter().all(|p| d.words.en.contains(p)));
        assert!(has(&[&format!("object {name}: interlock"), &format!("bad {was} → {}", other.as_str())]), "{found:#?}");
        assert!(has(&[&point, "→ 0.77"]) && has(&["group", "every", "→"]), "{found:#?}");
        assert!(
            has(&["recorder: ", "→ –"])
                && found.iter().filter(|d| d.words.en.contains("recorder")).all(|d| d.restart.is_some())
        );
        assert!(has(&[
            &format!("program {renamed} is removed"),
            "totals, hours and states are lost",
            "another under another name"
        ]));
        assert!(!has(&["other settings"]) && !has(&["another address"]), "{found:#?}");
    }

    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    #[test]
    fn the_lines_that_changed_are_those_between_what_is_the_same() {
        for (old, new, wanted) in [
            ("a\nb\nc", "a\nx\nc", (2, 2)),
            ("a\nb\nc", "a\nx\ny\nc", (2, 3)),
            ("a\nb\nc", "a\nc", (2, 2)),
            ("a\nb", "a\nb\nc", (3, 3)),
            ("a\na\na", "a\na", (3, 3)),
        ] {
            assert_eq!(changed_lines(old, new), wanted, "{old:?} {new:?}");
        }
    }
}
