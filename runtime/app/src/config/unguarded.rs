//! What a bad input does to a site: the inputs that programs read without asking first, and the outputs they take along.

use crate::config::Site;
use penstock_engine::{ProgramDef, UnguardedRead};
use penstock_model::{FallbackAction, TagDef, ValueType};
use serde_json::json;
use std::fmt;

/// An input that ends its program's scan when it is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependence {
    /// The program.
    pub program: String,
    /// The input's name in the script.
    pub input: String,
    /// Its tag.
    pub tag: String,
    /// `script:line:column` of the first bare read.
    pub place: String,
    /// The tags that become bad with it, and what each does then, to be read behind the tag.
    pub outputs: Vec<(String, String)>,
}

impl fmt::Display for Dependence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dependence { program, input, tag, place, outputs } = self;
        write!(f, "{program}: when `{input}` ({tag}) is bad the scan ends at {place}")?;
        if outputs.is_empty() {
            f.write_str("; every output is assigned before")?;
        }
        for (output, action) in outputs {
            write!(f, "\n  {output} {action}")?;
        }
        Ok(())
    }
}

impl Dependence {
    /// For editors and pipelines.
    pub fn to_json(&self) -> serde_json::Value {
        let outputs: Vec<_> = self.outputs.iter().map(|(tag, action)| json!({ "tag": tag, "then": action })).collect();
        json!({ "program": self.program, "input": self.input, "tag": self.tag, "place": self.place, "outputs": outputs })
    }
}

/// Every bare read of the site's programs, in the order of the programs and of the script's text.
#[must_use]
pub fn dependences(site: &Site) -> Vec<Dependence> {
    let mut out = Vec::new();
    for program in &site.programs {
        for read in program.script.unguarded_reads() {
            let Some((_, tag)) = program.inputs.iter().find(|(port, _)| *port == read.input) else { continue };
            let def = site.tags.get(*tag);
            if never_bad(program, read, def) {
                continue;
            }
            let taken = taken_along(program, read).map(|id| site.tags.get(id));
            out.push(Dependence {
                program: program.name.to_string(),
                input: read.input.clone(),
                tag: def.path.to_string(),
                place: format!("{}:{}:{}", program.script.name(), read.line, read.column),
                outputs: taken.map(|def| (def.path.to_string(), bad_input_action(def))).collect(),
            });
        }
    }
    out
}

/// A set-point is what somebody entered, and a delayed input may say what is read instead: neither is ever bad.
pub fn never_bad(program: &ProgramDef, read: &UnguardedRead, tag: &TagDef) -> bool {
    tag.entry.is_some() || program.delays.iter().any(|d| d.input == read.input && d.otherwise.is_some())
}

/// The tags of a program that become bad with an input.
pub fn taken_along<'a>(
    program: &'a ProgramDef,
    read: &'a UnguardedRead,
) -> impl Iterator<Item = penstock_model::TagId> + 'a {
    program.outputs.iter().filter(|(port, _)| read.outputs.contains(port)).map(|(_, tag)| *tag)
}

/// True where an output would stay half-way for as long as an input is bad, and nobody steers it. A switch that is held
/// is on or off, as whoever declared it knew; a number is wherever the controller had it in that moment.
pub fn stays_for_ever(def: &TagDef) -> bool {
    let to_device = def.output.as_ref().filter(|output| output.device.is_some());
    def.value_type != ValueType::Bool && to_device.is_some_and(|o| o.fallback.bad_input == FallbackAction::Hold)
}

fn bad_input_action(def: &TagDef) -> String {
    let unit = def.unit.as_str();
    let action = match def.output.as_ref().map(|o| &o.fallback.bad_input) {
        None => return "becomes bad: it is computed, and has no fallback".to_owned(),
        Some(FallbackAction::Hold) => "hold, for as long as it is bad".to_owned(),
        Some(FallbackAction::HoldThen(time, value)) => format!("hold {time:?} then {value} {unit}"),
        Some(FallbackAction::Value(value)) => format!("{value} {unit}"),
        Some(FallbackAction::Release) => "device, it is handed back to its own control".to_owned(),
    };
    format!("takes its fallback for a bad input: {}", action.trim())
}
