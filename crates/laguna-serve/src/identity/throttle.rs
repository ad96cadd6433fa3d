//! Who guesses waits: each failure of a name from an address, and of an address whatever the name, doubles the time until
//! the next attempt is looked at.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use laguna_base::{Clock, Instant};

/// After this long without a failure an address, or a name from it, begins anew.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// Names and addresses that are remembered; the longest quiet give way.
const MOST: usize = 16_384;

/// How waiting grows.
struct Policy {
    /// Failures that cost nothing.
    free: u32,
    /// The longest wait; the first is a second.
    cap: Duration,
}

/// A name from an address.
const PAIR: Policy = Policy { free: 5, cap: Duration::from_secs(60) };

/// An address, behind which many people may be.
const ADDRESS: Policy = Policy { free: 50, cap: Duration::from_secs(30) };

impl Policy {
    fn wait(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_secs(1 << doublings.min(16)).min(self.cap),
        }
    }
}

/// Failures of the last minutes.
#[derive(Debug)]
pub(super) struct Throttle {
    clock: Arc<dyn Clock>,
    failures: Mutex<HashMap<Key, Failures>>,
}

/// A name's hash and an address; without a name it is about the address.
type Key = (Option<[u8; 16]>, IpAddr);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Throttle {
        Throttle { clock, failures: Mutex::default() }
    }

    /// How long this name has to wait at this address.
    pub(super) fn pair(&self, user: &str, from: IpAddr) -> Duration {
        self.wait(&pair(user, from), &PAIR)
    }

    /// How long everybody at this address has to wait.
    pub(super) fn address(&self, from: IpAddr) -> Duration {
        self.wait(&(None, network(from)), &ADDRESS)
    }

    /// Counts an attempt that was wrong.
    pub(super) fn failed(&self, user: &str, from: IpAddr) {
        let now = self.clock.now();
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in [pair(user, from), (None, network(from))] {
            if all.len() >= MOST && !all.contains_key(&key) {
                make_room(&mut all, now);
            }
            let entry = all.entry(key).or_insert(Failures { count: 0, last: now });
            if is_forgotten(entry, now) {
                entry.count = 0;
            }
            *entry = Failures { count: entry.count.saturating_add(1), last: now };
        }
    }

    /// The name begins anew at this address. The address does not: one who has an account may still guess at others.
    pub(super) fn succeeded(&self, user: &str, from: IpAddr) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&pair(user, from));
    }

    fn wait(&self, key: &Key, policy: &Policy) -> Duration {
        let now = self.clock.now();
        let all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failures) = all.get(key).filter(|failures| !is_forgotten(failures, now)) else {
            return Duration::ZERO;
        };
        policy.wait(failures.count).saturating_sub(since(failures, now))
    }
}

/// A clock that was put back makes nobody wait longer than he had to.
fn since(failures: &Failures, now: Instant) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros() - failures.last.as_micros()).unwrap_or(0))
}

fn is_forgotten(failures: &Failures, now: Instant) -> bool {
    since(failures, now) >= FORGOTTEN
}

/// Drops what is forgotten; if that is too little, the tenth that has been quiet for longest.
fn make_room(all: &mut HashMap<Key, Failures>, now: Instant) {
    all.retain(|_, failures| !is_forgotten(failures, now));
    if all.len() < MOST {
        return;
    }
    let mut times: Vec<Instant> = all.values().map(|failures| failures.last).collect();
    let (_, limit, _) = times.select_nth_unstable(MOST / 10);
    let limit = *limit;
    let mut surplus = MOST / 10;
    all.retain(|_, failures| {
        let goes = surplus > 0 && failures.last <= limit;
        surplus -= usize::from(goes);
        !goes
    });
}

fn pair(user: &str, from: IpAddr) -> Key {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(user.as_bytes()).as_bytes()[..16]);
    (Some(name), network(from))
}

