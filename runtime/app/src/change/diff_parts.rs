//! What differs in a device or a controlled object, setting by setting: each is a list of settings by name, and the lists are
//! compared.

use super::words::Words;
use crate::config::{Device, DriverConfig, Site};
use penstock_engine::{Condition, ObjectDef};
use penstock_model::{TagId, TagTable, Text};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The settings of one thing, each by its English name: its Chinese name and its value in both languages.
#[derive(Default)]
struct Settings(BTreeMap<String, (String, Words)>);

impl Settings {
    fn put(&mut self, zh: impl Into<String>, en: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        self.say(zh, en, Words::new(value.clone(), value));
    }

    fn say(&mut self, zh: impl Into<String>, en: impl Into<String>, value: Words) {
        self.0.insert(en.into(), (zh.into(), value));
    }

    /// One line for each setting that differs: from what to what.
    fn differences(&self, is: &Settings, thing: &Words) -> Vec<Words> {
        let none = Words::new("–", "–");
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(is.0.keys()).collect();
        let line = |en: &String| {
            let (was, is) = (self.0.get(en), is.0.get(en));
            let zh = &was.or(is)?.0;
            let (from, to) = (was.map_or(&none, |w| &w.1), is.map_or(&none, |w| &w.1));
            (from != to).then(|| {
                Words::new(
                    format!("{}：{zh} {} → {}", thing.zh, from.zh, to.zh),
                    format!("{}: {en} {} → {}", thing.en, from.en, to.en),
                )
            })
        };
        names.into_iter().filter_map(line).collect()
    }
}

