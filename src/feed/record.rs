//! When a feed is fetched and by whom, and what may be expected of it.

use crate::jwt::NumericDate;

/// Why a feed is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Its time has come.
    Schedule,
    /// A request needs what is not there yet: the first answer, or a key that is not known.
    Need,
}

/// What all workers know of a feed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// How often its content changed; zero: it was never fetched.
    pub serial: u32,
    /// When it was fetched last.
    pub fetched: NumericDate,
    /// When it is fetched again.
    pub next: NumericDate,
    /// Until when somebody is fetching it.
    pub busy: NumericDate,
    /// When it was last fetched for a key that was not known.
    pub asked: NumericDate,
    /// Whether what is being fetched is fetched for such a key.
    pub asking: bool,
    /// How often in a row it could not be fetched.
    pub failures: u32,
}

/// Long ago.
const NEVER: NumericDate = NumericDate::from_seconds(0.0);
/// The first byte of a record: a module of another version has another record.
const FORMAT: u8 = 1;

impl Default for Record {
    fn default() -> Self {
        Self { serial: 0, fetched: NEVER, next: NEVER, busy: NEVER, asked: NEVER, asking: false, failures: 0 }
    }
}

impl Record {
    /// An unknown key makes the feed be fetched at most once in so many seconds.
    pub const BETWEEN_NEEDS: f64 = 10.0;
    /// For so many attempts those who come before the first success wait; then they are told at once.
    const HOPEFUL_ATTEMPTS: u32 = 3;

    /// The same without what cannot be: the clock was set back, or somebody else wrote it.
    #[must_use]
    pub fn plausible(self, now: NumericDate, refresh: f64, patience: f64) -> Self {
        let or_never = |date: NumericDate, latest: NumericDate| if date <= latest { date } else { NEVER };
        Self {
            next: or_never(self.next, now.plus(refresh)),
            busy: or_never(self.busy, now.plus(patience)),
            asked: or_never(self.asked, now),
            ..self
        }
    }

    /// Whether it was ever fetched.
    #[must_use]
    pub const fn is_filled(&self) -> bool {
        self.serial > 0
    }

    /// Whether somebody is fetching it.
    #[must_use]
    pub fn is_busy(&self, now: NumericDate) -> bool {
        self.busy > now
    }

    /// Whether a request that needs the first answer, or a key that is not known, may expect something new of a fetch.
    #[must_use]
    pub fn is_worth_waiting(&self, now: NumericDate) -> bool {
        let is_busy = self.is_busy(now);
        if self.is_filled() {
            is_busy && self.asking || self.asked.plus(Self::BETWEEN_NEEDS) <= now
        } else {
            is_busy || self.next <= now || self.failures < Self::HOPEFUL_ATTEMPTS
        }
    }

    /// The record of whoever fetches now, for at most `patience` seconds; none if it is not time, or somebody else does.
    #[must_use]
    pub fn claimed(&self, now: NumericDate, occasion: Occasion, patience: f64) -> Option<Self> {
        if self.is_busy(now) {
            return None;
        }
        let asking =
            occasion == Occasion::Need && self.is_filled() && self.asked.plus(Self::BETWEEN_NEEDS) <= now;
        let asked = if asking { now } else { self.asked };
        (asking || self.next <= now).then(|| Self { busy: now.plus(patience), asked, asking, ..*self })
    }

    /// The record after a success; `changed`: it is not what it was.
    #[must_use]
    pub fn succeeded(&self, now: NumericDate, interval: f64, changed: bool) -> Self {
        let serial = if changed || !self.is_filled() { self.serial.saturating_add(1) } else { self.serial };
        Self {
            serial,
            fetched: now,
            next: now.plus(interval),
            busy: NEVER,
            asked: self.asked,
            asking: false,
            failures: 0,
        }
    }

    /// The record after a failure. It is tried again after a quarter of a second, then after twice as long each time, but
    /// soon enough.
    #[must_use]
    pub fn failed(&self, now: NumericDate, refresh: f64) -> Self {
        let longest = if self.is_filled() { 30.0 } else { 5.0_f64 };
        let doublings = self.failures.min(10);
        let pause = (0..doublings).fold(0.25_f64, |pause, _| pause * 2.0).min(longest).min(refresh);
        let failures = self.failures.saturating_add(1);
        Self { next: now.plus(pause), busy: NEVER, asking: false, failures, ..*self }
    }

