//! The runtime's own health as tags.

use crate::view::SystemTag;
use penstock_model::{TagId, TagTable, Text, Unit, ValueType};
use std::collections::HashSet;
use std::sync::Arc;

/// Last part of the path, Chinese, English, unit, type.
type Part = (&'static str, &'static str, &'static str, &'static str, ValueType);

/// Health of a task.
const TASK_TAGS: &[Part] = &[
    ("jitter_us", "启动延迟", "start jitter", "us", ValueType::Float),
    ("run_us", "运行时间", "run time", "us", ValueType::Float),
    ("missed", "错过的周期", "missed deadlines", "", ValueType::Int),
    ("jitter_p50", "启动延迟 P50", "start jitter, median of the last minute", "us", ValueType::Float),
    ("jitter_p99", "启动延迟 P99", "start jitter, 99 % of the last minute", "us", ValueType::Float),
    ("jitter_p999", "启动延迟 P99.9", "start jitter, 99.9 % of the last minute", "us", ValueType::Float),
    ("jitter_max", "启动延迟最大值", "start jitter, largest of the last minute", "us", ValueType::Float),
    ("run_p99", "运行时间 P99", "run time, 99 % of the last minute", "us", ValueType::Float),
    ("run_max", "运行时间最大值", "run time, largest of the last minute", "us", ValueType::Float),
    ("latency_p99", "响应延迟 P99", "sample to write, 99 % of the last minute", "us", ValueType::Float),
    ("latency_max", "响应延迟最大值", "sample to write, largest of the last minute", "us", ValueType::Float),
    ("faulted", "故障", "faulted", "", ValueType::Bool),
];

/// Health of a link.
const LINK_TAGS: &[Part] = &[
    ("up", "在线", "up", "", ValueType::Bool),
    ("poll_age_ms", "距上次应答", "time since last answer", "ms", ValueType::Float),
    ("round_trip_ms", "往返时间", "round trip", "ms", ValueType::Float),
    ("failed", "失败次数", "failed requests", "", ValueType::Int),
    ("refused", "拒绝次数", "refused requests", "", ValueType::Int),
    ("reconnects", "重连次数", "reconnects", "", ValueType::Int),
    ("retries", "重试次数", "repeated requests", "", ValueType::Int),
    ("demoted", "已降级", "left alone, does not answer", "", ValueType::Bool),
    ("quarantined", "被拒绝的点数", "points refused and left alone", "", ValueType::Int),
];

/// The tags by which the engine publishes its own health, for these tasks and devices. The loader appends them to the
/// table as system tags; the engine writes those it finds there.
#[must_use]
pub fn system_tags(tasks: &[Arc<str>], devices: &[Arc<str>]) -> Vec<SystemTag> {
    let mut all = of_kind("task", ("任务", "Task"), tasks, TASK_TAGS);
    all.extend(of_kind("link", ("通讯", "Link"), devices, LINK_TAGS));
    all
}

fn of_kind(kind: &str, (zh, en): (&str, &str), names: &[Arc<str>], parts: &[Part]) -> Vec<SystemTag> {
    let all = names.iter().flat_map(|name| parts.iter().map(move |part| (name, part)));
    all.map(|(name, (part, zh_part, en_part, unit, value_type))| SystemTag {
        path: path(kind, name, part).into(),
        title: Text::new(&format!("{zh} {name} {zh_part}"), &format!("{en} {name}: {en_part}")),
        unit: Unit::parse(unit).unwrap_or(Unit::NONE),
        value_type: *value_type,
    })
    .collect()
}

fn path(kind: &str, name: &str, part: &str) -> String {
    format!("sys/{kind}/{name}/{part}")
}

/// The health tags of one task or link that the site has, by the last part of their path.
pub(crate) struct HealthTags(Vec<(&'static str, TagId)>);

impl HealthTags {
    pub fn of_task(tags: &TagTable, name: &str) -> HealthTags {
        let find = |part: &'static str| tags.find(&path("task", name, part)).map(|tag| (part, tag));
        HealthTags(TASK_TAGS.iter().filter_map(|(part, ..)| find(part)).collect())
    }

    pub fn of_link(tags: &TagTable, name: &str) -> HealthTags {
        let find = |part: &'static str| tags.find(&path("link", name, part)).map(|tag| (part, tag));
        HealthTags(LINK_TAGS.iter().filter_map(|(part, ..)| find(part)).collect())
    }

    pub fn get(&self, part: &str) -> Option<TagId> {
        self.0.iter().find(|(p, _)| *p == part).map(|(_, tag)| *tag)
    }

    pub fn all(&self) -> impl Iterator<Item = TagId> {
        self.0.iter().map(|(_, tag)| *tag)
    }
}

/// The system tags that the engine writes itself.
pub(crate) fn own_tags(tags: &TagTable, tasks: &[Arc<str>], devices: &[Arc<str>]) -> HashSet<TagId> {
    system_tags(tasks, devices).iter().filter_map(|t| tags.find(&t.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_tag_has_a_known_unit_and_a_path_of_its_own() {
        let tags = system_tags(&["fast".into(), "normal".into()], &["plc".into()]);
        let paths: HashSet<_> = tags.iter().map(|t| t.path.clone()).collect();
        assert_eq!(paths.len(), 2 * TASK_TAGS.len() + LINK_TAGS.len());
        assert!(paths.contains("sys/task/fast/jitter_us") && paths.contains("sys/link/plc/up"));
        for part in ["jitter_p50", "jitter_p99", "jitter_p999", "jitter_max", "run_p99", "run_max"] {
            assert!(paths.contains(format!("sys/task/normal/{part}").as_str()), "{part}");
        }
        assert!(paths.contains("sys/task/fast/latency_p99") && paths.contains("sys/task/fast/latency_max"));
        for (.., unit, _) in TASK_TAGS.iter().chain(LINK_TAGS) {
            assert!(Unit::parse(unit).is_ok(), "{unit}");
        }
    }
}