fn text(text: &Text) -> Words {
    Words::new(format!("“{}”", text.zh), format!("\"{}\"", text.en))
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn span(range: Option<(f64, f64)>) -> String {
    range.map_or("–".to_owned(), |(low, high)| format!("{low}..{high}"))
}

/// What differs in the settings of a device, of its groups and points.
pub(super) fn device(was: &Device, is: &Device) -> Vec<Words> {
    let thing = Words::new(format!("设备 {}", is.name), format!("device {}", is.name));
    of_device(was).differences(&of_device(is), &thing)
}

fn of_device(device: &Device) -> Settings {
    let mut s = Settings::default();
    s.put("地址", "address", &device.address);
    s.say("名称", "title", text(&device.title));
    s.put("驱动", "driver", device.driver.as_str());
    match &device.driver {
        DriverConfig::Modbus(c) => {
            s.put("站号", "unit", c.unit.to_string());
            s.put("超时", "timeout", shown(&c.timeout));
            s.put("单次最多寄存器", "registers_max", c.registers_max.to_string());
            s.put("单次最多位", "bits_max", c.bits_max.to_string());
            s.put("合并间隔", "gap_max", c.gap_max.to_string());
            s.put("心跳", "heartbeat", c.heartbeat.as_ref().map_or("–".to_owned(), shown));
            s.put("连接后等待", "pause_after_connect", shown(&c.pause_after_connect));
            for group in &c.groups {
                let name = &group.name;
                s.put(format!("组 {name} 轮询周期"), format!("group {name} every"), shown(&group.every));
            }
            for p in &c.points {
                let path = &*p.path;
                let mut row = |zh: &str, en: &str, value: String| {
                    s.put(format!("点 {path} {zh}"), format!("point {path} {en}"), value)
                };
                row("地址", "at", shown(&p.address));
                row("报文类型", "as", format!("{:?} {:?}", p.wire, p.order));
                row("比例", "scale", p.scale.to_string());
                row("偏移", "offset", p.offset.to_string());
                row("量程", "range", span(p.range));
                row("轮询组", "group", c.groups.get(p.group).map_or("–".to_owned(), |g| g.name.to_string()));
                if let Some(write) = &p.write {
                    row("回读核对时限", "verify_within", shown(&write.verify_within));
                    row("回读容差", "tolerance", write.tolerance.to_string());
                    row("重写周期", "repeat", write.repeat.as_ref().map_or("–".to_owned(), shown));
                }
            }
        }
        DriverConfig::OpcUa(c) => {
            s.put("安全策略", "security", shown(&c.security));
            s.put("登录身份", "identity", identity(&c.identity));
            s.put("超时", "timeout", shown(&c.timeout));
            for group in &c.groups {
                let name = &group.name;
                s.put(format!("组 {name} 发布周期"), format!("group {name} every"), shown(&group.publish));
            }
            for p in &c.points {
                let path = &*p.path;
                let mut row = |zh: &str, en: &str, value: String| {
                    s.put(format!("点 {path} {zh}"), format!("point {path} {en}"), value)
                };
                row("节点", "node", p.node.clone());
                row("比例", "scale", p.scale.to_string());
                row("偏移", "offset", p.offset.to_string());
                row("量程", "range", span(p.range));
                row("发布组", "group", c.groups.get(p.group).map_or("–".to_owned(), |g| g.name.to_string()));
                if let Some(write) = &p.write {
                    row("回读核对时限", "verify_within", shown(&write.verify_within));
                    row("回读容差", "tolerance", write.tolerance.to_string());
                }
            }
        }
    }
    s
}

/// What differs in the controlled objects of two sites.
pub(super) fn objects(old: &Site, new: &Site) -> Vec<Words> {
    let thing = |o: &ObjectDef| Words::new(format!("受控对象 {}", o.name), format!("object {}", o.name));
    let mut out = Vec::new();
    for is in &new.objects {
        match old.objects.iter().find(|o| o.name == is.name) {
            Some(was) => out.extend(of_object(was, &old.tags).differences(&of_object(is, &new.tags), &thing(is))),
            None => out.push(Words::new(format!("受控对象 {}：新增", is.name), format!("object {} is new", is.name))),
        }
    }
    for gone in old.objects.iter().filter(|o| !new.objects.iter().any(|n| n.name == o.name)) {
        out.push(Words::new(format!("受控对象 {}：删除", gone.name), format!("object {} is removed", gone.name)));
    }
    out
}

fn of_object(object: &ObjectDef, tags: &TagTable) -> Settings {
    let path = |tag: TagId| tags.get(tag).path.to_string();
    let mut s = Settings::default();
    s.say("名称", "title", text(&object.title));
    s.put("初始模式", "initial", object.initial.to_string());
    let modes: Vec<String> = object.modes.iter().map(|m| format!("{} {:?}", m.mode, m.role)).collect();
    s.put("可选模式", "modes", modes.join(", "));
    s.put("就地条件", "local", object.local.as_ref().map_or("–", |c| &**c.text()));
    s.put("手动保持时间", "hold", shown(&object.hold));
    s.put("程序", "programs", object.programs.join(", "));
    s.put("模式点", "mode tag", path(object.mode_tag));
    for output in &object.outputs {
        let name = path(output.tag);
        s.put(format!("输出 {name} 停用值"), format!("output {name} off"), output.off.to_string());
        s.put(format!("输出 {name} 锁定值"), format!("output {name} lock"), output.lock.to_string());
        let feedback = output.feedback.map_or("–".to_owned(), path);
        s.put(format!("输出 {name} 反馈"), format!("output {name} feedback"), feedback);
    }
    let output = |place: usize| object.outputs.get(place).map_or("–".to_owned(), |o| path(o.tag));
    for (n, i) in object.interlocks.iter().enumerate() {
        let (zh, en) = named(("联锁", "interlock"), (n, &i.text), &i.when, &output(i.output));
        let mut row = |a: &str, b: &str, value: String| s.put(format!("{zh} {a}"), format!("{en} {b}"), value);
        row("条件", "when", i.when.text().to_string());
        row("动作值", "value", i.value.to_string());
        row("坏值处理", "bad", i.bad.as_str().to_owned());
        row("自保持", "latch", i.latch.to_string());
    }
    for (n, p) in object.permissives.iter().enumerate() {
        let on = p.output.map_or("–".to_owned(), output);
        let (zh, en) = named(("许可", "permissive"), (n, &p.text), &p.when, &on);
        let mut row = |a: &str, b: &str, value: String| s.put(format!("{zh} {a}"), format!("{en} {b}"), value);
        row("条件", "when", p.when.text().to_string());
        row("坏值处理", "bad", p.bad.as_str().to_owned());
        row("限制的模式", "modes", p.modes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    s
}

/// What an interlock or a permissive is called: as a person named it, or by its place where its name is its condition.
fn named(kind: (&str, &str), (n, text): (usize, &Text), when: &Condition, on: &str) -> (String, String) {
    let of = |word: &str, name: &str| {
        if name.is_empty() || name == &**when.text() {
            format!("{word} {} ({on})", n + 1)
        } else {
            format!("{word} \"{name}\" ({on})")
        }
    };
    (of(kind.0, &text.zh), of(kind.1, &text.en))
}

/// Who a link logs in as; a password is not shown, only where it is found.
fn identity(identity: &penstock_opcua::Identity) -> String {
    use penstock_opcua::{Identity, Password};
    match identity {
        Identity::Anonymous => "anonymous".to_owned(),
        Identity::User(name, None) => name.clone(),
        Identity::User(name, Some(Password::Env(variable))) => format!("{name}, password_env {variable}"),
        Identity::User(name, Some(Password::File(file))) => format!("{name}, password_file {}", file.display()),
        Identity::Certificate { certificate, .. } => format!("user_certificate {}", certificate.display()),
    }
}

/// What a driver runs on, with the paths of tags in place of their ids.
pub(super) fn points(device: &Device, site: &Site) -> String {
    let text = shown(&device.driver);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("TagId(") {
        out.push_str(&rest[..at]);
        rest = &rest[at + "TagId(".len()..];
        let end = rest.find(')').unwrap_or(0);
        let tag = rest[..end].parse::<usize>().ok().and_then(|n| site.tags.iter().nth(n));
        out.push_str(tag.map_or("?", |t| &t.path));
        rest = &rest[end..];
    }
    out.push_str(rest);
    // Neither a device's own number, which follows the order of the files, nor where the site's folder lies is a setting.
    let folder = format!("\"{}/", site.dir.display());
    out.replace(&format!("{:?}", device.id), "DeviceId(own)").replace(&folder, "\"site/")
}
