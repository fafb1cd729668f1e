//! Names of a tag's states: written with the tag, or the name of a set that the site keeps for many tags.

use super::tags::Ctx;
use super::text::{At, Label, Pairs};
use crate::diagnostics::{Pos, suggest};
use penstock_model::{Text, ValueType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Names of states by value, as a tag carries them.
pub type States = Arc<[(i64, Text)]>;

/// `states:` of a tag
#[derive(Debug, Clone)]
pub enum StatesFile {
    /// The tag's own.
    Own(Pairs<Label>),
    /// A set of the site, by its name.
    Set(String),
}

impl<'de> Deserialize<'de> for StatesFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick;
        impl<'de> Visitor<'de> for Pick {
            type Value = StatesFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the states by value, or the name of a set under `state_sets` of site.yaml")
            }
            fn visit_str<E>(self, v: &str) -> Result<StatesFile, E> {
                Ok(StatesFile::Set(v.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StatesFile, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(StatesFile::Own)
            }
        }
        d.deserialize_any(Pick)
    }
}

impl JsonSchema for StatesFile {
    fn schema_name() -> Cow<'static, str> {
        "States".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = generator.subschema_for::<Pairs<Label>>();
        json_schema!({
            "description": "Names of states by value, or the name of a set under `state_sets` of site.yaml.",
            "anyOf": [{ "type": "string" }, own]
        })
    }
}

/// The sets that tags name.
#[derive(Debug, Default)]
pub struct StateSets {
    form: Pairs<Pairs<Label>>,
    /// Sets already read, by name and the type they are for: every tag that names one shares it.
    read: HashMap<(String, ValueType), States>,
}

/// What a name of a state that is none is told.
const KEY_HELP: &str = "states are named by whole number, or by false and true";

impl Ctx<'_> {
    /// Takes up the sets as `site.yaml`, the file of this context, has them. What can be no state of any tag is reported
    /// here and left out, so that it is told also where no tag names the set, and once where many do.
    pub fn take_state_sets(&mut self, mut form: Pairs<Pairs<Label>>) {
        for (name, states) in &mut form.0 {
            states.0.retain(|(key, _)| {
                let fits = matches!(key.value.as_str(), "false" | "true") || key.value.parse::<i64>().is_ok();
                if !fits {
                    let message = format!("`{}` in the set `{}` is not a state", key.value, name.value);
                    self.error(key.pos, message).help(KEY_HELP);
                }
                fits
            });
        }
        self.reader.state_sets = StateSets { form, read: HashMap::new() };
    }

    /// The states of a tag of this type; empty with an error where they are none.
    pub fn states(&mut self, states: &At<StatesFile>, value_type: ValueType) -> States {
        match &states.value {
            StatesFile::Own(pairs) => self.named_states(pairs, value_type, None),
            StatesFile::Set(name) => self.state_set(name, states.pos, value_type),
        }
    }

    fn state_set(&mut self, name: &str, pos: Pos, value_type: ValueType) -> States {
        let key = (name.to_owned(), value_type);
        if let Some(known) = self.reader.state_sets.read.get(&key) {
            return known.clone();
        }
        let sets = &self.reader.state_sets.form;
        let Some(pairs) = sets.get(name).cloned() else {
            let help = suggest(name, sets.0.iter().map(|(n, _)| n.value.as_str()));
            let help = help.unwrap_or_else(|| "sets stand under `state_sets` of site.yaml".to_owned());
            self.error(pos, format!("unknown set of states `{name}`")).help(help);
            return Arc::default();
        };
        let read = self.named_states(&pairs, value_type, Some((name, pos)));
        if read.len() == pairs.0.len() {
            self.reader.state_sets.read.insert(key, read.clone());
        }
        read
    }

    /// Names that do not fit are reported where they stand; those of a set, where a tag names it.
    fn named_states(&mut self, pairs: &Pairs<Label>, value_type: ValueType, set: Option<(&str, Pos)>) -> States {
        let mut out = Vec::new();
        for (key, label) in &pairs.0 {
            let number = match (key.value.as_str(), value_type) {
                ("false" | "0", ValueType::Bool) => Some(0),
                ("true" | "1", ValueType::Bool) => Some(1),
                (text, ValueType::Int) => text.parse::<i64>().ok(),
                _ => None,
            };
            if let Some(n) = number {
                out.push((n, label.0.clone()));
                continue;
            }
            let of = set.map(|(name, _)| format!(" in the set `{name}`")).unwrap_or_default();
            let pos = set.map_or(key.pos, |(_, pos)| pos);
            self.error(pos, format!("`{}`{of} is not a state of a {value_type}", key.value)).help(KEY_HELP);
            if set.is_some() {
                break;
            }
        }
        out.into()
    }
}
