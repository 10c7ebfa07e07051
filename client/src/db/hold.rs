//! What an administrator keeps from changing: holds, and pins to a version.

use countersign_format::name::{PatchName, PatchVersion};
use countersign_format::text::Line;
use countersign_format::time::Timestamp;
use rusqlite::{Row, params};
use serde::Serialize;

use super::source::{number, signed};
use super::{Database, DatabaseError, bad_value, parse};

/// A component that is kept from changing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Its name, installed or not.
    pub name: PatchName,
    /// A pin: it goes to this version and no further, and not below it. Without one it stays as it
    /// is.
    pub version: Option<PatchVersion>,
    /// From then on the hold no longer counts.
    pub until: Option<Timestamp>,
    /// Why, in the administrator's words.
    pub reason: Option<Line>,
    /// When it was set.
    pub since: Timestamp,
}

impl Hold {
    /// Whether it counts at this time.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Database {
    /// Every hold by name, those that ended among them: they are listed until the next
    /// [`Self::hold`] or [`Self::unhold`], and no longer count ([`Hold::counts`]).
    pub fn holds(&self) -> Result<Vec<Hold>, DatabaseError> {
        let mut statement = self
            .connection()
            .prepare("SELECT name, version, until, reason, since FROM hold ORDER BY name")?;
        let rows = statement.query_map([], HoldRow::read)?;
        rows.map(|row| row?.parse()).collect()
    }

    /// Sets holds, each in the place of an earlier one of its name, and forgets those that have
    /// ended by `now`.
    pub fn hold(&mut self, holds: &[Hold], now: Timestamp) -> Result<(), DatabaseError> {
        let transaction = self.begin()?;
        transaction.execute("DELETE FROM hold WHERE until <= ?1", [signed(now.seconds())])?;
        for hold in holds {
            transaction.execute(
                "INSERT OR REPLACE INTO hold (name, version, until, reason, since)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    hold.name.as_str(),
                    hold.version.as_ref().map(ToString::to_string),
                    hold.until.map(|until| signed(until.seconds())),
                    hold.reason.as_ref().map(Line::as_str),
                    signed(hold.since.seconds()),
                ],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Ends the holds of these components, forgets those that have ended by `now`, and offers the
    /// versions again that a rollback of one of these undid. Returns the names for which there was
    /// either.
    pub fn unhold(
        &mut self,
        names: &[PatchName],
        now: Timestamp,
    ) -> Result<Vec<PatchName>, DatabaseError> {
        let transaction = self.begin()?;
        let mut freed = Vec::new();
        for name in names {
            let holds = transaction.execute("DELETE FROM hold WHERE name = ?1", [name.as_str()])?;
            let undone =
                transaction.execute("DELETE FROM held_back WHERE name = ?1", [name.as_str()])?;
            if holds + undone > 0 {
                freed.push(name.clone());
            }
        }
        transaction.execute("DELETE FROM hold WHERE until <= ?1", [signed(now.seconds())])?;
        transaction.commit()?;
        Ok(freed)
    }
}

struct HoldRow {
    name: String,
    version: Option<String>,
    until: Option<i64>,
    reason: Option<String>,
    since: i64,
}

impl HoldRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            version: row.get(1)?,
            until: row.get(2)?,
            reason: row.get(3)?,
            since: row.get(4)?,
        })
    }

    fn parse(self) -> Result<Hold, DatabaseError> {
        Ok(Hold {
            name: parse("hold.name", &self.name)?,
            version: self.version.map(|text| parse("hold.version", &text)).transpose()?,
            until: self.until.map(|seconds| moment("hold.until", seconds)).transpose()?,
            reason: self.reason.map(|text| parse("hold.reason", &text)).transpose()?,
            since: moment("hold.since", self.since)?,
        })
    }
}

fn moment(column: &'static str, seconds: i64) -> Result<Timestamp, DatabaseError> {
    Timestamp::from_seconds(number(column, seconds)?).map_err(|error| bad_value(column, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).expect("a time")
    }

    fn hold(name: &str, version: Option<&str>, until: Option<u64>) -> Hold {
        Hold {
            name: name.parse().expect("a name"),
            version: version.map(|version| version.parse().expect("a version")),
            until: until.map(at),
            reason: Some("the vendor says wait".parse().expect("a line")),
            since: at(100),
        }
    }

    #[test]
    fn a_hold_ends_at_its_time_and_is_listed_until_the_next_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        let mut database = Database::create(&path).expect("created");
        let [pin, stays] = [hold("acme", Some("1.2.3"), Some(200)), hold("libacme", None, None)];
        database.hold(&[stays.clone(), pin.clone()], at(100)).expect("held");
        assert_eq!(database.holds().expect("read"), [pin.clone(), stays.clone()]);
        assert!(pin.counts(at(199)) && !pin.counts(at(200)) && stays.counts(Timestamp::MAX));

        // it has ended; the next hold, of whatever name, forgets it
        let other = hold("other", None, None);
        database.hold(std::slice::from_ref(&other), at(200)).expect("held");
        assert_eq!(database.holds().expect("read"), [stays, other.clone()]);
        let names = ["libacme", "nobody"].map(|name| name.parse().expect("a name"));
        assert_eq!(database.unhold(&names, at(200)).expect("ended"), names[..1]);
        assert_eq!(database.holds().expect("read"), std::slice::from_ref(&other));

        // a second hold of one name takes the first one's place
        let changed = hold("other", Some("2.0.0"), None);
        database.hold(std::slice::from_ref(&changed), at(200)).expect("held");
        assert_eq!(database.holds().expect("read"), [changed]);
    }
}
