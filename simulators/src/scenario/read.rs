//! From a tree to a scenario: the head and what is done. Everything wrong is collected; nothing is assumed in silence.

use super::tree::{At, Complaints, Map, Node, Place, tree};
use super::{Act, Deed, Entry, LENGTH_MAX_S, Names, Problems, START_UNIX_S, Scenario, Settable};
use crate::SimConfig;
use crate::faults::{Injection, MENU, ParseError, duration, nearest};
use crate::models::wet::Weather;

/// Most entries that do or expect something: every one is looked at every second.
const ENTRIES_MAX: usize = 10_000;
/// Seconds in a day.
const DAY_S: f64 = 86_400.0;
/// Keys of a scenario.
const HEAD: [&str; 11] =
    ["scenario", "title_zh", "site", "seed", "weather", "start", "days", "settle", "before", "do", "expect"];
/// What an entry under `do` can be.
const DEEDS: [&str; 5] = ["fault", "clear", "weather", "set", "release"];
const TIME_HELP: &str = "write a number and a unit: 90s, 10min, 1.5h, 2d; at most 366d";

/// A text being read.
pub(super) struct Reading<'t> {
    pub complaints: Complaints<'t>,
    pub names: &'t Names,
}

/// Looks up a key.
pub(super) fn get<'m>(map: &'m Map, key: &str) -> Option<&'m At<Node>> {
    map.iter().find(|(name, _)| name.value == key).map(|(_, value)| value)
}

/// `did you mean` with the nearest of some names; `None` where there are none.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    Some(nearest(word, known)).filter(|near| !near.is_empty()).map(|near| format!("did you mean `{near}`?"))
}

