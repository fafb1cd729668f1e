//! The primary host's STATE: whether anybody listens for whom it is worth to publish.

use crate::limits::STATE_BYTES_MAX;

/// What a STATE message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub online: bool,
    /// When the host's connection began, ms of UTC.
    pub timestamp: u64,
}

/// Why a STATE message is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{0} bytes are too many for a STATE message; at most {STATE_BYTES_MAX} are read")]
    TooLong(usize),
    #[error("not JSON")]
    NotJson,
    #[error("`online` must be true or false")]
    Online,
    #[error("`timestamp` must be ms since 1970")]
    Timestamp,
}

/// Reads a STATE message of Sparkplug 3.0: `{"online": true, "timestamp": 1668114759262}`.
pub(crate) fn read(bytes: &[u8]) -> Result<State, StateError> {
    if bytes.len() > STATE_BYTES_MAX {
        return Err(StateError::TooLong(bytes.len()));
    }
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| StateError::NotJson)?;
    let online = json.get("online").and_then(serde_json::Value::as_bool).ok_or(StateError::Online)?;
    let timestamp = json.get("timestamp").and_then(serde_json::Value::as_u64).ok_or(StateError::Timestamp)?;
    Ok(State { online, timestamp })
}

/// The primary host as one broker tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Host {
    /// As of the last message that counted in this session.
    pub online: bool,
    last: Option<u64>,
}

impl Host {
    /// A new session: what was told before may have been missed since. The time of the last message stays, so that an
    /// older one does not count.
    pub fn begin_session(&mut self) {
        self.online = false;
    }

    /// Takes a message. False: it is older than the last one and does not count.
    pub fn take(&mut self, state: State) -> bool {
        if self.last.is_some_and(|last| state.timestamp < last) {
            return false;
        }
        (self.online, self.last) = (state.online, Some(state.timestamp));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_state_is_read_as_the_specification_writes_it() {
        assert_eq!(read(br#"{"online":true,"timestamp":5}"#), Ok(State { online: true, timestamp: 5 }));
        assert_eq!(read(br#"{"timestamp":5,"online":false,"more":1}"#), Ok(State { online: false, timestamp: 5 }));
        assert_eq!(read(b"ONLINE"), Err(StateError::NotJson));
        assert_eq!(read(br#"{"online":"true","timestamp":5}"#), Err(StateError::Online));
        assert_eq!(read(br#"{"online":true,"timestamp":-5}"#), Err(StateError::Timestamp));
        assert_eq!(read(br#"{"online":true}"#), Err(StateError::Timestamp));
        assert_eq!(read(&[b' '; STATE_BYTES_MAX + 1]), Err(StateError::TooLong(STATE_BYTES_MAX + 1)));
    }

    #[test]
    fn an_older_message_does_not_count() {
        let mut host = Host::default();
        assert!(host.take(State { online: true, timestamp: 10 }));
        assert!(!host.take(State { online: false, timestamp: 9 }), "the will of a connection before");
        assert!(host.online);
        assert!(host.take(State { online: false, timestamp: 10 }));
        assert!(!host.online);
        assert!(host.take(State { online: true, timestamp: 11 }));
        host.begin_session();
        assert!(!host.online && !host.take(State { online: true, timestamp: 10 }));
    }

    proptest! {
        /// Near to what a host says: read as what it says, or refused.
        #[test]
        fn near_states_are_read_or_refused(
            online in "true|false|null|1|\"true\"|\\[\\]|\\{\\}",
            timestamp in "[0-9]{1,25}|-[0-9]{1,4}|null|1e99|\"1\"",
            more in "|,\"online\":false|,\"x\":\\[\\[\\[",
        ) {
            let text = format!("{{\"online\":{online},\"timestamp\":{timestamp}{more}}}");
            if let Ok(state) = read(text.as_bytes()) {
                prop_assert!(online == "true" || online == "false" || more.contains("online"));
                prop_assert_eq!(state.timestamp.to_string(), timestamp);
            }
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = read(&bytes);
        }
    }
}