    /// As it stands in the memory that workers share.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT, self.asking.into()];
        bytes.extend(self.serial.to_be_bytes());
        bytes.extend(self.failures.to_be_bytes());
        for date in [self.fetched, self.next, self.busy, self.asked] {
            bytes.extend(date.seconds().to_be_bytes());
        }
        bytes
    }

    /// What another worker wrote; none if it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([FORMAT, asking], rest) = bytes.split_first_chunk()? else { return None };
        let (serial, rest) = rest.split_first_chunk()?;
        let (failures, rest) = rest.split_first_chunk()?;
        let (dates, []) = rest.as_chunks() else { return None };
        let mut dates = dates.iter().map(|date| NumericDate::from_seconds(f64::from_be_bytes(*date)));
        let record = Self {
            serial: u32::from_be_bytes(*serial),
            fetched: dates.next()?,
            next: dates.next()?,
            busy: dates.next()?,
            asked: dates.next()?,
            asking: *asking == 1,
            failures: u32::from_be_bytes(*failures),
        };
        dates.next().is_none().then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> NumericDate {
        NumericDate::from_seconds(seconds)
    }

    #[test]
    fn one_worker_fetches_and_the_others_wait_for_it() {
        let new = Record::default();
        assert!(new.is_worth_waiting(at(1000.0)));
        let claimed = new.claimed(at(1000.0), Occasion::Schedule, 6.0).unwrap();
        assert!(claimed.is_worth_waiting(at(1005.0)) && !claimed.is_filled());
        assert_eq!(claimed.claimed(at(1005.0), Occasion::Need, 6.0), None);
        // Whoever fetched it is gone.
        assert!(claimed.claimed(at(1007.0), Occasion::Schedule, 6.0).is_some());
        let filled = claimed.succeeded(at(1001.0), 300.0, true);
        assert!(filled.is_filled() && filled.claimed(at(1300.0), Occasion::Schedule, 6.0).is_none());
        assert!(filled.claimed(at(1301.0), Occasion::Schedule, 6.0).is_some());
    }

    #[test]
    fn an_unknown_key_is_asked_for_once_in_ten_seconds() {
        let filled = Record::default().succeeded(at(1000.0), 300.0, true);
        // The first fetch and the scheduled ones do not count.
        assert!(filled.is_worth_waiting(at(1000.5)));
        let asking = filled.claimed(at(1000.5), Occasion::Need, 6.0).unwrap();
        assert!(asking.asking && asking.is_worth_waiting(at(1000.6)));
        let answered = asking.succeeded(at(1001.0), 300.0, true);
        for seconds in [1001.0, 1005.0, 1010.4] {
            assert!(!answered.is_worth_waiting(at(seconds)));
            assert_eq!(answered.claimed(at(seconds), Occasion::Need, 6.0), None);
        }
        assert!(answered.is_worth_waiting(at(1010.5)));
        // Nor does it help to fail.
        let failed = asking.failed(at(1001.0), 300.0);
        assert!(!failed.is_worth_waiting(at(1001.1)));
        // What is fetched by schedule within the ten seconds is none to wait for.
        let scheduled = Record { next: at(1003.0), ..answered };
        let scheduled = scheduled.claimed(at(1003.0), Occasion::Need, 6.0).unwrap();
        assert!(!scheduled.asking && !scheduled.is_worth_waiting(at(1003.1)));
    }

    #[test]
    fn failures_are_followed_by_ever_later_attempts() {
        let mut record = Record::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            record = record.failed(at(1000.0), 300.0);
            pauses.push(record.next.seconds() - 1000.0);
        }
        assert_eq!(pauses, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]);
        assert!(!record.is_worth_waiting(at(1001.0)) && record.is_worth_waiting(at(1005.0)));
        let mut record = record.succeeded(at(1000.0), 300.0, true);
        assert_eq!(record.failures, 0);
        for _ in 0..100 {
            record = record.failed(at(1000.0), 300.0);
        }
        assert_eq!((record.next.seconds(), record.serial), (1030.0, 1));
        assert_eq!(record.failed(at(1000.0), 2.0).next, at(1002.0));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let filled = Record::default().succeeded(at(5000.0), 300.0, true);
        let asking = filled.claimed(at(5000.0), Occasion::Need, 6.0).unwrap();
        assert_eq!(asking.plausible(at(5000.0), 300.0, 6.0), asking);
        let back = asking.plausible(at(1000.0), 300.0, 6.0);
        assert!(back.is_filled() && back.is_worth_waiting(at(1000.0)));
        assert!(back.claimed(at(1000.0), Occasion::Schedule, 6.0).is_some());
        let odd = Record { next: at(f64::NAN), busy: at(f64::INFINITY), ..filled };
        assert!(odd.plausible(at(1000.0), 300.0, 6.0).claimed(at(1000.0), Occasion::Schedule, 6.0).is_some());
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = Record::default().succeeded(at(1.5), 300.0, true).failed(at(2.0), 300.0);
        let claimed = record.claimed(at(400.0), Occasion::Need, 6.0).unwrap();
        for record in [Record::default(), record, claimed] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
        }
        let bytes = record.to_bytes();
        let other = [&[2], &bytes[1..]].concat();
        for foreign in [&[], &bytes[1..], &bytes[..bytes.len() - 1], &[0; 8], &other] {
            assert_eq!(Record::from_bytes(foreign), None);
        }
    }
}