impl Reading<'_> {
    pub fn wrong(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        self.complaints.add(place, message, help);
    }

    /// Complains about every key that is not known here.
    pub fn only(&mut self, map: &Map, known: &[&'static str]) {
        for (key, _) in map.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
            let help = suggest(&key.value, known.iter().copied());
            self.wrong(key.place, format!("unknown key `{}`; known here are {}", key.value, known.join(", ")), help);
        }
    }

    pub fn text<'n>(&mut self, node: &'n At<Node>) -> Option<&'n str> {
        match &node.value {
            Node::Text(text) if !text.trim().is_empty() => Some(text.trim()),
            other => {
                self.wrong(node.place, format!("expected a text, found {}", other.kind()), None);
                None
            }
        }
    }

    pub fn number(&mut self, node: &At<Node>) -> Option<f64> {
        let number = node.value.number();
        if number.is_none() {
            self.wrong(node.place, format!("expected a number, found {}", node.value.kind()), None);
        }
        number
    }

    pub fn map<'n>(&mut self, node: &'n At<Node>) -> Option<&'n Map> {
        match &node.value {
            Node::Map(map) => Some(map),
            other => {
                self.wrong(node.place, format!("expected names with values, found {}", other.kind()), None);
                None
            }
        }
    }

    /// Seconds of a time from the beginning.
    pub fn time(&mut self, node: &At<Node>) -> Option<f64> {
        let seconds = match &node.value {
            Node::Text(text) => duration(text.trim()),
            Node::Whole(0) => Some(0.0),
            _ => None,
        };
        let seconds = seconds.filter(|s| (0.0..=LENGTH_MAX_S).contains(s));
        if seconds.is_none() {
            self.wrong(node.place, format!("`{}` is no time from the beginning", node.value), Some(TIME_HELP.into()));
        }
        seconds
    }

    fn list<'n>(&mut self, map: &'n Map, key: &str) -> &'n [At<Node>] {
        match get(map, key).map(|node| (node.place, &node.value)) {
            None | Some((_, Node::Nothing)) => &[],
            Some((_, Node::List(items))) if items.len() <= ENTRIES_MAX => items,
            Some((place, Node::List(_))) => {
                self.wrong(place, format!("more than {ENTRIES_MAX} entries"), None);
                &[]
            }
            Some((place, other)) => {
                self.wrong(place, format!("expected a list, found {}", other.kind()), None);
                &[]
            }
        }
    }

    fn weather(&mut self, node: &At<Node>) -> Option<Weather> {
        let word = self.text(node)?;
        match word.parse() {
            Ok(weather) => Some(weather),
            Err(error) => {
                self.wrong(node.place, format!("{error}"), suggest(word, ["dry", "rain", "storm"]));
                None
            }
        }
    }

    fn start(&mut self, node: &At<Node>) -> Option<i64> {
        let text = self.text(node)?;
        let start = text.parse::<jiff::Timestamp>().map(|t| t.as_second()).map_err(|e| e.to_string());
        let start = start.and_then(|start| {
            let config = SimConfig { start: Some(start), ..SimConfig::default() };
            config.check().map(|()| start).map_err(|e| e.to_string())
        });
        match start {
            Ok(start) => Some(start),
            Err(reason) => {
                let help = "write date, time and zone: 2026-06-15T00:00:00+08:00".to_owned();
                self.wrong(node.place, format!("`{text}` is no start: {reason}"), Some(help));
                None
            }
        }
    }

    fn seed(&mut self, node: &At<Node>) -> Option<u64> {
        let seed = match node.value {
            Node::Whole(n) => u64::try_from(n).ok(),
            _ => None,
        };
        if seed.is_none() {
            self.wrong(
                node.place,
                format!("`{}` is no seed; it is a whole number from 0 to 2^64 - 1", node.value),
                None,
            );
        }
        seed
    }

    fn site(&mut self, node: &At<Node>) {
        let Some(site) = self.text(node) else { return };
        if !self.names.sites.iter().any(|known| known == site) {
            let known = self.names.sites.join(", ");
            self.wrong(node.place, format!("the scenario is meant for the site `{site}`, this is {known}"), None);
        }
    }

    fn days(&mut self, node: &At<Node>) -> Option<f64> {
        let days = self.number(node)?;
        if days > 0.0 && days * DAY_S <= LENGTH_MAX_S {
            return Some(days * DAY_S);
        }
        self.wrong(node.place, format!("`{days}` days is no length of a run; it is more than 0 and at most 366"), None);
        None
    }

    /// One entry under `do`; under `before`, whose entries have no time, with the time that all of them have.
    fn act(&mut self, entry: &At<Node>, before_s: Option<f64>) -> Option<Act> {
        let map = self.map(entry)?;
        let mut known = if before_s.is_some() { vec![] } else { vec!["at"] };
        known.extend(DEEDS);
        self.only(map, &known);
        let at_s = match (before_s, get(map, "at")) {
            (Some(before_s), _) => Some(before_s),
            (None, Some(node)) => self.time(node),
            (None, None) => {
                self.wrong(entry.place, "`at` is missing: when is it done?", Some(TIME_HELP.into()));
                None
            }
        };
        let mut deeds = map.iter().filter(|(key, _)| DEEDS.contains(&key.value.as_str()));
        let Some((what, node)) = deeds.next() else {
            self.wrong(entry.place, format!("nothing is done here; write one of {}", DEEDS.join(", ")), None);
            return None;
        };
        if let Some((second, _)) = deeds.next() {
            let message = format!("`{}` and `{}` in one entry; write two entries", what.value, second.value);
            self.wrong(second.place, message, None);
        }
        let deed = match what.value.as_str() {
            "fault" => self.fault(node).map(Deed::Inject),
            "clear" => self.clear(node),
            "weather" => self.weather(node).map(Deed::Weather),
            "set" => self.set(what.place, node),
            _ => self.release(what.place, node),
        };
        Some(Act { at_s: at_s?, line: entry.place.line, text: entry.value.to_string(), deed: deed? })
    }

    fn fault(&mut self, node: &At<Node>) -> Option<Injection> {
        let text = self.text(node)?;
        match text.parse::<Injection>() {
            Ok(injection) => Some(injection),
            Err(error) => {
                let word = match &error {
                    ParseError::Name { word, .. }
                    | ParseError::Target { word, .. }
                    | ParseError::Word { word, .. }
                    | ParseError::Surplus { word, .. } => word.as_str(),
                    _ => "",
                };
                let place = self.complaints.word(node.place, word);
                // The message names the nearest itself.
                self.wrong(place, error.to_string(), None);
                None
            }
        }
    }

    fn clear(&mut self, node: &At<Node>) -> Option<Deed> {
        let text = self.text(node)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let names = MENU.map(|entry| entry.name);
        match words.as_slice() {
            ["all"] => Some(Deed::ClearAll),
            [name, ..] if names.contains(name) => Some(Deed::Clear(words.join(" "))),
            _ => {
                let name = words.first().copied().unwrap_or_default();
                let place = self.complaints.word(node.place, name);
                let known = names.into_iter().chain(["all"]);
                self.wrong(place, format!("no fault is called `{name}`"), suggest(name, known));
                None
            }
        }
    }

    /// The tag a person sets; complains where the plant runs alone or nobody can set it.
    pub fn settable(&mut self, place: Place, path: &str) -> Option<Settable> {
        let runtime = self.names.runtime.as_ref()?;
        if let Some(found) = runtime.settable.iter().find(|tag| tag.path == path) {
            return Some(found.clone());
        }
        let known = runtime.tags.iter().any(|tag| tag == path);
        let why = if known { "is read only: it is no entry and no output" } else { "is no tag of the site" };
        let help = suggest(path, runtime.settable.iter().map(|tag| tag.path.as_str()));
        self.wrong(place, format!("`{path}` {why}"), help);
        None
    }

    fn set(&mut self, key: Place, node: &At<Node>) -> Option<Deed> {
        if !self.with_runtime(key, "`set`") {
            return None;
        }
        let map = self.map(node)?;
        let mut entries = Vec::new();
        for (path, value) in map {
            let Some(tag) = self.settable(path.place, &path.value) else { continue };
            match (&value.value, tag.switch) {
                (Node::Switch(on), true) => entries.push((tag.path, Entry::Switch(*on))),
                (Node::Whole(_) | Node::Number(_), false) => {
                    let Some(number) = self.number(value) else { continue };
                    match tag.limits.filter(|(low, high)| !(*low..=*high).contains(&number)) {
                        Some((low, high)) => {
                            let message = format!("`{}`: {number} is outside {low}..{high}", tag.path);
                            self.wrong(value.place, message, Some("the runtime would refuse this entry".to_owned()));
                        }
                        None => entries.push((tag.path, Entry::Number(number))),
                    }
                }
                (other, switch) => {
                    let wanted = if switch { "true or false" } else { "a number" };
                    let message = format!("`{}` takes {wanted}, found {}", tag.path, other.kind());
                    self.wrong(value.place, message, None);
                }
            }
        }
        (!entries.is_empty()).then_some(Deed::Set(entries))
    }

    fn release(&mut self, key: Place, node: &At<Node>) -> Option<Deed> {
        if !self.with_runtime(key, "`release`") {
            return None;
        }
        let one = std::slice::from_ref(node);
        let items = if let Node::List(items) = &node.value { items.as_slice() } else { one };
        let mut paths = Vec::new();
        for item in items {
            let Some(path) = self.text(item) else { continue };
            let Some(tag) = self.settable(item.place, path) else { continue };
            if tag.output {
                paths.push(tag.path);
            } else {
                self.wrong(item.place, format!("`{path}` is a set-point, which cannot be released"), None);
            }
        }
        (!paths.is_empty()).then_some(Deed::Release(paths))
    }

    /// Complains where something needs a runtime and the plant runs alone.
    pub fn with_runtime(&mut self, place: Place, what: &str) -> bool {
        let there = self.names.runtime.is_some();
        if !there {
            let help = "run it with the runtime in the loop: penstock simulate <site> --scenario <file>".to_owned();
            self.wrong(place, format!("{what} needs the runtime; here the plant runs alone"), Some(help));
        }
        there
    }
}

