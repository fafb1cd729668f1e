//! What its object and the persons at it make of an output, before it is weighed.

use super::{Live, Output, Permit};
use crate::object::{Hindrance, Imposed};
use penstock_model::{Origin, Priority, Utc, Wish};
use std::sync::Arc;

impl Output {
    /// Takes what its object says of this scan.
    pub fn impose(&mut self, imposed: Imposed, interlock: Option<&Arc<Hindrance>>) {
        self.tracked = match &imposed {
            Imposed::HandedBack(_, shown) => {
                shown.clone().or_else(|| self.stands.granted.clone()).or_else(|| self.tracked.take())
            }
            _ => None,
        };
        self.imposed = imposed;
        self.interlock = interlock.cloned();
    }

    /// Takes whether a start is permitted in this scan.
    pub fn permit(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// Takes when the hold of its object ends.
    pub fn show_until(&mut self, until: (Option<Utc>, bool)) {
        self.until = until;
    }

    /// True while a person has given it a value.
    pub fn has_hand(&self) -> bool {
        self.claims.iter().any(|c| c.priority == Priority::Manual && matches!(c.wish, Wish::Value(_)))
    }

    /// A person takes it where it stands, unless somebody has given it a value by hand already.
    pub fn hold_here(&mut self, by: &Arc<str>) {
        if let (false, Some(value)) = (self.has_hand(), self.stands.granted.clone()) {
            let (wish, origin) = (Wish::Value(value), Origin::User(by.clone()));
            self.claims.push(Live { wish, origin, priority: Priority::Manual, lease: None });
        }
    }

    /// Ends every hold by hand.
    pub fn end_hands(&mut self) {
        self.claims.retain(|c| c.priority != Priority::Manual);
    }

    /// Ends every claim of foreign systems.
    pub fn end_remote(&mut self) {
        self.claims.retain(|c| !matches!(c.origin, Origin::Remote(_)));
    }
}
