//! How much a server takes in one request, as it says itself.

use crate::limits::{ITEMS_PER_REQUEST, WRITES_PER_REQUEST};
use crate::session::{CallError, Driver, End, Live};
use opcua::types::{DataValue, NodeId, ReadValueId, TimestampsToReturn, VariableId, Variant};

/// Largest requests of one session. None of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Nodes per read.
    pub(crate) read: usize,
    /// Nodes per write.
    pub(crate) write: usize,
    /// Nodes per registration.
    pub(crate) register: usize,
    /// Monitored items per request.
    pub(crate) items: usize,
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity {
            read: ITEMS_PER_REQUEST,
            write: WRITES_PER_REQUEST,
            register: ITEMS_PER_REQUEST,
            items: ITEMS_PER_REQUEST,
        }
    }
}

/// Where a server says it (Part 5, 6.3.11), in the order of the fields above.
const NODES: [VariableId; 4] = [
    VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerWrite,
    VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRegisterNodes,
    VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
];

impl Capacity {
    /// From the answers of a server, in the order of [`NODES`]. One that is missing, bad or 0 says nothing: then our own
    /// bound holds, and what the server refuses is halved when it does.
    fn of(answers: &[DataValue]) -> Capacity {
        let own = Capacity::default();
        let least = |index: usize, bound: usize| {
            let answer = answers.get(index).filter(|a| !a.status.is_some_and(|s| s.is_bad()));
            match answer.and_then(|a| a.value.as_ref()) {
                Some(Variant::UInt32(said @ 1..)) => bound.min(*said as usize),
                _ => bound,
            }
        };
        Capacity {
            read: least(0, own.read),
            write: least(1, own.write),
            register: least(2, own.register),
            items: least(3, own.items),
        }
    }
}

impl Driver {
    /// Asks the server for its limits. Many small servers do not know them.
    pub(crate) async fn learn_capacity(&mut self, live: &mut Live) -> Result<(), End> {
        let ask: Vec<ReadValueId> = NODES.iter().map(|node| ReadValueId::from(NodeId::from(*node))).collect();
        match self.call(live.session.clone().read(&ask, TimestampsToReturn::Neither, 0.0)).await {
            Ok(answers) => live.capacity = Capacity::of(&answers),
            Err(CallError::Refused(_)) => {}
            Err(CallError::Lost(reason)) => return Err(End::Lost(reason)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opcua::types::StatusCode;

    #[test]
    fn a_limit_that_is_missing_zero_bad_or_large_leaves_our_own() {
        let said = |limit: u32| DataValue { value: Some(Variant::UInt32(limit)), ..DataValue::null() };
        let own = Capacity::default();
        assert_eq!(Capacity::of(&[]), own);
        let bad = DataValue { status: Some(StatusCode::BadNodeIdUnknown), ..said(3) };
        let other = DataValue { value: Some(Variant::from("many")), ..DataValue::null() };
        assert_eq!(Capacity::of(&[said(0), said(u32::MAX), bad, other]), own);
        let small = Capacity { read: 7, write: 1, register: 30, items: 10 };
        assert_eq!(Capacity::of(&[said(7), said(1), said(30), said(10)]), small);
    }
}