/// Reads a whole text.
pub(super) fn scenario(text: &str, names: &Names) -> Result<Scenario, Problems> {
    let mut reading = Reading { complaints: Complaints::new(text), names };
    // Some editors begin a file with this mark; it is no part of the text.
    let root = tree(text.strip_prefix('\u{FEFF}').unwrap_or(text), &mut reading.complaints);
    let scenario = root.and_then(|root| reading.document(&root));
    match scenario {
        Some(scenario) if reading.complaints.is_empty() => Ok(scenario),
        _ => Err(reading.complaints.finish()),
    }
}

impl Reading<'_> {
    pub fn document(&mut self, root: &At<Node>) -> Option<Scenario> {
        let map = self.map(root)?;
        self.only(map, &HEAD);
        let title = match get(map, "scenario") {
            Some(node) => self.text(node).map(str::to_owned),
            None => {
                self.wrong(root.place, "`scenario` is missing: what is the title?", None);
                None
            }
        };
        let title_zh = get(map, "title_zh").and_then(|node| self.text(node).map(str::to_owned));
        if let Some(node) = get(map, "site") {
            self.site(node);
        }
        let seed = get(map, "seed").map_or(Some(1), |node| self.seed(node));
        let weather = get(map, "weather").map_or(Some(Weather::Dry), |node| self.weather(node));
        let start_unix_s = get(map, "start").map_or(Some(START_UNIX_S), |node| self.start(node));
        let settle_s = get(map, "settle").map_or(Some(0.0), |node| self.time(node));
        let days = get(map, "days").map(|node| (node.place, self.days(node)));
        let mut acts: Vec<Act> = Vec::new();
        for entry in self.list(map, "before") {
            // What stands before the settling begins; the weather there is always dry.
            acts.extend(self.act(entry, Some(-settle_s.unwrap_or(0.0).ceil())));
        }
        for entry in self.list(map, "do") {
            acts.extend(self.act(entry, None));
        }
        let entries = self.list(map, "expect");
        let last_s = acts.iter().map(|act| act.at_s).chain(entries.iter().flat_map(|e| last_time(&e.value)));
        let last_s = last_s.fold(0.0, f64::max);
        let length_s = match days {
            Some((_, days)) => days.unwrap_or(last_s),
            None => last_s,
        };
        if let Some((place, Some(_))) = days.filter(|_| last_s > length_s) {
            let last = super::told_time(last_s);
            self.wrong(place, format!("the run ends before the last time named, {last}"), None);
        }
        if length_s <= 0.0 {
            self.wrong(root.place, "the scenario has no length", Some("add `days: 1`, or a time".to_owned()));
        }
        let expectations = entries.iter().filter_map(|entry| self.expectation(entry, length_s)).collect();
        // Stable: what stands first of the same time is done first.
        acts.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        Some(Scenario {
            title: title?,
            title_zh,
            seed: seed?,
            start_unix_s: start_unix_s?,
            weather: weather?,
            settle_s: settle_s?,
            length_s,
            acts,
            expectations,
        })
    }
}

/// The times named in an expectation, as far as they are times; the others are complained about where they are read.
fn last_time(node: &Node) -> Vec<f64> {
    let Node::Map(map) = node else { return Vec::new() };
    let mut times = Vec::new();
    for (key, value) in map {
        match (&value.value, key.value.as_str()) {
            (Node::Text(text), "at" | "from" | "to") => times.extend(duration(text.trim())),
            (Node::Map(_), _) => times.extend(last_time(&value.value)),
            _ => {}
        }
    }
    times.retain(|s| (0.0..=LENGTH_MAX_S).contains(s));
    times
}
