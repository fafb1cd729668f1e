//! Who is logged in, and how long a failed login must wait. Both tables live in memory and are bounded.

use crate::limits::{
    LOGIN_FREE_MISSES, LOGIN_FREE_MISSES_PER_ADDRESS, LOGIN_MISS_KEPT, LOGIN_MISSES_MAX, LOGIN_WAIT_MAX,
    SESSION_IDLE_MAX, SESSIONS_MAX,
};
use parking_lot::Mutex;
use penstock_model::Instant;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// What the table keeps of a session's id: its hash, so that neither a look-up's timing nor a core dump gives one away.
pub(crate) type SessionKey = [u8; 32];

#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) user: Arc<str>,
    /// The password hash of the user when the session was opened.
    pub(crate) stamp: Arc<str>,
    used: Instant,
}

#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<SessionKey, Session>>,
}

pub(crate) fn session_key(id: &str) -> SessionKey {
    Sha256::digest(id.as_bytes()).into()
}

impl Sessions {
    /// Opens a session and returns its id: 256 random bits in hex.
    pub(crate) fn open(&self, user: &str, stamp: Arc<str>, now: Instant) -> Result<String, getrandom::Error> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)?;
        let mut id = String::with_capacity(64);
        for byte in bytes {
            let _ = write!(id, "{byte:02x}");
        }
        let mut open = self.open.lock();
        open.retain(|_, s| now.since(s.used) <= SESSION_IDLE_MAX);
        if open.len() >= SESSIONS_MAX
            && let Some(oldest) = open.iter().min_by_key(|(_, s)| s.used).map(|(key, _)| *key)
        {
            open.remove(&oldest);
        }
        open.insert(session_key(&id), Session { user: user.into(), stamp, used: now });
        Ok(id)
    }

    /// The session, if it is still open. With `use_it` its idle time starts anew.
    pub(crate) fn find(&self, key: &SessionKey, now: Instant, use_it: bool) -> Option<Session> {
        let mut open = self.open.lock();
        let session = open.get_mut(key)?;
        if now.since(session.used) > SESSION_IDLE_MAX {
            open.remove(key);
            return None;
        }
        if use_it {
            session.used = now;
        }
        Some(session.clone())
    }

    pub(crate) fn close(&self, key: &SessionKey) {
        self.open.lock().remove(key);
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum MissKey {
    Pair(String, IpAddr),
    Address(IpAddr),
}

struct Misses {
    count: u32,
    last: Instant,
    free_at: Instant,
}

/// Waiting times after failed logins, per name and address and per address.
#[derive(Default)]
pub struct Backoff {
    misses: Mutex<HashMap<MissKey, Misses>>,
}

impl Backoff {
    /// Takes one try; the time still to wait when it is not free. The try counts as failed until
    /// [`Backoff::succeeded`], so that many tries at once are not all free.
    ///
    /// # Errors
    /// The time still to wait.
    pub fn attempt(&self, user: &str, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut misses = self.misses.lock();
        let keys = keys(user, from);
        let wait = keys.iter().filter_map(|(key, _)| misses.get(key)).map(|m| m.free_at.since(now)).max();
        if let Some(wait) = wait.filter(|w| !w.is_zero()) {
            return Err(wait);
        }
        for (key, free) in keys {
            make_room(&mut misses, &key, now);
            let m = misses.entry(key).or_insert(Misses { count: 0, last: now, free_at: now });
            if now.since(m.last) > LOGIN_MISS_KEPT {
                m.count = 0;
            }
            m.count = m.count.saturating_add(1);
            m.last = now;
            if m.count >= free {
                let doublings = (m.count - free).min(16);
                m.free_at = now + Duration::from_secs(1 << doublings).min(LOGIN_WAIT_MAX);
            }
        }
        Ok(())
    }

    /// The try was no failure after all: the name is free again, the address has one miss less.
    pub fn succeeded(&self, user: &str, from: IpAddr) {
        let mut misses = self.misses.lock();
        let [(pair, _), (address, _)] = keys(user, from);
        misses.remove(&pair);
        if let Some(m) = misses.get_mut(&address) {
            m.count = m.count.saturating_sub(1);
            m.free_at = m.last;
        }
    }
}

fn keys(user: &str, from: IpAddr) -> [(MissKey, u32); 2] {
    // A machine owns a whole /64 of IPv6 addresses: they count as one.
    let from = match from.to_canonical() {
        IpAddr::V6(v6) => {
            let s = v6.segments();
            IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
        v4 => v4,
    };
    [(MissKey::Pair(user.to_owned(), from), LOGIN_FREE_MISSES), (MissKey::Address(from), LOGIN_FREE_MISSES_PER_ADDRESS)]
}

fn make_room(misses: &mut HashMap<MissKey, Misses>, key: &MissKey, now: Instant) {
    if misses.len() < LOGIN_MISSES_MAX || misses.contains_key(key) {
        return;
    }
    misses.retain(|_, m| now.since(m.last) <= LOGIN_MISS_KEPT);
    while misses.len() >= LOGIN_MISSES_MAX {
        let Some(shortest) = misses.iter().min_by_key(|(_, m)| m.free_at).map(|(k, _)| k.clone()) else { return };
        misses.remove(&shortest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Instant {
        Instant(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_ends_after_idle_time_and_not_before() {
        let sessions = Sessions::default();
        let id = sessions.open("li", "stamp".into(), at(0)).unwrap();
        assert_eq!(id.len(), 64);
        let key = session_key(&id);
        let idle = SESSION_IDLE_MAX.as_secs();
        assert!(sessions.find(&key, at(idle), false).is_some());
        assert!(sessions.find(&key, at(idle), true).is_some());
        assert!(sessions.find(&key, at(2 * idle), false).is_some());
        assert!(sessions.find(&key, at(2 * idle + 1), true).is_none());
        assert!(sessions.find(&key, at(0), true).is_none(), "an ended session never comes back");
    }

    #[test]
    fn the_longest_unused_session_makes_room() {
        let sessions = Sessions::default();
        let ids: Vec<_> = (0..=SESSIONS_MAX as u64).map(|n| sessions.open("li", "s".into(), at(n)).unwrap()).collect();
        let now = at(SESSIONS_MAX as u64);
        assert!(sessions.find(&session_key(&ids[0]), now, false).is_none());
        assert!(ids[1..].iter().all(|id| sessions.find(&session_key(id), now, false).is_some()));
    }

    #[test]
    fn waiting_doubles_up_to_its_bound_and_success_ends_it() {
        let backoff = Backoff::default();
        let mut now = 0;
        for _ in 0..LOGIN_FREE_MISSES {
            assert!(backoff.attempt("li", HOME, at(now)).is_ok());
        }
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = backoff.attempt("li", HOME, at(now)).unwrap_err();
            waits.push(wait.as_secs());
            now += wait.as_secs();
            assert!(backoff.attempt("li", HOME, at(now)).is_ok());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(backoff.attempt("wang", HOME, at(now)).is_ok(), "another name at the same address is free");
        backoff.succeeded("li", HOME);
        assert!(backoff.attempt("li", HOME, at(now)).is_ok());
    }

    #[test]
    fn an_address_that_tries_many_names_waits_too() {
        let backoff = Backoff::default();
        for n in 0..LOGIN_FREE_MISSES_PER_ADDRESS {
            assert!(backoff.attempt(&format!("user{n}"), HOME, at(0)).is_ok());
        }
        assert!(backoff.attempt("another", HOME, at(0)).is_err());
        assert!(backoff.attempt("another", IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), at(0)).is_ok());
    }

    #[test]
    fn the_table_of_misses_is_bounded() {
        let backoff = Backoff::default();
        for n in 0..LOGIN_MISSES_MAX as u32 {
            let from = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n));
            assert!(backoff.attempt("li", from, at(0)).is_ok());
        }
        assert_eq!(backoff.misses.lock().len(), LOGIN_MISSES_MAX);
    }
}