/// Who has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use laguna_base::clock::FixedClock;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn throttle() -> (Throttle, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::new("2026-11-22".parse().unwrap()));
        (Throttle::new(clock.clone()), clock)
    }

    fn pass(clock: &FixedClock, seconds: i64) {
        clock.set(clock.now().plus_micros(seconds * 1_000_000));
    }

    #[test]
    fn a_name_waits_longer_after_each_failure_and_begins_anew_after_success() {
        let (throttle, clock) = throttle();
        let mut waits = Vec::new();
        for _ in 0..14 {
            throttle.failed("ana", HERE);
            waits.push(throttle.pair("ana", HERE).as_secs());
        }
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(throttle.pair("bo", HERE), Duration::ZERO);
        assert_eq!(throttle.pair("ana", "10.0.0.1".parse().unwrap()), Duration::ZERO);
        pass(&clock, 59);
        assert_eq!(throttle.pair("ana", HERE), Duration::from_secs(1));
        pass(&clock, 1);
        assert_eq!(throttle.pair("ana", HERE), Duration::ZERO);
        throttle.failed("ana", HERE);
        assert_eq!(throttle.pair("ana", HERE), Duration::from_secs(60));
        throttle.succeeded("ana", HERE);
        assert_eq!(throttle.pair("ana", HERE), Duration::ZERO);
        throttle.failed("ana", HERE);
        assert_eq!(throttle.pair("ana", HERE), Duration::ZERO);
    }

    #[test]
    fn an_address_waits_whatever_the_names() {
        let (throttle, clock) = throttle();
        for number in 0..51 {
            assert_eq!(throttle.address(HERE), Duration::ZERO);
            throttle.failed(&format!("user{number}"), HERE);
        }
        assert_eq!(throttle.address(HERE), Duration::from_secs(1));
        throttle.succeeded("user1", HERE);
        assert_eq!(throttle.address(HERE), Duration::from_secs(1));
        for _ in 0..20 {
            throttle.failed("x", HERE);
        }
        assert_eq!(throttle.address(HERE), Duration::from_secs(30));
        assert_eq!(throttle.address("10.0.0.1".parse().unwrap()), Duration::ZERO);
        pass(&clock, 15 * 60);
        throttle.failed("x", HERE);
        assert_eq!(throttle.address(HERE), Duration::ZERO);
    }

    #[test]
    fn a_network_of_one_host_is_one_address() {
        let (throttle, _) = throttle();
        for host in 0..60 {
            throttle.failed("ana", format!("2001:db8::{host:x}").parse().unwrap());
        }
        assert!(throttle.pair("ana", "2001:db8::ffff".parse().unwrap()) > Duration::ZERO);
        assert_eq!(throttle.pair("ana", "2001:db8:0:1::1".parse().unwrap()), Duration::ZERO);
        for _ in 0..6 {
            throttle.failed("bo", "::ffff:10.0.0.1".parse().unwrap());
        }
        assert!(throttle.pair("bo", "10.0.0.1".parse().unwrap()) > Duration::ZERO);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let (throttle, clock) = throttle();
        for number in 0..2 * MOST as u32 {
            clock.set(clock.now().plus_micros(1));
            throttle.failed("ana", IpAddr::V4(number.into()));
            assert!(throttle.failures.lock().unwrap().len() <= MOST + 1);
        }
        let last = IpAddr::V4((2 * MOST as u32 - 1).into());
        assert!(throttle.failures.lock().unwrap().contains_key(&pair("ana", last)));
        pass(&clock, 15 * 60);
        throttle.failed("ana", HERE);
        let mut all = throttle.failures.lock().unwrap();
        make_room(&mut all, clock.now());
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_clock_that_is_put_back_locks_nobody_out() {
        let (throttle, clock) = throttle();
        for _ in 0..20 {
            throttle.failed("ana", HERE);
        }
        pass(&clock, -3600);
        assert_eq!(throttle.pair("ana", HERE), Duration::from_secs(60));
        throttle.failed("ana", HERE);
        pass(&clock, 60);
        assert_eq!(throttle.pair("ana", HERE), Duration::ZERO);
    }
}
