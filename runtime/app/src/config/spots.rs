//! Places for what a driver's own check finds: it names tags and keys, a person needs line and column.

use super::read::Reader;
use crate::diagnostics::{FileId, Pos};
use std::collections::HashMap;
use std::sync::Arc;

/// Where the parts of a device's file stand, to place what the driver's own check finds.
pub struct Spots {
    pub file: FileId,
    pub device: Pos,
    pub address: Option<Pos>,
    pub heartbeat: Option<Pos>,
    pub places: HashMap<Arc<str>, (FileId, Pos)>,
}

impl Spots {
    /// Tells each finding at the place it is about.
    pub fn tell(&self, reader: &mut Reader, device: &str, found: Vec<String>) {
        for message in found {
            let mut hits: Vec<(FileId, Pos)> = self
                .places
                .iter()
                .filter(|(path, _)| message.contains(&format!("`{path}`")))
                .map(|(_, place)| *place)
                .collect();
            hits.sort_by_key(|(file, pos)| (file.0, pos.line, pos.column));
            let (file, pos) = match hits.last() {
                Some(last) => *last,
                None if message.contains("address `") || message.contains("endpoint `") => {
                    (self.file, self.address.unwrap_or(self.device))
                }
                None if message.contains("heartbeat") => (self.file, self.heartbeat.unwrap_or(self.device)),
                None => (self.file, self.device),
            };
            // The place says the device: its name would only push the message out of the line.
            let text = message.strip_prefix(&format!("device `{device}`")).unwrap_or(&message);
            let text = text.trim_start_matches([',', ':', ' ']);
            let label =
                (hits.len() > 1).then(|| format!("the other one: {}", reader.report.place(hits[0].0, hits[0].1)));
            let diagnostic = reader.report.error(file, pos, text);
            diagnostic.label = label;
        }
    }
}
